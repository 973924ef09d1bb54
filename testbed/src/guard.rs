//! A folder and a group of processes that end with their owner.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::server::Server;

const SCRIPT: &str = include_str!("guard.sh");
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
        let mut supervisor = Command::new("bash")
            .args(["-c", SCRIPT, "testbed-guard"])
            .arg(&folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
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

/// Removes folders whose supervisor was killed too, for instance by a reboot.
///
/// A young folder may not have its supervisor yet: only those older than `age` go.
fn sweep(parent: &Path, age: Duration) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    let arguments: Vec<Vec<u8>> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .collect();
    for entry in entries.flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let old = entry
            .metadata()
            .and_then(|data| data.modified())
            .is_ok_and(|made| made.elapsed().is_ok_and(|passed| passed >= age));
        let text = path.as_os_str().as_encoded_bytes();
        let guarded = arguments
            .iter()
            .any(|line| line.split(|byte| *byte == 0).any(|argument| argument == text));
        if ours && old && !guarded {
            let _ = fs::remove_dir_all(path);
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
