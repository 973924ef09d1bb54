//! `cargo xtask`: everything one does with this repository.

mod demo;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Everything one does with this repository.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Show the main job: a real API server whose pods get a sidecar
    Demo(demo::Demo),
    /// Build the pinned servers and tools that tests and checks run
    Tools(tools::Tools),
}

fn main() -> ExitCode {
    let result = match Xtask::parse().task {
        Task::Demo(demo) => demo.run(),
        Task::Tools(tools) => tools.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
