//! Where edited manifests go: standard output, or the files they came from.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::inputs::{Input, Inputs};
use crate::manifest::{self, Edited, Format, ManifestError, Report};

/// What is written, and where.
#[derive(Debug, clap::Args)]
pub(super) struct Outputs {
    /// Print in this format; files already in it stay as they are written [default: each its own]
    #[arg(short, long, value_name = "FORMAT", value_enum, conflicts_with = "in_place")]
    output: Option<OutputFormat>,
    /// Change the files rather than print them; all of them, or none on an error
    #[arg(long)]
    in_place: bool,
    /// Print a document anew where it cannot be edited in place (loses its comments)
    #[arg(long)]
    pub(super) reformat: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum OutputFormat {
    Yaml,
    Json,
}

/// Edits every input with `edit`, says on standard error what happened to each object, and writes
/// the results only when there was no error in any of them.
pub(super) fn run(
    inputs: &Inputs,
    outputs: &Outputs,
    edit: impl Fn(&str) -> Result<Edited, ManifestError>,
) -> anyhow::Result<ExitCode> {
    let inputs = match inputs.read() {
        Ok(inputs) => inputs,
        Err(error) => {
            // The path stands first, as before every other message about a manifest.
            eprintln!("{error:#}");
            return Ok(ExitCode::FAILURE);
        }
    };
    if outputs.in_place && inputs.iter().any(|input| input.path.is_none()) {
        bail!("--in-place cannot change standard input: name the files, or leave it out");
    }
    let mut failed = false;
    let mut edited = Vec::with_capacity(inputs.len());
    let mut log = std::io::stderr().lock();
    for input in &inputs {
        match edit(&input.text) {
            Ok(result) => {
                for report in &result.reports {
                    failed |= report.is_failure();
                    tell(&mut log, input, report, inputs.len() > 1);
                }
                edited.push(result);
            }
            Err(error) => {
                failed = true;
                // A closed standard error is no reason to stop.
                let _ = writeln!(log, "{}:{error}", input.name);
            }
        }
    }
    if failed {
        return Ok(ExitCode::FAILURE);
    }
    if outputs.in_place {
        for (input, edited) in inputs.iter().zip(&edited) {
            if let Some(path) = input.path.as_ref().filter(|_| input.text != edited.text) {
                replace(path, &edited.text)?;
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let text = match outputs.output {
        None => joined(&edited),
        Some(OutputFormat::Yaml) => converted(edited, Format::Yaml),
        Some(OutputFormat::Json) => converted(edited, Format::Json),
    };
    super::print(text.as_bytes())
}

fn tell(log: &mut impl Write, input: &Input, report: &Report, many: bool) {
    let file = if many || report.is_failure() {
        format!("{}:{}: ", input.name, report.line)
    } else {
        String::new()
    };
    // A closed standard error is no reason to stop.
    let _ = writeln!(log, "{file}{report}");
    for warning in &report.warnings {
        let _ = writeln!(log, "{file}{}  warning: {warning}", report.object);
    }
}

/// The files one after another, so that kubectl reads all of their documents; one file alone stays
/// as it is.
fn joined(edited: &[Edited]) -> String {
    let all_json = edited.iter().all(|e| e.format == Format::Json);
    let mut out = String::new();
    for (n, Edited { text, .. }) in edited.iter().enumerate() {
        if n > 0 {
            if !out.is_empty() && !out.ends_with('\n') {
                out.push('\n');
            }
            let begins = text.trim_start_matches('\u{feff}');
            let marked = begins.starts_with("---") || begins.starts_with('%');
            let open = !out.is_empty() && out.lines().last() != Some("---");
            if open && !marked && !all_json {
                out.push_str("---\n");
            }
            out.push_str(begins);
        } else {
            out.push_str(text);
        }
    }
    out
}

/// The files in one format: those written in the other are printed anew.
fn converted(edited: Vec<Edited>, format: Format) -> String {
    let convert = |edited: Edited| {
        if edited.format == format {
            return edited;
        }
        let text = manifest::print(&edited.documents, format);
        Edited { text, format, ..edited }
    };
    joined(&edited.into_iter().map(convert).collect::<Vec<_>>())
}

/// Replaces a file in one step: whoever reads it meets the old text or the new one.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("{}: cannot be written", path.display());
    // A link stays a link; what it leads to changes.
    let path = path.canonicalize().with_context(failed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mode = std::fs::metadata(&path).with_context(failed)?.permissions();
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
    file.write_all(text.as_bytes()).with_context(failed)?;
    file.as_file().set_permissions(mode).with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    file.persist(&path).with_context(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, format: Format) -> Edited {
        Edited {
            text: text.into(),
            documents: Vec::new(),
            patches: Vec::new(),
            format,
            reports: Vec::new(),
        }
    }

    #[test]
    fn files_are_joined_so_that_each_document_stays_one() {
        let yaml = |text| edited(text, Format::Yaml);
        for (files, expected) in [
            (vec!["a: 1"], "a: 1"),
            (vec!["a: 1", "b: 2\n"], "a: 1\n---\nb: 2\n"),
            (vec!["a: 1\n---\n", "b: 2\n"], "a: 1\n---\nb: 2\n"),
            (vec!["a: 1\n", "---\nb: 2\n"], "a: 1\n---\nb: 2\n"),
            (vec!["", "\u{feff}b: 2\n"], "b: 2\n"),
        ] {
            let files: Vec<_> = files.into_iter().map(yaml).collect();
            assert_eq!(joined(&files), expected);
        }
        let json = [edited("{}", Format::Json), edited("{}\n", Format::Json)];
        assert_eq!(joined(&json), "{}\n{}\n");
    }
}
