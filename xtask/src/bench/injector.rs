//! `cargo xtask bench injector`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::cargo;

/// Options of `cargo xtask bench injector`.
#[derive(Debug, Args)]
#[command(after_help = "\
First it measures one pod in a process (criterion, some two minutes), from the smallest to
one of 1.5 MiB: skip, inject, inject again, and the whole review from bytes to bytes.
Then it starts the release build and puts it under load over TLS and HTTP/2, in turn with a server
that does the same without deciding: as much as it takes on 1, 16 and 128 connections; half of that
at a fixed rate, once beside whatever else the machine does, and once under a real-time policy that
keeps it out (where that is allowed, by CAP_SYS_NICE); and 100,000 reviews while templates,
certificates and authorities change, of which none may fail. That takes some five minutes.
Before, it builds: with link-time optimisation some ten minutes of processor time, the first time.
Results are printed, and land in target/bench/ and target/criterion/. bench/README.md says what
they were, and how to read them. On a machine that does something else, only the figures for each
second of processor time mean anything.")]
pub(super) struct Injector {
    /// Of the measurements in a process, only those whose name contains this
    filter: Option<String>,
    /// Only one of the two parts
    #[arg(long)]
    only: Option<Part>,
    /// How often the load is repeated; results are the middle one and the spread
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement under load
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Another release build of the same program to measure beside this one
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One pod in a process
    Process,
    /// The running program
    Load,
}

impl Injector {
    pub(super) fn run(&self) -> Result<()> {
        if self.only != Some(Part::Load) {
            let mut command = cargo::command();
            command.args(["bench", "--package", "bench", "--bench", "inject", "--"]);
            cargo::run(command.args(&self.filter))?;
        }
        if self.only != Some(Part::Process) {
            self.load()?;
        }
        Ok(())
    }

    fn load(&self) -> Result<()> {
        let generator = ["--profile", "bench", "--package", "bench", "--bin", "injector-load"];
        let generator = cargo::build_only(&generator)?.program("injector-load")?.to_owned();
        let measured = ["--release", "--package", "injector", "--package", "bench"];
        let measured = [&measured[..], &["--bin", "sidecar-injector", "--bin", "floor"]].concat();
        let built = cargo::build_only(&measured)?;
        let mut command = Command::new(generator);
        command
            .current_dir(cargo::root())
            .arg("--injector")
            .arg(built.program("sidecar-injector")?)
            .arg("--floor")
            .arg(built.program("floor")?)
            .arg("--results")
            .arg(cargo::root().join("target/bench"))
            .args(["--rounds", &self.rounds.to_string()])
            .args(["--seconds", &self.seconds.to_string()]);
        if let Some(other) = &self.against {
            let other = other.canonicalize();
            command.arg("--against").arg(other.context("--against: no such program")?);
        }
        cargo::run(&mut command)
    }
}
