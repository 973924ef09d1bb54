//! Whether this machine can run a node, and with what.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::Uid;

use crate::tools::{self, on_path};

/// Every kind of namespace but that of users: the kubelet has to be root.
pub(super) const UNSHARE: [&str; 8] =
    ["--cgroup", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child=SIGKILL"];
const TRIAL: &str = include_str!("trial.sh");

/// The programs that a node is made with.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(super) unshare: PathBuf,
    pub(super) nsenter: PathBuf,
    pub(super) setpriv: PathBuf,
    pub(super) containerd: PathBuf,
    pub(super) ctr: PathBuf,
    pub(super) iptables: PathBuf,
    /// Where iptables finds its matches, as the system may have none.
    pub(super) matches: Option<PathBuf>,
    pub(super) coredns: PathBuf,
    /// Where the CNI plugins are.
    pub(super) plugins: PathBuf,
}

impl Machine {
    /// Tries it; the error says why this machine runs no node, and what helps.
    pub(super) fn look() -> Result<Self, String> {
        is_allowed()?;
        let machine = Self::programs()?;
        machine.try_out()?;
        Ok(machine)
    }

    /// The programs alone, where a node runs already.
    pub(super) fn programs() -> Result<Self, String> {
        let find = |program: &str, package: &str| {
            let missing = || format!("{program} is not installed: apt-get install {package}");
            on_path(program).ok_or_else(missing)
        };
        find("ip", "iproute2")?;
        find("mount", "mount")?;
        let containerd = provided("containerd")?;
        let iptables = provided("iptables")?;
        Ok(Self {
            unshare: find("unshare", "util-linux")?,
            nsenter: find("nsenter", "util-linux")?,
            setpriv: find("setpriv", "util-linux")?,
            plugins: unpacked(&containerd).join("usr/lib/cni"),
            ctr: provided("ctr")?,
            coredns: provided("coredns")?,
            matches: matches_of(&unpacked(&iptables).join("usr/lib")),
            containerd,
            iptables,
        })
    }

    fn try_out(&self) -> Result<(), String> {
        let mut trial = Command::new(&self.unshare);
        trial.args(UNSHARE).args(["--", "bash", "-c", TRIAL, "trial"]).arg(&self.iptables);
        if let Some(matches) = &self.matches {
            trial.env("XTABLES_LIBDIR", matches);
        }
        let output = trial.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().rev().take(2).collect::<Vec<_>>().join(": ");
        Err(format!("this machine runs no Kubernetes node: {said}"))
    }
}

/// What can be told before the tools are there: the error says why this user can start no node.
pub fn is_allowed() -> Result<(), String> {
    if Uid::effective().is_root() {
        return Ok(());
    }
    Err("a node has to be started by root, as a kubelet has to mount: try it with sudo".to_owned())
}

/// A program of the tools that a node needs.
fn provided(program: &str) -> Result<PathBuf, String> {
    tools::program(program).map_err(|error| format!("{error:#}"))
}

/// The folder with the files of the packages that hold this program.
fn unpacked(program: &Path) -> PathBuf {
    folder_of(&folder_of(program))
}

pub(super) fn folder_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).to_owned()
}

/// `usr/lib/x86_64-linux-gnu/xtables`, or that of another architecture.
fn matches_of(libraries: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(libraries).ok()?;
    entries.flatten().map(|entry| entry.path().join("xtables")).find(|path| path.is_dir())
}
