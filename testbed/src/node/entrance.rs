//! The way into a node's namespaces.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::machine::{Machine, folder_of};
use crate::guard;

/// Enters the node's cgroups, then becomes the command.
const JOIN: &str = "while read -r cgroup; do echo $$ >\"$cgroup/cgroup.procs\"; done <\"$0\" && \
    exec \"$@\"";
/// The file with the cgroups that the node's processes are in, one a line.
const CGROUPS: &str = "entered";
/// The file with the process id of the outer end of the namespaces.
const HOLDER: &str = "holder";
/// Would lead the node's servers out of the node, for instance to call a webhook.
const PROXIES: [&str; 6] =
    ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// A way into the namespaces of a node.
#[derive(Debug, Clone)]
pub(crate) struct Entrance {
    folder: PathBuf,
    machine: Machine,
    /// The process that made the namespaces, on this machine.
    holder: u32,
}

impl Entrance {
    /// Notes in the node's folder how it is entered.
    pub(super) fn open(
        folder: &Path,
        machine: Machine,
        holder: u32,
        cgroups: &[PathBuf],
    ) -> Result<Self> {
        fs::write(folder.join(CGROUPS), guard::lines(cgroups))?;
        fs::write(folder.join(HOLDER), holder.to_string())?;
        Ok(Self { folder: folder.to_owned(), machine, holder })
    }

    /// The entrance of the node in this folder.
    pub(super) fn find(folder: &Path, machine: Machine) -> Result<Self> {
        let holder = fs::read_to_string(folder.join(HOLDER)).context("no node was started")?;
        let holder = holder.parse().context("the node's folder is damaged")?;
        Ok(Self { folder: folder.to_owned(), machine, holder })
    }

    /// What the node was made with.
    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The command that will run this program in the node, and end with the process it starts.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.join(&self.machine.nsenter);
        // That of the processes' numbers is not the holder's own, but its children's.
        let numbers = format!("--pid=/proc/{}/ns/pid_for_children", self.holder);
        command
            .arg(format!("--target={}", self.holder))
            .args(["--cgroup", "--mount", "--net", "--uts", "--ipc", &numbers, "--"])
            .arg(&self.machine.setpriv)
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .envs(self.machine.environment())
            // runc writes there, and nothing else of the machine can be written to.
            .env("TMPDIR", self.folder.join("data/tmp"));
        command
    }

    /// The same for a whole command, with what is set in its environment.
    pub(crate) fn around(&self, command: &Command) -> Command {
        let mut inside = self.command(command.get_program());
        inside.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// The command that will run this program in the node's network, and else on this machine.
    pub(super) fn in_network(&self, program: &Path) -> Command {
        let mut command = self.join(&self.machine.nsenter);
        command.arg(format!("--target={}", self.holder)).args(["--net", "--"]).arg(program);
        command
    }

    /// The command that will run this program in the node's cgroups.
    fn join(&self, program: &Path) -> Command {
        joining(&self.folder.join(CGROUPS), program)
    }
}

/// The command that will run this program in the cgroups that the file `list` names.
pub(super) fn joining(list: &Path, program: &Path) -> Command {
    let mut bash = Command::new("bash");
    bash.args(["-c", JOIN]).arg(list).arg(program).stdin(Stdio::null());
    for name in PROXIES {
        bash.env_remove(name);
    }
    bash
}

impl Machine {
    /// Where the node's servers find the programs that they call.
    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let programs = [&self.containerd, &self.iptables].map(|path| folder_of(path));
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = programs.into_iter().chain(env::split_paths(&path));
        let folders = folders.chain(["/usr/sbin".into(), "/sbin".into()]);
        let mut environment = vec![("PATH", env::join_paths(folders).unwrap_or(path.clone()))];
        environment.extend(self.matches.clone().map(|folder| ("XTABLES_LIBDIR", folder.into())));
        environment
    }
}
