//! A node that runs on after the process that started it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::entrance::Entrance;
use super::machine::Machine;
use super::{cgroups, images};
use crate::cluster::{ADMIN, DEADLINE, Pki};
use crate::guard;

/// The file that says that the node was started to the end.
const FINISHED: &str = "finished";
/// What a node consists of, and what the kernel calls it: of a long name the beginning.
const COMPONENTS: [(&str, &str); 9] = [
    ("etcd", "etcd"),
    ("kube-apiserver", "kube-apiserver"),
    ("kube-controller-manager", "kube-controller"),
    ("kube-scheduler", "kube-scheduler"),
    ("containerd", "containerd"),
    ("kubelet", "kubelet"),
    ("kube-proxy", "kube-proxy"),
    ("coredns", "coredns"),
    // Carries connections from this machine to the API server.
    ("door", "testbed"),
];

/// A node that [`Node::keep`](super::Node::keep) left running, known by its folder.
#[derive(Debug)]
pub struct LeftNode {
    folder: PathBuf,
}

/// One of the servers that a node consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// What it is called.
    pub name: &'static str,
    /// Its process, as numbered on this machine; `None`: it has ended.
    pub pid: Option<u32>,
}

impl LeftNode {
    /// The node of this folder, in whatever state it is; `None`: the folder is gone, and with it all.
    pub fn find(folder: &Path) -> Option<Self> {
        folder.is_dir().then(|| Self { folder: folder.to_owned() })
    }

    /// Nodes that nobody looks after any more: their owner was killed, and so was its guard.
    pub fn orphans() -> Vec<Self> {
        let all = guard::folders().into_iter();
        let orphaned = all.filter(|folder| {
            folder.join(guard::CGROUPS).is_file() && guard::supervisor_of(folder).is_none()
        });
        orphaned.map(|folder| Self { folder }).collect()
    }

    /// Its folder; logs are in `log/`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        Pki::at(&self.folder.join("pki")).kubeconfig(&ADMIN)
    }

    /// Whether it was started to the end; else whoever did was killed.
    pub fn is_finished(&self) -> bool {
        self.folder.join(FINISHED).is_file()
    }

    /// What it consists of.
    pub fn components(&self) -> Vec<Component> {
        let roots = fs::read_to_string(self.folder.join(guard::CGROUPS)).unwrap_or_default();
        let running: Vec<(u32, String)> = cgroups::processes(&roots)
            .into_iter()
            .filter_map(|pid| Some((pid, fs::read_to_string(format!("/proc/{pid}/comm")).ok()?)))
            .collect();
        let of = |called: &str| {
            let mut named = running.iter().filter(|(_, comm)| comm.trim_end() == called);
            named.next().map(|(pid, _)| *pid)
        };
        COMPONENTS.iter().map(|(name, called)| Component { name, pid: of(called) }).collect()
    }

    /// Whether somebody waits for the order to end it. Without, [`LeftNode::end`] works all the same.
    pub fn is_guarded(&self) -> bool {
        guard::supervisor_of(&self.folder).is_some()
    }

    /// [`Node::import`](super::Node::import)
    pub fn import(&self, archive: &Path) -> Result<()> {
        let machine = Machine::programs().map_err(|reason| anyhow!("{reason}"))?;
        images::import(&Entrance::find(&self.folder, machine)?, archive)
    }

    /// Ends it, and removes all that was made for it.
    pub fn end(self) -> Result<()> {
        guard::end(&self.folder, DEADLINE)
    }
}

/// Notes that the node is whole.
pub(super) fn finish(folder: &Path) -> Result<()> {
    Ok(fs::write(folder.join(FINISHED), "")?)
}
