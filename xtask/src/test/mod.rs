//! `cargo xtask test`: builds what the tests need, runs them, counts.

mod outcome;
mod suite;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use testbed::tools::Purpose;

use crate::cargo::{self, Built};
use crate::images::{self, Effort};
use crate::tools;
use outcome::Outcome;
use suite::Suite;

/// How many of the slowest suites the summary names.
const SHOWN: usize = 5;

/// Options of `cargo xtask test`.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Part of the name of a suite (`certs`, `e2e::webhook`) or of a test
    #[arg(long_help = "Part of the name of a suite or of a test.\n\n\
        A suite is a crate (`certs`), one of its test files (`e2e::webhook`) or \
        `documentation`. All tests of a suite run when its name contains FILTER; of \
        the others, those tests whose name contains it.")]
    filter: Option<String>,
}

impl Test {
    /// Runs the tests. When they could be run, the last thing printed is the
    /// summary, and the exit code says whether all is well.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let mut stages = Stages::default();
        stages.time("tools", || {
            tools::try_optional();
            tools::ensure_for(Purpose::Test)
        })?;
        let built = stages.time("build", cargo::build)?;
        let images = self.needs_images(&built)?;
        let images = images.then(|| stages.time("images", make_images)).transpose()?;
        let outcomes = stages.time("tests", || self.run_suites(built, images.as_deref()))?;

        let mut total = Outcome::default();
        let mut slowest = Vec::new();
        for (suite, took, outcome) in outcomes {
            total.add(outcome);
            slowest.push((took, suite));
        }
        for (test, reason) in &total.skipped {
            println!("skipped: {test}: {reason}");
        }
        for (reason, count) in total.skipped_by_reason() {
            println!("{count} skipped, as: {reason}");
        }
        for failure in &total.failures {
            println!("failed: {failure}");
        }
        if total.is_empty() {
            match &self.filter {
                Some(filter) => println!("no test ran: none has {filter:?} in its name"),
                None => println!("no test ran"),
            }
        }
        slowest.sort_unstable_by(|one, other| other.cmp(one));
        let slowest = slowest.iter().take(SHOWN).map(|(took, suite)| (&**suite, *took));
        println!("slowest suites: {}", times(slowest));
        println!("{stages}");
        println!("{total}");
        let good = total.failures.is_empty() && total.passed > 0;
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Whether a test will run that starts pods on a node.
    fn needs_images(&self, built: &Built) -> Result<bool> {
        let is_on_a_node = |name: &str| ON_A_NODE.iter().any(|known| name.ends_with(known));
        let on_a_node = built.suites.iter().filter(|suite| is_on_a_node(&suite.name));
        // Without root there is no node, and those tests are skipped.
        for suite in on_a_node.filter(|_| nix::unistd::geteuid().is_root()) {
            let mut list = Command::new(&suite.path);
            list.arg("--list").args(self.filter_within(&suite.name));
            let list = list.output().with_context(|| format!("listing {}", suite.name))?;
            if String::from_utf8_lossy(&list.stdout).contains(": test") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What chooses among the tests of a suite; nothing where all of them run.
    fn filter_within(&self, suite: &str) -> Option<&str> {
        self.filter.as_deref().filter(|filter| !suite.contains(filter))
    }

    /// Every suite with the time it took and what became of it.
    fn run_suites(
        &self,
        built: Built,
        images: Option<&Path>,
    ) -> Result<Vec<(String, Duration, Outcome)>> {
        let logs = cargo::root().join("target/test-logs");
        fs::create_dir_all(&logs)?;
        let skips = tempfile::NamedTempFile::new()?;
        let mut suites: Vec<Suite> = built
            .suites
            .into_iter()
            .map(|executable| {
                let mut command = Command::new(&executable.path);
                command
                    .current_dir(&executable.folder)
                    .env("CARGO_MANIFEST_DIR", &executable.folder);
                Suite { name: executable.name, command }
            })
            .collect();
        suites.push(documentation());
        let mut outcomes = Vec::new();
        for mut suite in suites {
            for (program, path) in &built.programs {
                suite.command.env(testbed::binary_variable(program), path);
            }
            suite.command.env(testbed::SKIPS, skips.path());
            suite.command.envs(images.map(|folder| (testbed::IMAGES, folder)));
            suite.command.args(self.filter_within(&suite.name));
            let (name, started) = (suite.name.clone(), Instant::now());
            let outcome = suite.run(&logs, skips.path())?;
            outcomes.push((name, started.elapsed(), outcome));
        }
        Ok(outcomes)
    }
}

/// How the suites are called whose tests start pods on a node.
const ON_A_NODE: [&str; 2] = ["::node", "::flagship"];

/// Makes the images that those pods are started from, and says in which folder they are.
fn make_images() -> Result<PathBuf> {
    let folder = images::quick_folder();
    images::write(&folder, &[], Effort::Quick)?;
    images::write_istiod(&folder)?;
    Ok(folder)
}

/// The examples in the documentation, which only cargo can run.
fn documentation() -> Suite {
    let mut command = cargo::command();
    command.args(["test", "--quiet", "--workspace", "--doc", "--no-fail-fast", "--"]);
    Suite { name: "documentation".to_owned(), command }
}

/// How long each stage took.
#[derive(Debug, Default)]
struct Stages(Vec<(&'static str, Duration)>);

impl Stages {
    fn time<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("== {name}");
        let started = Instant::now();
        let result = work().with_context(|| format!("stage {name}"));
        self.0.push((name, started.elapsed()));
        result
    }
}

impl std::fmt::Display for Stages {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "time: {}", times(self.0.iter().copied()))
    }
}

/// `build 61.2 s, tests 300.0 s`
fn times<'n>(named: impl Iterator<Item = (&'n str, Duration)>) -> String {
    let all = named.map(|(name, time)| format!("{name} {:.1} s", time.as_secs_f64()));
    all.collect::<Vec<_>>().join(", ")
}

/// The file that holds all a suite printed.
fn log_file(logs: &Path, suite: &str) -> std::path::PathBuf {
    logs.join(format!("{}.log", suite.replace("::", "-")))
}
