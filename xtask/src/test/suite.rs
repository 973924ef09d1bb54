//! One executable with tests, run to its end.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use testbed::progress::Step;

use super::log_file;
use super::outcome::Outcome;

/// No suite takes so long: one that does hangs, and the others should still run.
const DEADLINE: Duration = Duration::from_mins(20);

/// A set of tests and the command that runs them.
#[derive(Debug)]
pub(super) struct Suite {
    /// What the user calls it.
    pub(super) name: String,
    /// Runs the tests.
    pub(super) command: Command,
}

impl Suite {
    /// Runs it and says what became of it; all it prints goes to a file, which is
    /// shown if a test fails.
    ///
    /// The output goes to a file and not through a pipe, because a process that a
    /// test leaves behind would keep a pipe open.
    pub(super) fn run(mut self, logs: &Path, skips: &Path) -> Result<Outcome> {
        let log = log_file(logs, &self.name);
        let file = File::create(&log)
            .with_context(|| format!("cannot write the log {}", log.display()))?;
        fs::write(skips, "")?;
        let step = Step::start(&self.name);
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start the tests of {}", self.name))?;
        let status = wait(&mut child)?;
        let output = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let ended_well = status.is_some_and(|status| status.success());
        let mut outcome =
            Outcome::read(&self.name, &output, &fs::read_to_string(skips)?, ended_well);
        if status.is_none() {
            let minutes = DEADLINE.as_secs() / 60;
            outcome.failures.push(format!("{}: killed after {minutes} minutes", self.name));
        }
        if outcome.is_empty() {
            step.hush();
        } else {
            step.ended(&outcome.to_string());
        }
        if !outcome.failures.is_empty() {
            println!("{output}\nThis is also in {}", log.display());
        }
        Ok(outcome)
    }
}

/// Waits for the end; `None` if it had to be killed.
fn wait(child: &mut Child) -> Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > DEADLINE {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(10));
    }
}
