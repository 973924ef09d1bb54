//! `cargo xtask bench scale`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::{cargo, tools};

/// What a cluster of thousands of pods takes.
const TOOLS: [&str; 3] = ["etcd", "kubernetes", "kwok"];

/// Options of `cargo xtask bench scale`.
#[derive(Debug, Args)]
#[command(after_help = "\
It starts etcd, kube-apiserver, kube-controller-manager and kwok, which plays nodes and their
kubelets, and two injectors behind their Service, as the manifests of the overlay `ha` have them:
their release build, as processes of this machine. Then it creates pods as fast as the API server
takes them: first those that do not ask for a sidecar, to compare with, then those that do. It
counts who has none, how long the API server waited and the injector took by their own histograms,
processor time and memory. A round takes some two minutes.
Results are printed, and land in target/bench/scale.json. bench/README.md says what they were, and
how to read them. On a machine that does something else, only processor time and counts mean
anything.")]
pub(super) struct Scale {
    /// How often everything is measured, each time in a new cluster
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Pods that ask for a sidecar; before them, as many that do not
    #[arg(long, default_value_t = 5000)]
    pods: usize,
    /// Requests for a pod that are under way at a time
    #[arg(long, default_value_t = 16)]
    at_once: usize,
    /// Replicas of the injector
    #[arg(long, default_value_t = 2)]
    replicas: usize,
    /// Nodes that kwok plays
    #[arg(long, default_value_t = 50)]
    nodes: usize,
    /// Have the replica that leads watch all pods, to heal those without a sidecar
    #[arg(long)]
    heal: bool,
    /// Run the injector under the kernel's real-time policy, and let kwok rest while pods that ask are
    /// created
    #[arg(long)]
    undisturbed: bool,
    /// A release build of sidecar-injector instead of the one that is built from here
    #[arg(long, value_name = "PROGRAM")]
    injector: Option<PathBuf>,
}

impl Scale {
    pub(super) fn run(&self) -> Result<()> {
        tools::ensure_named(&TOOLS)?;
        let load = ["--profile", "bench", "--package", "bench", "--bin", "cluster-load"];
        let load = cargo::build_only(&load)?.program("cluster-load")?.to_owned();
        let injector = if let Some(given) = &self.injector {
            given.canonicalize().context("--injector: no such program")?
        } else {
            // With the packages of `bench injector`, so that it is the same build.
            let measured = ["--release", "--package", "injector", "--package", "bench"];
            let measured = [&measured[..], &["--bin", "sidecar-injector"]].concat();
            cargo::build_only(&measured)?.program("sidecar-injector")?.to_owned()
        };
        let mut command = Command::new(load);
        command
            .current_dir(cargo::root())
            .arg("--injector")
            .arg(injector)
            .arg("--results")
            .arg(cargo::root().join("target/bench"))
            .args(["--rounds", &self.rounds.to_string()])
            .args(["--pods", &self.pods.to_string()])
            .args(["--at-once", &self.at_once.to_string()])
            .args(["--replicas", &self.replicas.to_string()])
            .args(["--nodes", &self.nodes.to_string()])
            .args(self.heal.then_some("--heal"))
            .args(self.undisturbed.then_some("--undisturbed"));
        cargo::run(&mut command)
    }
}
