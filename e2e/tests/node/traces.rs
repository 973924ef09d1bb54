//! What a node could leave on the machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use e2e::kubectl::eventually;
use testbed::tools::program;

/// What servers of a node make elsewhere, where nobody keeps them from it.
const FOLDERS: [&str; 9] = [
    "/etc/cni",
    "/opt/cni",
    "/opt/containerd",
    "/run/containerd",
    "/run/netns",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/pods",
];
/// What a kubelet and a kube-proxy set, as far as it holds for the whole machine.
const SETTINGS: [&str; 9] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "net/ipv4/ip_forward",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
];

/// The state of the machine, as far as a node with its folder below `folder` might change it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Traces(BTreeMap<String, String>);

impl Traces {
    /// How it is now.
    pub(super) fn of_machine(folder: &Path) -> Result<Self> {
        let mut traces = BTreeMap::new();
        let mut note = |what: &str, text: String| traces.insert(what.to_owned(), text);
        for arguments in [&["link"][..], &["address"], &["route", "show", "table", "all"]] {
            note(&arguments.join(" "), links(&run("ip", arguments)?));
        }
        if let Ok(iptables_save) = program("iptables-save") {
            note("rules", rules(&run(&iptables_save.display().to_string(), &[])?));
        }
        for path in FOLDERS {
            note(path, Path::new(path).exists().to_string());
        }
        for name in SETTINGS {
            note(name, fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap_or_default());
        }
        // Of these, others come and go: only the node's count.
        let named = folder.to_str().context("a folder with a name")?;
        let ours = |text: &str| {
            let lines: Vec<&str> = text.lines().filter(|line| line.contains(named)).collect();
            lines.join("\n")
        };
        note("mounts", ours(&fs::read_to_string("/proc/self/mountinfo")?));
        note("processes", processes_of(named));
        note("folders", folders_in(folder)?);
        Ok(Self(traces))
    }

    /// Waits until all is as it was.
    pub(super) fn wait_until_restored(&self, folder: &Path) -> Result<()> {
        eventually("nothing is left of the node", Duration::from_mins(2), || {
            let now = Self::of_machine(folder)?;
            let differs = self.0.iter().find(|(what, before)| now.0.get(*what) != Some(before));
            match differs {
                Some((what, before)) => bail!("{what}: {before:?} is {:?}", now.0.get(what)),
                None => Ok(Some(())),
            }
        })
    }
}

/// What is counted or measured in between is no difference.
fn links(text: &str) -> String {
    let times = ["valid_lft", "expires"];
    let lines = text.lines().filter(|line| !times.iter().any(|time| line.contains(time)));
    lines.collect::<Vec<_>>().join("\n")
}

fn rules(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with(['#', ':']));
    lines.collect::<Vec<_>>().join("\n")
}

fn processes_of(named: &str) -> String {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|process| {
        let line = fs::read(process.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(named).then_some(line)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn folders_in(folder: &Path) -> Result<String> {
    let names = fs::read_dir(folder)?.flatten().map(|entry| entry.file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names.join("\n"))
}

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
