//! A running registry.

use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use testbed::{Guard, Server};

/// Nothing that a test waits for takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A running registry.
#[derive(Debug)]
pub(crate) struct Registry {
    /// Where it is: `127.0.0.1:30100`.
    pub(crate) address: String,
    /// Whether it is a real service-center: it needs time, and differs in nothing else.
    #[allow(dead_code, reason = "each test program needs some of it")]
    pub(crate) real: bool,
    process: Option<(Server, Guard)>,
}

#[allow(dead_code, reason = "each test program needs some of it")]
impl Registry {
    /// Starts ours on a free port of 127.0.0.1.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        Self::listening("127.0.0.1:0", arguments)
    }

    /// Starts ours.
    pub(crate) fn listening(listen: &str, arguments: &[&str]) -> Result<Self> {
        let guard = Guard::new()?;
        let mut command = Command::new(testbed::binary("service-registry")?);
        command.args(["--listen", listen, "--log-format", "json"]).args(arguments);
        let server = guard.spawn("service-registry", &mut command)?;
        let address = || {
            let log = server.log();
            let line = log.lines().find(|line| line.contains("\"serving\""))?;
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(line["address"].as_str()?.to_owned())
        };
        server.wait_until("serving", PATIENCE, || address().is_some())?;
        let address = address().context("it said where it is")?;
        Ok(Self { address, real: false, process: Some((server, guard)) })
    }

    /// One that somebody else runs.
    pub(crate) fn at(address: String) -> Self {
        Self { address, real: true, process: None }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        self.process.as_ref().context("it is not ours")?.0.signal(signal)
    }

    /// Waits for its end.
    pub(crate) fn end(&self) -> Result<ExitStatus> {
        self.process.as_ref().context("it is not ours")?.0.wait_for_exit(PATIENCE)
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        self.process.as_ref().map(|(server, _)| server.log()).unwrap_or_default()
    }
}

/// Runs a registry that does not start, and says what it printed.
#[allow(dead_code, reason = "each test program needs some of it")]
pub(crate) fn refused(arguments: &[&str]) -> Result<String> {
    let output = Command::new(testbed::binary("service-registry")?).args(arguments).output()?;
    anyhow::ensure!(output.status.code() == Some(1), "it ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}
