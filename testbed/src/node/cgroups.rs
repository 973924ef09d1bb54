//! The cgroups of a node: one in every hierarchy, below this process's own.
//!
//! With version 1, each controller has a hierarchy of its own. With version 2 there is one, in which
//! a cgroup that gives controllers to its children holds no processes itself (cgroups(7)): the node's
//! are in its child `init`, but for the one that makes the namespaces, as the root of a cgroup
//! namespace is where that one is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Those without which a kubelet does not start.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// The cgroups of one node.
#[derive(Debug)]
pub(super) struct Cgroups {
    /// The roots of the node's namespace.
    roots: Vec<PathBuf>,
    /// That of version 2, where there is one.
    unified: Option<PathBuf>,
}

/// A hierarchy of this machine, and where in it we are.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    /// As in `/proc/self/cgroup`; empty for version 2.
    controllers: String,
    mounted: PathBuf,
    own: PathBuf,
}

impl Cgroups {
    /// Where a node called `name` would have its cgroups; the error says why it cannot have any.
    pub(super) fn choose(name: &str) -> Result<Self, String> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let all = hierarchies(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"));
        let of_version_1 = |controller: &str| {
            all.iter().any(|one| one.controllers.split(',').any(|name| name == controller))
        };
        let wanted: Vec<&str> =
            CONTROLLERS.into_iter().filter(|controller| !of_version_1(controller)).collect();
        let (mut roots, mut unified) = (Vec::new(), None);
        for one in &all {
            let parent = if one.controllers.is_empty() {
                delegating(one, &wanted)
            } else {
                Some(one.own.as_path())
            };
            if let Some(parent) = parent {
                let root = parent.join(name);
                if one.controllers.is_empty() {
                    unified = Some(root.clone());
                }
                roots.push(root);
            }
        }
        if unified.is_none() && !wanted.is_empty() {
            return Err(format!(
                "no cgroup above this process gives its children the controllers {}: start it from \
                 a session or service of systemd, or in a container with the machine's cgroups",
                wanted.join(", ")
            ));
        }
        Ok(Self { roots, unified })
    }

    /// The roots of the node's namespace: to be owned before they are made.
    pub(super) fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// Where the node's processes are.
    pub(super) fn entered(&self) -> Vec<PathBuf> {
        let place = |root: &PathBuf| {
            if Some(root) == self.unified.as_ref() { init(root) } else { root.clone() }
        };
        self.roots.iter().map(place).collect()
    }

    /// Makes them, ready to be entered.
    pub(super) fn make(&self) -> Result<()> {
        for root in &self.roots {
            fs::create_dir(root)
                .with_context(|| format!("cannot make the cgroup {}", root.display()))?;
            // In version 1, a new one has none of these and takes no process.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let above = root.parent().map(|parent| parent.join(file)).unwrap_or_default();
                if Some(root) != self.unified.as_ref() && above.exists() {
                    fs::write(root.join(file), fs::read(above)?)?;
                }
            }
        }
        if let Some(root) = &self.unified {
            fs::create_dir(init(root))?;
        }
        Ok(())
    }

    /// Hands the controllers on to what the kubelet will make, once the namespaces are there.
    pub(super) fn delegate(&self) -> Result<()> {
        let Some(root) = &self.unified else { return Ok(()) };
        for process in fs::read_to_string(root.join("cgroup.procs"))?.lines() {
            fs::write(init(root).join("cgroup.procs"), process)
                .with_context(|| format!("cannot move process {process} in {}", root.display()))?;
        }
        for controller in fs::read_to_string(root.join("cgroup.controllers"))?.split_whitespace() {
            fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"))
                .with_context(|| format!("cannot delegate {controller} in {}", root.display()))?;
        }
        Ok(())
    }
}

/// The processes in these cgroups and below, as numbered on this machine.
pub(super) fn processes(cgroups: &str) -> Vec<u32> {
    let mut folders: Vec<PathBuf> = cgroups.lines().map(PathBuf::from).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn init(root: &Path) -> PathBuf {
    root.join("init")
}

/// The nearest cgroup, our own or above, that gives its children all of `controllers`.
fn delegating<'h>(hierarchy: &'h Hierarchy, controllers: &[&str]) -> Option<&'h Path> {
    let above = hierarchy.own.ancestors();
    above.take_while(|path| path.starts_with(&hierarchy.mounted)).find(|path| {
        let given = fs::read_to_string(path.join("cgroup.subtree_control")).unwrap_or_default();
        controllers.iter().all(|wanted| given.split_whitespace().any(|one| one == *wanted))
    })
}

/// The mounted ones among those in `/proc/self/cgroup`, by `/proc/self/mountinfo` (proc(5)).
fn hierarchies(own: &str, mounts: &str) -> Vec<Hierarchy> {
    let of_line = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        mounts.lines().find_map(|mount| {
            let (place, kind) = mount.split_once(" - ")?;
            let (mut place, mut kind) = (place.split(' ').skip(3), kind.split(' '));
            let (root, mounted) = (place.next()?, Path::new(place.next()?));
            let (kind, options) = (kind.next()?, kind.nth(1)?);
            let has = |controller| options.split(',').any(|option| option == controller);
            let is_it = match kind {
                "cgroup2" => controllers.is_empty(),
                "cgroup" => !controllers.is_empty() && controllers.split(',').all(has),
                _ => false,
            };
            // In a container, a part of the hierarchy is mounted.
            let below = Path::new(path).strip_prefix(root).ok().filter(|_| is_it)?;
            let own =
                if below.as_os_str().is_empty() { mounted.into() } else { mounted.join(below) };
            Some(Hierarchy { controllers: controllers.to_owned(), mounted: mounted.into(), own })
        })
    };
    own.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(own: &str, mounts: &str) -> Vec<(String, String)> {
        let line = |one: Hierarchy| (one.controllers, one.own.display().to_string());
        hierarchies(own, mounts).into_iter().map(line).collect()
    }

    #[test]
    fn each_controller_has_a_place_with_version_1() {
        let own = "9:name=systemd:/\n4:memory:/a/b\n2:cpu,cpuacct:/\n0::/\n";
        let mounts = "\
            20 1 0:18 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            21 20 0:19 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
            22 20 0:20 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
            23 20 0:21 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";
        let expected = [
            ("name=systemd", "/sys/fs/cgroup/systemd"),
            ("memory", "/sys/fs/cgroup/memory/a/b"),
            ("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct"),
        ];
        assert_eq!(found(own, mounts), expected.map(|(one, at)| (one.to_owned(), at.to_owned())));
    }

    #[test]
    fn all_have_one_with_version_2() {
        let mounts = "30 1 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let own = "0::/user.slice/user-0.slice/session-1.scope\n";
        let place = "/sys/fs/cgroup/user.slice/user-0.slice/session-1.scope";
        assert_eq!(found(own, mounts), [(String::new(), place.to_owned())]);
        // A container without a namespace of its own sees its part only.
        let mounts = "30 1 0:26 /docker/0 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(found("0::/docker/0\n", mounts), [(String::new(), "/sys/fs/cgroup".to_owned())]);
        assert_eq!(found("0::/elsewhere\n", mounts), []);
    }

    #[test]
    fn who_gives_controllers_is_looked_for_upwards() -> Result<()> {
        let mounted = tempfile::tempdir()?;
        let own = mounted.path().join("slice/scope");
        fs::create_dir_all(&own)?;
        let give = |folder: &str, controllers: &str| {
            fs::write(mounted.path().join(folder).join("cgroup.subtree_control"), controllers)
        };
        give("slice/scope", "\n")?;
        give("slice", "memory pids\n")?;
        give("", "cpuset cpu io memory pids\n")?;
        let hierarchy =
            Hierarchy { controllers: String::new(), mounted: mounted.path().into(), own };
        let found = |wanted: &[&str]| delegating(&hierarchy, wanted).map(Path::to_owned);
        assert_eq!(found(&CONTROLLERS), Some(mounted.path().to_owned()));
        assert_eq!(found(&["memory"]), Some(mounted.path().join("slice")));
        assert_eq!(found(&[]), Some(mounted.path().join("slice/scope")));
        assert_eq!(found(&["rdma"]), None);
        Ok(())
    }

    #[test]
    fn a_process_is_found_wherever_it_is() -> Result<()> {
        let root = tempfile::tempdir()?;
        fs::create_dir_all(root.path().join("kubepods/pod1"))?;
        fs::write(root.path().join("cgroup.procs"), "7\n12\n")?;
        fs::write(root.path().join("kubepods/pod1/cgroup.procs"), "31\n7\n")?;
        assert_eq!(processes(&format!("{}\n", root.path().display())), [7, 12, 31]);
        Ok(())
    }
}
