//! Whatever happens to their owner, guarded processes end and their folder goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::Guard;

/// A process that can be found by the folder in its command line.
fn sleeper(folder: &Path) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", "sleep 600; true"]).arg(folder);
    command
}

/// The processes that name `folder` on their command line: its supervisor too.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy().into_owned();
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&folder))
        .collect()
}

/// Waits until nothing of `folder` is left, and returns what was when time was up.
fn left_of(folder: &Path) -> Vec<String> {
    let started = Instant::now();
    loop {
        let mut left = processes_of(folder);
        left.extend(folder.exists().then(|| folder.display().to_string()));
        if left.is_empty() || started.elapsed() > Duration::from_secs(30) {
            return left;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_dropped_guard_leaves_nothing() -> Result<()> {
    let guard = Guard::new()?;
    let folder = guard.folder().to_owned();
    let sleeper = guard.spawn("sleeper", &mut sleeper(&folder))?;
    assert!(sleeper.is_running());
    // Spawning returns when exec has begun; the new command line can be there a moment later.
    sleeper.wait_until("seen beside its supervisor", Duration::from_secs(30), || {
        processes_of(&folder).len() == 2
    })?;
    drop(guard);
    // The supervisor killed it; we are its parent and have not reaped it.
    sleeper.wait_for_exit(Duration::from_secs(30))?;
    assert_eq!(left_of(&folder), Vec::<String>::new());
    Ok(())
}

#[test]
fn a_panicking_owner_leaves_nothing() -> Result<()> {
    let (send, receive) = std::sync::mpsc::channel::<PathBuf>();
    let owner = thread::spawn(move || {
        let guard = Guard::new().expect("a guard");
        let folder = guard.folder().to_owned();
        let server = guard.spawn("sleeper", &mut sleeper(&folder)).expect("a sleeper");
        send.send(folder).expect("the test waits");
        assert!(!server.is_running(), "this panic is part of the test");
    });
    let folder = receive.recv()?;
    assert!(owner.join().is_err(), "the owner should have panicked");
    assert_eq!(left_of(&folder), Vec::<String>::new());
    Ok(())
}

#[test]
fn a_killed_owner_leaves_no_server() -> Result<()> {
    use std::io::{BufRead, BufReader};

    let mut owner = Command::new(env!("CARGO_BIN_EXE_testbed"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(owner.stdout.take().context("no output")?).read_line(&mut line)?;
    let kubeconfig = line.trim().strip_prefix("export KUBECONFIG=").context(line.clone())?;
    // FOLDER/pki/admin.kubeconfig
    let folder = Path::new(kubeconfig).ancestors().nth(2).context("too short a path")?;
    let running = processes_of(folder).join("\n");
    for server in ["etcd", "kube-apiserver", "kube-controller-manager", "testbed-guard"] {
        assert!(running.contains(server), "{server} does not run; these do:\n{running}");
    }
    owner.kill()?;
    owner.wait()?;
    assert_eq!(left_of(folder), Vec::<String>::new());
    Ok(())
}

#[test]
fn what_is_kept_runs_on_until_the_supervisor_is_told() -> Result<()> {
    let guard = Guard::new()?;
    let folder = guard.folder().to_owned();
    let server = guard.spawn("sleeper", &mut sleeper(&folder))?;
    guard.keep()?;
    let supervisor = Pid::from_raw(i32::try_from(guard.supervisor_pid())?);
    let pid = Pid::from_raw(i32::try_from(server.pid())?);
    server.leave();
    drop(guard);
    assert!(kill(pid, None).is_ok(), "the kept process is gone");
    assert!(folder.exists());
    kill(supervisor, Signal::SIGTERM)?;
    assert_eq!(left_of(&folder), Vec::<String>::new());
    Ok(())
}

#[test]
fn the_error_of_a_server_that_dies_early_holds_its_log() -> Result<()> {
    let guard = Guard::new()?;
    let mut command = Command::new("bash");
    command.args(["-c", "echo no port left >&2; exit 3"]);
    let server = guard.spawn("unlucky", &mut command)?;
    let error = server
        .wait_until("ready", Duration::from_secs(30), || false)
        .expect_err("a dead server is not ready")
        .to_string();
    assert!(error.contains("unlucky ended (exit status: 3)"), "{error}");
    assert!(error.contains("no port left"), "{error}");
    Ok(())
}
