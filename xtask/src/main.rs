//! `cargo xtask`: everything one does with this repository.

mod bench;
mod cargo;
mod cluster;
mod demo;
mod images;
mod lint;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Everything one does with this repository: build, show, test, check, measure.
///
/// Start with `cargo xtask demo`. What a command needs and the machine lacks is
/// built first: pinned servers go into ~/.cache/mesher (or $`MESHER_CACHE`) once.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Show what it does: pods that get a sidecar, and services that call each other through theirs
    Demo(demo::Demo),
    /// Build what the tests need and run all of them, or those that match a filter
    Test(test::Test),
    /// Check format, lints, dependencies, documentation and shell scripts
    Lint(lint::Lint),
    /// Measure the speed of a part
    Bench(bench::Bench),
    /// Make container images of our programs, without a container engine
    Images(images::Images),
    /// A Kubernetes with a node on this machine, to try things on: up, down, status
    Cluster(cluster::Cluster),
    /// Build the pinned servers and tools that tests and checks run
    Tools(tools::Tools),
}

fn main() -> ExitCode {
    let done = |()| ExitCode::SUCCESS;
    let result = match Xtask::parse().task {
        Task::Demo(demo) => demo.run().map(done),
        Task::Test(test) => test.run(),
        Task::Lint(lint) => lint.run().map(done),
        Task::Bench(bench) => bench.run().map(done),
        Task::Images(images) => images.run().map(done),
        Task::Cluster(cluster) => cluster.run(),
        Task::Tools(tools) => tools.run().map(done),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
