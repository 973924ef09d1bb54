//! `cargo xtask bench istio`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::{cargo, tools};

/// What runs: the source of services, and what mesher is measured beside.
const TOOLS: [&str; 4] = ["etcd", "kubernetes", "istiod", "envoy"];

/// Options of `cargo xtask bench istio`.
#[derive(Debug, Args)]
#[command(after_help = "\
A real istiod over a real API server knows thousands of services. mesher and Envoy are its proxies in
turn, round by round, with one worker and processor 0; istiod, the load and the service that answers
have processor 1. How long until the first request is answered, what is resident then, and how long
requests take before, during and after pushes of everything; of mesher, which asks for the endpoints of
services that somebody has called, once more when all have been called. Writing 5,000 services takes a
minute or two, a round another.
Results are printed, and land in target/bench/istio.json. bench/README.md says what they were, and
how to read them.
Before, it builds: with link-time optimisation some ten minutes of processor time, the first time.")]
pub(super) struct Istio {
    /// How often everything is measured; results are the middle one and the spread
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many services there are
    #[arg(long, default_value_t = 5_000)]
    services: usize,
    /// How many endpoints each of them has
    #[arg(long, default_value_t = 10)]
    endpoints: usize,
    /// Pushes of each measurement
    #[arg(long, default_value_t = 4)]
    pushes: u32,
    /// A release build of mesher instead of the one that is built from here
    #[arg(long, value_name = "PROGRAM")]
    mesher: Option<PathBuf>,
}

impl Istio {
    pub(super) fn run(&self) -> Result<()> {
        tools::ensure_named(&TOOLS)?;
        let load = ["--profile", "bench", "--no-default-features", "--package", "bench"];
        let load = [&load[..], &["--bin", "istio-load"]].concat();
        let load = cargo::build_only(&load)?.program("istio-load")?.to_owned();
        let mesher = if let Some(given) = &self.mesher {
            given.canonicalize().context("--mesher: no such program")?
        } else {
            // With the packages of `bench proxy`, so that it is the same build.
            let mut selection = vec!["--release", "--no-default-features"];
            for package in ["injector", "sidecar", "bench"] {
                selection.extend(["--package", package]);
            }
            selection.extend(["--bin", "mesher"]);
            cargo::build_only(&selection)?.program("mesher")?.to_owned()
        };
        let mut command = Command::new(load);
        command
            .current_dir(cargo::root())
            .arg("--mesher")
            .arg(mesher)
            .arg("--results")
            .arg(cargo::root().join("target/bench"))
            .args(["--rounds", &self.rounds.to_string()])
            .args(["--services", &self.services.to_string()])
            .args(["--endpoints", &self.endpoints.to_string()])
            .args(["--pushes", &self.pushes.to_string()]);
        cargo::run(&mut command)
    }
}
