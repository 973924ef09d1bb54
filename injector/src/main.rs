//! `sidecar-injector`

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    injector::cli::run(injector::cli::Cli::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
