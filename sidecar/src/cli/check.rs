//! `mesher config check DIR`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::json;

use super::config::Format;
use crate::configuration::{Inputs, NamedFiles, Places, Problem, Severity};

/// Looks at the files of one folder and at nothing else: no environment, no flags, no other
/// folder. `${NAME||default}` is its default. Files that tls.yaml names may be on another machine.
///
/// Exit code: 0 it can be used, 3 it has errors (with --strict: or warnings), 1 it cannot be read.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Warnings count as errors
    #[arg(long)]
    strict: bool,
    /// How to print; lines by default
    #[arg(short, long, value_enum)]
    output: Option<Format>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let folder = &args.folder;
    let metadata = std::fs::metadata(folder)
        .with_context(|| format!("{}: name a folder with configuration files", folder.display()))?;
    if !metadata.is_dir() {
        bail!("{}: is no folder: name the one the file is in", folder.display());
    }
    let nowhere = PathBuf::new();
    let inputs = Inputs {
        flags: Vec::new(),
        environment: std::collections::BTreeMap::new(),
        places: Places { only: Some(folder.clone()), labels: nowhere, ..Places::default() },
        named_files: NamedFiles::MayBeElsewhere,
    };
    let configuration = inputs.read();
    let count = |severity| {
        configuration.problems.iter().filter(|problem| problem.severity == severity).count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let text = match args.output {
        None => {
            let line = |problem: &Problem| format!("{}: {problem}\n", problem.severity);
            let lines: String = configuration.problems.iter().map(line).collect();
            let files = match configuration.files.len() {
                0 => "no file of mesher".to_owned(),
                1 => "1 file".to_owned(),
                n => format!("{n} files"),
            };
            let shown = folder.display();
            format!("{lines}{shown}: {files}, {errors} errors, {warnings} warnings\n")
        }
        Some(format) => {
            let problem = |problem: &Problem| {
                json!({
                    "severity": problem.severity.to_string(),
                    "origin": problem.origin.as_ref().map(ToString::to_string),
                    "key": problem.key,
                    "message": problem.message,
                })
            };
            let problems: Vec<_> = configuration.problems.iter().map(problem).collect();
            let verdict = json!({"files": configuration.files, "problems": problems});
            match format {
                // JSON is YAML.
                Format::Yaml | Format::Json => serde_json::to_string_pretty(&verdict)? + "\n",
            }
        }
    };
    let printed = super::print(&text)?;
    let bad = errors > 0 || args.strict && warnings > 0;
    Ok(if bad { ExitCode::from(super::FAULTY) } else { printed })
}
