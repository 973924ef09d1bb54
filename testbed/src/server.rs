//! One running process with its log.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// A process started by [`Guard::spawn`](crate::Guard::spawn); killed when dropped.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Mutex<Child>,
    log: PathBuf,
    left: bool,
}

impl Server {
    pub(crate) fn new(name: &str, child: Child, log: PathBuf) -> Self {
        Self { name: name.to_owned(), child: Mutex::new(child), log, left: false }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child().id()
    }

    /// The file that holds all it printed.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// All it printed so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map_or_else(
            |error| format!("({}: {error})", self.log.display()),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        matches!(self.child().try_wait(), Ok(None))
    }

    /// How it ended, or `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child().try_wait().ok().flatten()
    }

    /// Waits for it to end by itself, for instance after a signal.
    pub fn wait_for_exit(&self, deadline: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.exit_status() {
                return Ok(status);
            }
            if started.elapsed() > deadline {
                bail!("{} still runs after {deadline:?}; {}", self.name, self.tail());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) -> Result<()> {
        let pid = i32::try_from(self.pid())?;
        Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal)?)
    }

    /// Waits until `ready` says so. The error of a server that died or is late
    /// holds the last lines of its log.
    pub fn wait_until(
        &self,
        what: &str,
        deadline: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<()> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.exit_status() {
                bail!("{} ended ({status}) before {what}; {}", self.name, self.tail());
            }
            if ready() {
                return Ok(());
            }
            if started.elapsed() > deadline {
                bail!("{}: not {what} after {deadline:?}; {}", self.name, self.tail());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills it now and waits until it is gone.
    pub fn stop(self) {
        drop(self);
    }

    /// Lets it run on when this value is dropped; it still ends with its guard.
    pub fn leave(mut self) {
        self.left = true;
    }

    fn tail(&self) -> String {
        format!("the end of {}:\n{}", self.log.display(), last_lines(&self.log(), 20))
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.left {
            let mut child = self.child();
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The last `count` lines of `text`.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
