//! The command line: one file per subcommand.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

mod check;
mod completions;
mod config;
mod explain;
mod inject;
mod inputs;
mod man;
mod outputs;
mod policy;
mod serve;
mod template;
mod uninject;

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
    ///
    /// The API server shows it each new pod, and it answers with the sidecar that the pod's
    /// annotations ask for.
    ///
    /// Every value may come from a flag, an environment variable, the configuration file or what
    /// is built in; the first of these wins.
    Serve(Box<serve::Args>),
    Inject(inject::Args),
    Uninject(uninject::Args),
    Explain(explain::Args),
    Check(check::Args),
    /// The configuration file
    Config(config::Args),
    /// Sidecar templates: try, show, and what their expressions can name
    Template(template::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Runs the parsed command line.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Inject(args) => inject::run(&args),
        Command::Uninject(args) => uninject::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Template(args) => template::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// Prints to standard output; a reader that has seen enough is no error.
fn print(bytes: &[u8]) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // As a program ends that the signal ends.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::from(141)),
        result => result.map(|()| ExitCode::SUCCESS).context("cannot write to standard output"),
    }
}
