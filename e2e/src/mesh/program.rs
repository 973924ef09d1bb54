//! A program that scenarios kill and start again where it was.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use testbed::{Guard, Server};

use super::PATIENCE;

/// It runs, or it does not.
#[derive(Debug, Default)]
pub(super) struct Program(Mutex<Option<Server>>);

impl Program {
    /// Starts it, and waits until it takes connections at all of `addresses`.
    pub(super) fn start(
        &self,
        guard: &Guard,
        name: &str,
        mut command: Command,
        addresses: &[SocketAddr],
    ) -> Result<()> {
        let server = guard.spawn(name, command.env_clear())?;
        let accepts = || addresses.iter().all(|address| TcpStream::connect(address).is_ok());
        server.wait_until("accepting", PATIENCE, accepts)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        Ok(())
    }

    /// Kills it as a crash would.
    pub(super) fn kill(&self) -> Result<()> {
        self.take()?.stop();
        Ok(())
    }

    /// Ends it as an operator would.
    pub(super) fn stop(&self) -> Result<()> {
        let server = self.take()?;
        server.signal(Signal::SIGTERM)?;
        let ended = server.wait_for_exit(PATIENCE)?;
        ensure!(ended.success(), "{ended}: {}", server.log());
        Ok(())
    }

    fn take(&self) -> Result<Server> {
        let server = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        server.context("it does not run")
    }
}
