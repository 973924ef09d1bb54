//! `sidecar-injector config`

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
            let mut schema = serde_json::to_vec_pretty(&Config::schema())?;
            schema.push(b'\n');
            super::print(&schema)
        }
    }
}
