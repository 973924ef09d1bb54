//! Where manifests come from: files, folders, standard input.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The manifests to read.
#[derive(Debug, clap::Args)]
pub(super) struct Inputs {
    /// Manifests: files, folders (their *.yaml, *.yml and *.json), or - for standard input
    #[arg(value_name = "FILE|DIR|-")]
    positional: Vec<PathBuf>,
    /// The same, as kubectl takes it; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-")]
    filename: Vec<PathBuf>,
    /// Go into the folders of a folder too
    #[arg(short = 'R', long)]
    recursive: bool,
}

/// One manifest file.
#[derive(Debug)]
pub(super) struct Input {
    /// What messages call it.
    pub(super) name: String,
    /// Where it lies; `None` for standard input.
    pub(super) path: Option<PathBuf>,
    /// Its bytes, which have to be UTF-8.
    pub(super) text: String,
}

impl Inputs {
    /// Whether nothing was named, which `read` takes for standard input.
    pub(super) fn is_empty(&self) -> bool {
        self.positional.is_empty() && self.filename.is_empty()
    }

    /// Reads everything that was named, in that order; the files of a folder by name.
    pub(super) fn read(&self) -> anyhow::Result<Vec<Input>> {
        let mut named: Vec<&Path> = Vec::new();
        named.extend(self.filename.iter().map(PathBuf::as_path));
        named.extend(self.positional.iter().map(PathBuf::as_path));
        if named.is_empty() {
            if std::io::stdin().is_terminal() {
                bail!(
                    "no manifests: name a file or a folder, as in `-f deploy.yaml`, or pipe them in"
                );
            }
            named.push(Path::new("-"));
        }
        let mut found = Vec::new();
        for path in named {
            if path == Path::new("-") {
                found.push(standard_input()?);
            } else if metadata(path)?.is_dir() {
                let before = found.len();
                self.folder(path, &mut found)?;
                if found.len() == before {
                    let deeper =
                        if self.recursive { "" } else { " (-R looks into its folders too)" };
                    bail!("{}: no *.yaml, *.yml or *.json in this folder{deeper}", path.display());
                }
            } else {
                found.push(file(path)?);
            }
        }
        Ok(found)
    }

    fn folder(&self, folder: &Path, found: &mut Vec<Input>) -> anyhow::Result<()> {
        let failed = || format!("{}: cannot list this folder", folder.display());
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).with_context(failed)? {
            paths.push(entry.with_context(failed)?.path());
        }
        paths.sort();
        for path in paths {
            if metadata(&path)?.is_dir() {
                if self.recursive {
                    self.folder(&path, found)?;
                }
            } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json") {
                found.push(file(&path)?);
            }
        }
        Ok(())
    }
}

fn metadata(path: &Path) -> anyhow::Result<std::fs::Metadata> {
    std::fs::metadata(path).with_context(|| format!("{}: cannot be read", path.display()))
}

fn file(path: &Path) -> anyhow::Result<Input> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).with_context(|| format!("{name}: cannot be read"))?;
    Ok(Input { text: text(&name, bytes)?, path: Some(path.to_owned()), name })
}

fn standard_input() -> anyhow::Result<Input> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).context("standard input cannot be read")?;
    let name = "<stdin>".to_owned();
    Ok(Input { text: text(&name, bytes)?, path: None, name })
}

fn text(name: &str, bytes: Vec<u8>) -> anyhow::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.split(|b| *b == b'\n').count();
        let start = valid.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
        let column = String::from_utf8_lossy(&valid[start..]).chars().count() + 1;
        anyhow::anyhow!("{name}:{line}:{column}: this is not UTF-8; save the file as UTF-8")
    })
}
