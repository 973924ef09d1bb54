//! The registry that is tested.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use testbed::{Guard, Server};

/// Names a real service-center, which must be empty.
pub(crate) const REAL: &str = "SERVICE_CENTER_ADDR";

/// A running registry.
#[derive(Debug)]
pub(crate) struct Registry {
    /// Where it is: `127.0.0.1:30100`.
    pub(crate) address: String,
    /// Whether it is a real service-center: it needs time, and differs in nothing else.
    pub(crate) real: bool,
    _process: Option<(Server, Guard)>,
}

impl Registry {
    /// Starts ours.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        let guard = Guard::new()?;
        let mut command = Command::new(testbed::binary("service-registry")?);
        command.args(["--listen", "127.0.0.1:0", "--log-format", "json"]).args(arguments);
        let server = guard.spawn("service-registry", &mut command)?;
        let address = || {
            let log = server.log();
            let line = log.lines().find(|line| line.contains("\"serving\""))?;
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(line["address"].as_str()?.to_owned())
        };
        server.wait_until("serving", Duration::from_secs(30), || address().is_some())?;
        let address = address().context("it said where it is")?;
        Ok(Self { address, real: false, _process: Some((server, guard)) })
    }

    /// The real one, if there is one.
    pub(crate) fn real() -> Option<Self> {
        let address = std::env::var(REAL).ok().filter(|address| !address.is_empty())?;
        Some(Self { address, real: true, _process: None })
    }
}
