//! The command line: one file per subcommand.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod config;
mod serve;

/// Puts the mesher sidecar into pods: as an admission webhook, or into manifests.
#[derive(Debug, Parser)]
#[command(name = "sidecar-injector", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the admission webhook
    Serve(Box<serve::Args>),
    /// The configuration file
    Config(config::Args),
}

/// Runs the parsed command line.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Config(args) => config::run(&args),
    }
}
