//! Who runs where.

use std::fs;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// Lets this thread, and what it starts from now on, run on these processors only.
pub fn pin(processors: &[usize]) -> Result<()> {
    confine_thread(0, processors)
}

/// Lets a process that runs already do so on these processors only.
pub fn confine(pid: u32, processors: &[usize]) -> Result<()> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    for thread in threads.with_context(|| format!("process {pid} is gone"))? {
        let name = thread?.file_name();
        let thread = name.to_str().context("a thread has a number")?.parse()?;
        confine_thread(thread, processors)?;
    }
    Ok(())
}

fn confine_thread(thread: i32, processors: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for processor in processors {
        set.set(*processor)?;
    }
    sched_setaffinity(Pid::from_raw(thread), &set)
        .with_context(|| format!("cannot run on processors {processors:?} only"))
}
