//! `sidecar-injector`

use std::process::ExitCode;

use clap::Parser;

fn main() -> anyhow::Result<ExitCode> {
    injector::cli::run(injector::cli::Cli::parse())
}
