//! `cargo xtask cluster`, and that nothing stays behind, whoever is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::kubectl::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::node::LeftNode;
use testbed::{Node, binary, image};

use crate::traces::Traces;

/// What a loaded machine may take for anything that is waited for.
const PATIENCE: Duration = Duration::from_mins(3);

/// The command, with a cluster of its own: all that it writes is in one folder.
struct Xtask {
    _alone: MutexGuard<'static, ()>,
    home: tempfile::TempDir,
    before: Traces,
}

impl Xtask {
    fn new() -> Result<Self> {
        let alone = alone();
        let home = tempfile::tempdir()?;
        fs::create_dir(home.path().join("temporary"))?;
        let before = Traces::of_machine(&home.path().join("temporary"))?;
        Ok(Self { _alone: alone, home, before })
    }

    fn temporary(&self) -> PathBuf {
        self.home.path().join("temporary")
    }

    fn link(&self) -> PathBuf {
        self.home.path().join("link")
    }

    fn command(&self, what: &str) -> Result<Command> {
        let mut command = Command::new(binary("xtask")?);
        command.args(["cluster", what, "--link"]).arg(self.link());
        command.env("TMPDIR", self.temporary()).stdin(Stdio::null());
        Ok(command)
    }

    fn up(&self) -> Result<Command> {
        let mut up = self.command("up")?;
        up.arg("--image").arg(image("mockserver")?);
        Ok(up)
    }

    /// The cluster's folder, whoever knows of it.
    fn folder(&self) -> Option<PathBuf> {
        let mut entries = fs::read_dir(self.temporary()).ok()?.flatten().map(|one| one.path());
        entries.find(|path| path.join("cgroups").is_file())
    }

    fn node(&self) -> Result<LeftNode> {
        self.folder().and_then(|folder| LeftNode::find(&folder)).context("no cluster runs")
    }

    fn pid_of(&self, name: &str) -> Result<i32> {
        let components = self.node()?.components();
        let component = components.iter().find(|one| one.name == name).context("no such thing")?;
        Ok(component.pid.with_context(|| format!("{name} has ended"))?.try_into()?)
    }

    /// The guard that ends the cluster when it is told to.
    fn guard(&self) -> Result<i32> {
        let folder = self.folder().context("no cluster runs")?;
        let named = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.trim_end().ends_with(&format!("testbed-guard {}", folder.display()))
        };
        let entries = fs::read_dir("/proc")?.flatten();
        let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.find(named).context("no guard")
    }

    fn expect_nothing_left(&self, cgroups: &[String]) -> Result<()> {
        self.before.wait_until_restored(&self.temporary())?;
        let left: Vec<_> = cgroups.iter().filter(|path| Path::new(path).exists()).collect();
        assert!(left.is_empty(), "{left:?}");
        Ok(())
    }
}

/// A node takes the better part of a gigabyte: besides the shared one, there is one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The cgroups of the node in `folder`.
fn cgroups(folder: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(folder.join("cgroups"))?;
    let cgroups: Vec<String> = text.lines().map(str::to_owned).collect();
    assert!(!cgroups.is_empty() && cgroups.iter().all(|path| Path::new(path).is_dir()));
    Ok(cgroups)
}

fn run(mut command: Command) -> Result<Output> {
    Ok(command.output()?)
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

fn succeeded(output: &Output) -> Result<String> {
    let said = text(&output.stderr);
    ensure!(output.status.success(), "{}: {said}{}", output.status, text(&output.stdout));
    Ok(text(&output.stdout))
}

/// Whether this machine runs a node at all.
fn is_possible() -> Result<bool> {
    match e2e::node::shared(&["mockserver"])? {
        Ok(_) => Ok(true),
        Err(reason) => {
            testbed::skip(&reason);
            Ok(false)
        }
    }
}

#[test]
fn a_cluster_comes_up_once_tells_what_it_is_and_goes() -> Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    let xtask = Xtask::new()?;
    let status = run(xtask.command("status")?)?;
    assert!(!status.status.success());
    assert!(text(&status.stdout).contains("cluster up"), "{}", text(&status.stdout));

    let first = succeeded(&run(xtask.up()?)?)?;
    let kubeconfig = first.lines().next().and_then(|line| line.strip_prefix("export KUBECONFIG="));
    let kubeconfig = kubeconfig.context("no KUBECONFIG")?;
    let cgroups = cgroups(&xtask.folder().context("it has a folder")?)?;
    let kubectl = |arguments: &[&str]| -> Result<String> {
        let mut kubectl = Command::new(testbed::tools::program("kubectl")?);
        succeeded(&kubectl.env("KUBECONFIG", kubeconfig).args(arguments).output()?)
    };
    kubectl(&["run", "server", "--image=mockserver:0.1.0"])?;
    kubectl(&["wait", "--for=condition=Ready", "pod/server", "--timeout=180s"])?;

    let etcd = xtask.pid_of("etcd")?;
    assert_eq!(succeeded(&run(xtask.up()?)?)?, first, "the same, and nothing was lost");
    assert_eq!(xtask.pid_of("etcd")?, etcd);
    let status = succeeded(&run(xtask.command("status")?)?)?;
    for shown in
        ["Kubernetes v1.36.3", "CoreDNS-1.15.0", "containerd", "Ready", "server", kubeconfig]
    {
        assert!(status.contains(shown), "no {shown} in {status}");
    }

    succeeded(&run(xtask.command("down")?)?)?;
    xtask.expect_nothing_left(&cgroups)?;
    assert!(!xtask.link().exists());
    assert!(succeeded(&run(xtask.command("down")?)?)?.contains("No cluster runs"));
    Ok(())
}

#[test]
fn whatever_of_it_is_killed_down_removes_the_rest() -> Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    let xtask = Xtask::new()?;
    succeeded(&run(xtask.up()?)?)?;
    let cgroups = cgroups(&xtask.folder().context("it has a folder")?)?;
    kill(Pid::from_raw(xtask.pid_of("kubelet")?), Signal::SIGKILL)?;
    eventually("the kubelet is gone", PATIENCE, || {
        Ok(xtask.pid_of("kubelet").is_err().then_some(()))
    })?;
    for what in [xtask.command("status")?, xtask.up()?] {
        let output = run(what)?;
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("kubelet") && said.contains("cluster down"), "{said}");
    }
    // Also the one that would have ended it.
    kill(Pid::from_raw(xtask.guard()?), Signal::SIGKILL)?;
    succeeded(&run(xtask.command("down")?)?)?;
    xtask.expect_nothing_left(&cgroups)
}

#[test]
fn a_start_that_is_killed_leaves_nothing() -> Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    let xtask = Xtask::new()?;
    // Twice: with a guard that sees it, and with none, so that `down` has to find what is left.
    for guarded in [true, false] {
        let mut up = xtask.up()?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let folder = eventually("the kubelet was started", PATIENCE, || {
            ensure!(up.try_wait()?.is_none(), "it ended by itself");
            Ok(xtask.folder().filter(|folder| folder.join("log/kubelet.log").exists()))
        })?;
        let cgroups = cgroups(&folder)?;
        if !guarded {
            kill(Pid::from_raw(xtask.guard()?), Signal::SIGKILL)?;
        }
        up.kill()?;
        up.wait()?;
        if !guarded {
            assert!(folder.exists(), "nobody is left to remove it");
            succeeded(&run(xtask.command("down")?)?)?;
        }
        xtask.expect_nothing_left(&cgroups)?;
    }
    Ok(())
}

#[test]
fn a_node_ends_with_its_value() -> Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    let _alone = alone();
    let options = e2e::node::options(&[])?;
    let node = Node::start(&options)?.map_err(anyhow::Error::msg)?;
    let folder = node.cluster().folder().to_owned();
    let cgroups = cgroups(&folder)?;
    drop(node);
    assert!(!folder.exists());
    assert!(cgroups.iter().all(|path| !Path::new(path).exists()));
    Ok(())
}

#[test]
fn an_image_that_is_not_there_is_named() -> Result<()> {
    if let Err(reason) = testbed::node::is_allowed() {
        testbed::skip(&reason);
        return Ok(());
    }
    let xtask = Xtask::new()?;
    let mut up = xtask.command("up")?;
    up.args(["--image", "/no/such/image.tar"]);
    let output = run(up)?;
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("/no/such/image.tar"), "{}", text(&output.stderr));
    assert_eq!(fs::read_dir(xtask.temporary())?.count(), 0, "nothing was started");
    Ok(())
}
