//! The pause program, as the first process of a sandbox.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use testbed::{Guard, binary};

const PATIENCE: Duration = Duration::from_secs(30);

/// The states of the children of a process, as proc(5) has them: `Z` for one nobody took in.
fn children(pid: u32) -> String {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let state = |child: &str| {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
    };
    list.split_whitespace().filter_map(state).collect()
}

#[test]
fn it_takes_in_what_ends_and_ends_when_told() -> Result<()> {
    let guard = Guard::new()?;
    // Children of the shell are those of the program that takes its place: one that has ended
    // already, one that ends while it waits, one that stays.
    let script = "true & sleep 0.2 & sleep 600 & exec \"$0\"";
    let mut command = Command::new("bash");
    let pause = guard.spawn("pause", command.args(["-c", script]).arg(binary("pause")?))?;
    pause.wait_until("alone with one child", PATIENCE, || {
        let name = fs::read_to_string(format!("/proc/{}/comm", pause.pid()));
        name.is_ok_and(|name| name == "pause\n") && children(pause.pid()) == "S"
    })?;
    pause.signal(Signal::SIGTERM)?;
    assert!(pause.wait_for_exit(PATIENCE)?.success());
    Ok(())
}
