//! `cargo xtask bench proxy`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::{cargo, tools};

/// What mesher is measured beside.
const PEERS: [&str; 3] = ["nginx", "haproxy", "envoy"];

/// Options of `cargo xtask bench proxy`.
#[derive(Debug, Args)]
#[command(after_help = "\
mesher, the same once more, the least that a proxy on its libraries can do, nginx, haproxy and Envoy
stand before the same two backends and get the same load in turn, round by round. A proxy has one
worker, and processor 0; load and backends have processor 1. First as many requests as it takes, on
16 and 128 connections; then half of what the slowest does, at a fixed rate; then system calls,
instructions and memory. That takes some 20 minutes; with --full (more sizes, streams, a connection
for each request, 1 and 1,000 connections, overload) more than an hour.
nginx and haproxy come from Debian's packages, Envoy from its wheel, none of them is installed; what
is not to be had is left out, and said. Counting needs perf or strace, and valgrind.
Before, it builds: with link-time optimisation some ten minutes of processor time, the first time.
Results are printed, and land in target/bench/proxy.json. bench/README.md says what they were, and
how to read them. On a machine that does something else, only the ratios mean anything.")]
pub(super) struct Proxy {
    /// How often everything is measured; results are the middle one and the spread
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only this scenario (get-0, post-16k, grpc-unary, get-1k, get-1m, grpc-stream, churn); may be
    /// repeated
    #[arg(long, value_name = "SCENARIO")]
    only: Vec<String>,
    /// Everything, for more than an hour
    #[arg(long)]
    full: bool,
    /// Another release build of mesher to measure beside this one
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
}

impl Proxy {
    pub(super) fn run(&self) -> Result<()> {
        for peer in PEERS {
            if let Err(error) = tools::ensure_named(&[peer]) {
                eprintln!("{peer} will be left out: {error:#}");
            }
        }
        // With the injector beside them, so that dependencies have the features, and are the builds,
        // that `bench injector` has too.
        let mut selection = vec!["--release", "--no-default-features"];
        for package in ["injector", "sidecar", "bench"] {
            selection.extend(["--package", package]);
        }
        for program in ["mesher", "proxy-floor", "proxy-load"] {
            selection.extend(["--bin", program]);
        }
        let built = cargo::build_only(&selection)?;
        // It only says where the backends are.
        let registry = ["--package", "registry", "--bin", "service-registry"];
        let registry = cargo::build_only(&registry)?.program("service-registry")?.to_owned();
        let mut command = Command::new(built.program("proxy-load")?);
        command
            .current_dir(cargo::root())
            .arg("--mesher")
            .arg(built.program("mesher")?)
            .arg("--registry")
            .arg(registry)
            .arg("--floor")
            .arg(built.program("proxy-floor")?)
            .arg("--results")
            .arg(cargo::root().join("target/bench"))
            .args(["--rounds", &self.rounds.to_string()])
            .args(["--seconds", &self.seconds.to_string()])
            .args(self.only.iter().flat_map(|scenario| ["--only", scenario]))
            .args(self.full.then_some("--full"));
        if let Some(other) = &self.against {
            let other = other.canonicalize();
            command.arg("--against").arg(other.context("--against: no such program")?);
        }
        cargo::run(&mut command)
    }
}
