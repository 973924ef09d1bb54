//! `sidecar-injector config`

use std::io::Write;
use std::process::ExitCode;

use crate::config::Config;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the JSON Schema of the configuration file: every key, what it means, what is allowed
    Schema,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Schema => {
            let mut out = std::io::stdout().lock();
            serde_json::to_writer_pretty(&mut out, &Config::schema())?;
            writeln!(out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
