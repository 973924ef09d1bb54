//! `service-registry`

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match registry::cli::run(registry::cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
