//! `mesher`

use std::process::ExitCode;

fn main() -> ExitCode {
    sidecar::cli::run(std::env::args_os()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
