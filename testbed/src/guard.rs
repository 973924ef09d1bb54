//! A folder and a group of processes that end with their owner.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::server::Server;

const SCRIPT: &str = include_str!("guard.sh");
/// What a supervisor is called in the list of processes.
const NAME: &str = "testbed-guard";
/// The file with the cgroups that end with a guard.
pub(crate) const CGROUPS: &str = "cgroups";
const PREFIX: &str = "mesher-testbed-";
const DAY: Duration = Duration::from_hours(24);

/// A temporary folder, and the processes that live no longer than this value or
/// the process that owns it.
///
/// A small supervisor (`guard.sh`) waits at the end of a pipe that only we hold.
/// When the pipe closes, because the guard is dropped, the process exits, panics
/// or is killed with SIGKILL, the supervisor kills the process group and removes
/// the folder. Nothing here depends on the thread that spawned a process, and a
/// process being spawned at that moment holds the pipe until it has joined the
/// group: there is no gap in which it could be missed.
///
/// ```
/// let guard = testbed::Guard::new()?;
/// let mut sleep = std::process::Command::new("sleep");
/// let sleeper = guard.spawn("sleeper", sleep.arg("60"))?;
/// assert!(sleeper.is_running());
/// # anyhow::Ok(())
/// ```
#[derive(Debug)]
pub struct Guard {
    folder: PathBuf,
    group: i32,
    supervisor: Mutex<Child>,
    /// `None` once the pipe was closed or the servers were left running.
    pipe: Mutex<Option<ChildStdin>>,
}

impl Guard {
    /// Makes a fresh folder and starts its supervisor.
    pub fn new() -> Result<Self> {
        sweep(&env::temp_dir(), DAY);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir()?.keep();
        fs::create_dir(folder.join("log"))?;
        let mut supervisor = supervise(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start bash, which supervises the servers: install bash")?;
        let pipe = supervisor.stdin.take().context("the supervisor has no input")?;
        let output = supervisor.stdout.take().context("the supervisor has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let group = line.trim().parse().with_context(|| {
            format!("the supervisor of {} did not name its process group", folder.display())
        })?;
        Ok(Self { folder, group, supervisor: Mutex::new(supervisor), pipe: Mutex::new(Some(pipe)) })
    }

    /// The folder; it goes with the guard.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Has these cgroups end with the guard: they are removed with all that runs in them.
    pub(crate) fn own_cgroups(&self, cgroups: &[PathBuf]) -> Result<()> {
        fs::write(self.folder.join(CGROUPS), lines(cgroups)).context("cannot note the cgroups")
    }

    /// The process whose end by SIGTERM ends everything that [`Guard::keep`] left.
    pub fn supervisor_pid(&self) -> u32 {
        self.supervisor
            .lock()
            .map_or_else(|poisoned| poisoned.into_inner().id(), |child| child.id())
    }

    /// Starts a process whose output goes to `log/NAME.log` in the folder.
    ///
    /// The caller may drop the [`Server`] to end it earlier than the guard.
    pub fn spawn(&self, name: &str, command: &mut Command) -> Result<Server> {
        self.spawn_with(name, command, Stdio::null())
    }

    /// [`Guard::spawn`] with something on its standard input.
    pub(crate) fn spawn_with(
        &self,
        name: &str,
        command: &mut Command,
        input: Stdio,
    ) -> Result<Server> {
        let log = self.folder.join("log").join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .process_group(self.group)
            .stdin(input)
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| {
                format!("cannot start {name} ({})", command.get_program().to_string_lossy())
            })?;
        Ok(Server::new(name, child, log))
    }

    /// Leaves everything running after we are gone, until the supervisor gets
    /// SIGTERM: `kill` [`Guard::supervisor_pid`].
    ///
    /// [`Server`]s that are dropped are still stopped: [`Server::leave`] them.
    pub fn keep(&self) -> Result<()> {
        let mut pipe =
            self.pipe.lock().map_err(|_| anyhow::anyhow!("the guard's owner panicked"))?;
        if let Some(mut pipe) = pipe.take() {
            pipe.write_all(b"keep\n").context("the supervisor is gone")?;
            drop(pipe);
        }
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let pipe = self.pipe.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(pipe) = pipe.take() {
            drop(pipe);
            let supervisor =
                self.supervisor.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
            let _ = supervisor.wait();
        }
    }
}

/// A path on each line, as scripts read them.
pub(crate) fn lines(paths: &[PathBuf]) -> String {
    paths.iter().fold(String::new(), |lines, path| lines + &path.to_string_lossy() + "\n")
}

/// The folders of all guards of this machine.
pub(crate) fn folders() -> Vec<PathBuf> {
    let entries = fs::read_dir(env::temp_dir()).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    ours.map(|entry| entry.path()).collect()
}

/// The supervisor of a folder that was left running, if it still lives.
pub(crate) fn supervisor_of(folder: &Path) -> Option<Pid> {
    let folder = folder.as_os_str().as_encoded_bytes();
    processes().into_iter().find_map(|(pid, line)| {
        let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let named = arguments.windows(2).any(|two| two == [NAME.as_bytes(), folder]);
        named.then(|| Pid::from_raw(pid))
    })
}

/// Ends all that was left running for a folder and removes it, whether or not its supervisor lives.
pub(crate) fn end(folder: &Path, deadline: Duration) -> Result<()> {
    if let Some(supervisor) = supervisor_of(folder) {
        let _ = nix::sys::signal::kill(supervisor, Signal::SIGTERM);
        let started = Instant::now();
        while supervisor_of(folder).is_some() {
            ensure!(
                started.elapsed() < deadline,
                "process {supervisor}, which ends all, still runs after {deadline:?}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
    if folder.exists() {
        finish(folder)?;
    }
    ensure!(!folder.exists(), "{} could not be removed", folder.display());
    Ok(())
}

/// A supervisor that has nobody to wait for ends at once, and everything else with it.
fn finish(folder: &Path) -> Result<()> {
    supervise(folder).stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    Ok(())
}

fn supervise(folder: &Path) -> Command {
    let mut supervisor = Command::new("bash");
    supervisor.args(["-c", SCRIPT, NAME]).arg(folder).process_group(0).stderr(Stdio::null());
    supervisor
}

/// The processes of this machine and their command lines.
fn processes() -> Vec<(i32, Vec<u8>)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            Some((pid, fs::read(process.path().join("cmdline")).ok()?))
        })
        .collect()
}

/// Removes folders whose supervisor was killed too, for instance by a reboot.
///
/// A young folder may not have its supervisor yet: only those older than `age` go.
fn sweep(parent: &Path, age: Duration) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    let processes = processes();
    for entry in entries.flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let old = entry
            .metadata()
            .and_then(|data| data.modified())
            .is_ok_and(|made| made.elapsed().is_ok_and(|passed| passed >= age));
        let text = path.as_os_str().as_encoded_bytes();
        let guarded = processes
            .iter()
            .any(|(_, line)| line.split(|byte| *byte == 0).any(|argument| argument == text));
        if ours && old && !guarded {
            let _ = finish(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_guards_is_swept() -> Result<()> {
        let parent = tempfile::tempdir()?;
        let folder = |name: &str| parent.path().join(name);
        let stale = folder("mesher-testbed-stale");
        let guarded = folder("mesher-testbed-guarded");
        let foreign = folder("of-somebody-else");
        for folder in [&stale, &guarded, &foreign] {
            fs::create_dir(folder)?;
        }
        let guard = Guard::new()?;
        let mut command = Command::new("bash");
        let script = "echo up; sleep 600; true";
        let server = guard.spawn("supervisor", command.args(["-c", script]).arg(&guarded))?;
        // Until it runs bash, its command line is ours.
        server.wait_until("up", Duration::from_secs(30), || server.log().contains("up"))?;

        sweep(parent.path(), DAY);
        assert!(stale.exists(), "it is too young to be stale");
        sweep(parent.path(), Duration::ZERO);
        assert!(!stale.exists());
        assert!(guarded.exists());
        assert!(foreign.exists());
        Ok(())
    }
}
