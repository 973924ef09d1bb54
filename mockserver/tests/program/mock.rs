//! One process of the program.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use testbed::{Guard, Server};

use crate::http::{self, Answer};

/// Long enough for a busy machine; nothing is asserted about it. Shorter than the minute after which
/// the program gives up a silent connection by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

/// A running mockserver.
pub(crate) struct Mock {
    pub(crate) server: Server,
    /// Its first HTTP port.
    pub(crate) address: SocketAddr,
    read: AtomicUsize,
}

/// The program with an environment that says nothing about proxies.
pub(crate) fn program() -> Result<Command> {
    let mut command = Command::new(testbed::binary("mockserver")?);
    for name in ["HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "SERVICE_NAME", "POD_NAME"] {
        command.env_remove(name);
    }
    Ok(command)
}

impl Mock {
    /// Starts one on a free port of 127.0.0.1, called `name`, that answers without delay.
    pub(crate) fn start(guard: &Guard, name: &str, arguments: &[&str]) -> Result<Self> {
        Self::start_with(guard, name, arguments, &[])
    }

    /// The same with variables in its environment.
    pub(crate) fn start_with(
        guard: &Guard,
        name: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let mut command = program()?;
        command.args(["-listenAddress", "127.0.0.1:0", "-delay", "0", "-serviceName", name]);
        command.args(arguments).envs(environment.iter().copied());
        let server = guard.spawn(&name.replace(':', "-"), &mut command)?;
        let address = listening(&server, "-listenAddress")?;
        Ok(Self { server, address, read: AtomicUsize::new(0) })
    }

    /// `GET target`, answered on a connection of its own.
    pub(crate) fn get(&self, target: &str) -> Result<Answer> {
        http::get(self.address, target, &[])
    }

    /// The targets of the requests that it answered since this was last asked, from its log.
    pub(crate) fn answered(&self) -> Vec<String> {
        let log = self.server.log();
        let new = &log[self.read.swap(log.len(), Ordering::Relaxed)..];
        let targets =
            new.lines().filter_map(|line| line.split_once("target=\"")?.1.split_once('"'));
        targets.map(|(target, _)| target.to_owned()).collect()
    }
}

/// The first address that `flag` became, from the log.
pub(crate) fn listening(server: &Server, flag: &str) -> Result<SocketAddr> {
    let find = || {
        let log = server.log();
        let line = log.lines().find(|line| line.contains(&format!("({flag})")))?;
        let (_, address) = line.split_once("listening on ")?;
        Some(address.split_once(' ')?.0.to_owned())
    };
    server.wait_until("listening", PATIENCE, || find().is_some())?;
    Ok(find().context("it said where it listens")?.parse()?)
}
