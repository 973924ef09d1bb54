//! `mockserver`

use std::process::ExitCode;

fn main() -> ExitCode {
    mockserver::cli::run(std::env::args_os()).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}
