//! Processes that nothing else on the machine can interrupt for a while.
//!
//! Where server and load share two processors with the rest of the system, its background work
//! stops one of them for milliseconds, several times a second. Most of a p99 is then the machine's.
//! Under the kernel's real-time policy only they run, and what is left is their own.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// As long as this value lives, some processes run under `SCHED_RR` (sched(7)).
#[derive(Debug)]
pub struct Undisturbed(Vec<u32>);

impl Undisturbed {
    /// Lifts this process and `others`, with all threads that they have and start meanwhile. That
    /// takes the right to do so (`CAP_SYS_NICE`), and `chrt` of util-linux.
    pub fn with(others: impl IntoIterator<Item = u32>) -> Result<Self> {
        let mut lifted = Self(Vec::new());
        for pid in std::iter::once(std::process::id()).chain(others) {
            lifted.0.push(pid);
            schedule(&["--rr", "--all-tasks", "--pid", "10"], pid)?;
        }
        Ok(lifted)
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        for pid in &self.0 {
            if let Err(error) = schedule(&["--other", "--all-tasks", "--pid", "0"], *pid) {
                eprintln!("process {pid} keeps its real-time policy: {error:#}");
            }
        }
    }
}

fn schedule(how: &[&str], pid: u32) -> Result<()> {
    let chrt = Command::new("chrt").args(how).arg(pid.to_string()).output();
    let chrt = chrt.context("running chrt, which is part of util-linux")?;
    let said = String::from_utf8_lossy(&chrt.stderr);
    ensure!(chrt.status.success(), "{}", said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The field `policy` of `/proc/PID/stat`, proc(5): 2 is `SCHED_RR`.
    fn policy() -> Option<String> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let (_, rest) = stat.rsplit_once(") ")?;
        rest.split(' ').nth(41 - 3).map(str::to_owned)
    }

    #[test]
    fn it_lasts_as_long_as_the_value() {
        assert_eq!(policy().as_deref(), Some("0"));
        match Undisturbed::with([]) {
            Ok(undisturbed) => {
                assert_eq!(policy().as_deref(), Some("2"));
                drop(undisturbed);
            }
            Err(error) => testbed::skip(&format!("real-time scheduling: {error:#}")),
        }
        assert_eq!(policy().as_deref(), Some("0"));
    }

    #[test]
    fn who_is_gone_cannot_be_lifted() {
        assert!(schedule(&["--other", "--pid", "0"], u32::MAX >> 1).is_err());
    }
}
