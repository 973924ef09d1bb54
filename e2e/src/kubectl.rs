//! kubectl as a user runs it, with what it printed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use testbed::Cluster;

/// kubectl as the administrator of a cluster.
#[derive(Debug, Clone, Copy)]
pub struct Kubectl<'c>(pub &'c Cluster);

/// What a kubectl that has ended left behind.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The command as typed.
    pub command: String,
    /// Whether it exited with 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error: refusals and warnings.
    pub stderr: String,
}

impl Kubectl<'_> {
    /// Runs it to its end, whatever that is; `line` is split at blanks.
    pub fn try_run(self, line: &str) -> Result<Answer> {
        self.try_run_with(line, "")
    }

    /// [`Kubectl::try_run`] with `input` on its standard input.
    pub fn try_run_with(self, line: &str, input: &str) -> Result<Answer> {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let output = self.0.run_with_input(&arguments, input)?;
        Ok(Answer {
            command: format!("kubectl {line}"),
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs it; anything but success is an error that holds what it printed.
    pub fn run(self, line: &str) -> Result<Answer> {
        self.try_run(line)?.succeeded()
    }

    /// [`Kubectl::run`] with `input` on its standard input.
    pub fn run_with(self, line: &str, input: &str) -> Result<Answer> {
        self.try_run_with(line, input)?.succeeded()
    }

    /// The object or list that `get LINE` names.
    pub fn get(self, line: &str) -> Result<Value> {
        self.run(&format!("get {line} -o json"))?.json()
    }

    /// Posts `object` to the API's `path` byte for byte: kubectl neither validates nor converts it.
    pub fn post(self, path: &str, object: &Value) -> Result<Answer> {
        self.try_run_with(&format!("create --raw {path} -f -"), &object.to_string())
    }
}

impl Answer {
    /// This answer if it is a success, else an error that holds what was printed.
    pub fn succeeded(self) -> Result<Self> {
        ensure!(self.success, "{} failed: {}{}", self.command, self.stderr, self.stdout);
        Ok(self)
    }

    /// Its standard error if it is a failure.
    pub fn refused(self) -> Result<String> {
        ensure!(!self.success, "{} succeeded: {}{}", self.command, self.stdout, self.stderr);
        Ok(self.stderr)
    }

    /// Its standard output as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout)
            .with_context(|| format!("{} printed no JSON: {}", self.command, self.stdout))
    }
}

/// Asks `question` until it has an answer. Controllers and informers take their time; the deadline
/// is only there so that a failure ends.
pub fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut question: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        let seen = match question() {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => String::new(),
            Err(error) => format!(": {error:#}"),
        };
        if Instant::now() > end {
            bail!("{what}: not within {deadline:?}{seen}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
