//! `cargo xtask bench`: measurements.

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::cargo;

/// Options of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The part to measure
    part: Part,
    /// Only benchmarks whose name contains this
    filter: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    /// Injection of a sidecar into pods of several sizes
    Injector,
}

impl Bench {
    /// Runs the benchmarks; criterion prints the results and compares them with
    /// the run before.
    pub(crate) fn run(&self) -> Result<()> {
        let mut command = cargo::command();
        command.args(["bench", "--package", "bench"]);
        match self.part {
            Part::Injector => command.args(["--bench", "inject"]),
        };
        command.arg("--").args(&self.filter);
        cargo::run(&mut command)
    }
}
