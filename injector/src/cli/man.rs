//! `sidecar-injector man`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;

use super::{Cli, print};

/// Print the manual page
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sidecar-injector man | man -l -
  sidecar-injector man inject | man -l -
  sidecar-injector man --folder /usr/local/share/man/man1")]
pub(super) struct Args {
    /// The page of this subcommand
    subcommand: Option<String>,
    /// Write the pages of all subcommands into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "subcommand")]
    folder: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut command = Cli::command();
    // Gives the subcommands their full names.
    command.build();
    if let Some(folder) = &args.folder {
        clap_mangen::generate_to(command, folder)
            .with_context(|| format!("{}: cannot write the pages", folder.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let command = match &args.subcommand {
        None => command,
        Some(name) => command
            .find_subcommand(name)
            .with_context(|| format!("there is no subcommand {name:?}"))?
            .clone(),
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    print(&page)
}
