//! What a request costs whatever the machine: system calls and instructions.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// For who counts to attach to a process.
const PATIENCE: Duration = Duration::from_secs(20);

/// The system calls of some processes while `work` runs; by perf, which they hardly notice, else by
/// strace.
pub fn system_calls(
    folder: &Path,
    pids: &[u32],
    mut work: impl FnMut() -> Result<()>,
) -> Result<u64> {
    let file = folder.join("system-calls");
    let perf = count_with(perf(pids, &file), &file, read_perf, &mut work);
    perf.or_else(|perf| {
        count_with(strace(pids, &file), &file, read_strace, &mut work)
            .map_err(|strace| strace.context(format!("{perf:#}; and by strace")))
    })
}

fn count_with(
    mut counter: Command,
    file: &Path,
    read: fn(&str) -> Option<u64>,
    work: &mut impl FnMut() -> Result<()>,
) -> Result<u64> {
    let name = counter.get_program().to_string_lossy().into_owned();
    let _ = fs::remove_file(file);
    counter.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut counter = counter.spawn().with_context(|| format!("{name} is not installed"))?;
    let counted = attached(&mut counter).and_then(|()| work());
    let _ = kill(Pid::from_raw(i32::try_from(counter.id())?), Signal::SIGINT);
    counter.wait()?;
    counted.with_context(|| format!("{name} could not be used"))?;
    let text = fs::read_to_string(file).with_context(|| format!("{name} wrote nothing"))?;
    read(&text).with_context(|| format!("{name} counted nothing: {}", text.trim()))
}

fn perf(pids: &[u32], file: &Path) -> Command {
    let mut perf = Command::new("perf");
    perf.args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", &list(pids), "-o"]).arg(file);
    perf
}

fn strace(pids: &[u32], file: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-p", &list(pids), "-o"]).arg(file);
    strace
}

fn list(pids: &[u32]) -> String {
    pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Waits until it has what it counts with: perf opens events, strace becomes a tracer and then
/// sleeps. Both are quick, and neither says so.
fn attached(counter: &mut Child) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let pid = counter.id();
    loop {
        if let Some(status) = counter.try_wait()? {
            bail!("it ended ({status})");
        }
        let events = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let counting = events.filter_map(|fd| fs::read_link(fd.path()).ok());
        let counts = counting.filter(|to| to.to_string_lossy().contains("perf_event")).count() > 0;
        let traces = fs::read_to_string(format!("/proc/{pid}/wchan"));
        if counts || traces.is_ok_and(|at| at.contains("do_wait")) {
            // There is one for each thread.
            thread::sleep(Duration::from_millis(200));
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "it does not begin");
        thread::sleep(Duration::from_millis(20));
    }
}

/// `COUNT,,raw_syscalls:sys_enter,...`
fn read_perf(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains("sys_enter"))?;
    line.split(',').next()?.parse().ok()
}

/// `100.00    0.123    1    CALLS    [ERRORS] total`
fn read_strace(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.trim_end().ends_with(" total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// The instructions of a program that callgrind has written down.
pub fn instructions(file: &Path) -> Result<u64> {
    let text = fs::read_to_string(file).context("callgrind wrote nothing: is valgrind there?")?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    Ok(total.context("callgrind tells no total")?.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::{read_perf, read_strace};

    #[test]
    fn the_counters_are_understood() {
        let perf = "# started on Sat\n\n81234,,raw_syscalls:sys_enter,1200000,100.00,,\n";
        assert_eq!(read_perf(perf), Some(81234));
        assert_eq!(read_perf("<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n"), None);
        let strace = "% time     seconds  usecs/call     calls    errors syscall\n\
                      ------ ----------- ----------- --------- --------- ----------------\n\
                      100.00    0.004         1      4032         2 total\n";
        assert_eq!(read_strace(strace), Some(4032));
    }
}
