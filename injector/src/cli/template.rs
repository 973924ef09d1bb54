//! `sidecar-injector template`

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::injection::load_template;
use crate::template::{self, Template, Variable};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Try templates on sample pods: what passes can be put into the injector's ConfigMap
    #[command(after_help = "Example:\n  sidecar-injector template show > own.yaml\n  \
                            sidecar-injector template validate own.yaml")]
    Validate {
        /// Template files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print the built-in template, to start one's own from
    Show,
    /// List the variables that a template's expressions can name
    Variables,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Show => super::print(template::BUILTIN.as_bytes()),
        Command::Variables => {
            let mut list = Vec::new();
            for (name, meaning) in Variable::documented() {
                writeln!(list, "{name:<24}{meaning}")?;
            }
            super::print(&list)
        }
        Command::Validate { files } => {
            let (mut valid, mut failed) = (Vec::new(), false);
            for file in files {
                match validate(file) {
                    Ok(template) => writeln!(
                        valid,
                        "{}: valid: adds container {} (sha256 {})",
                        file.display(),
                        template.sidecar_name(),
                        &template.hash()[..16],
                    )?,
                    Err(error) => {
                        failed = true;
                        eprintln!("{}: {error:#}", file.display());
                    }
                }
            }
            let printed = super::print(&valid)?;
            Ok(if failed { ExitCode::FAILURE } else { printed })
        }
    }
}

fn validate(file: &PathBuf) -> anyhow::Result<Template> {
    let text = std::fs::read_to_string(file).context("cannot be read")?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    Ok(load_template(&name, &text)?)
}
