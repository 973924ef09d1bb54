//! `cargo xtask cluster`: a Kubernetes with a node on this machine, to try things on.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use testbed::node::LeftNode;
use testbed::progress::Step;
use testbed::tools::program;
use testbed::{Node, NodeOptions};

use crate::{cargo, images, tools};

/// The pinned servers and tools it is made of.
pub(crate) const TOOLS: [&str; 5] = ["etcd", "kubernetes", "coredns", "containerd", "iptables"];
/// How long a program may take to say its version.
const VERSION: Duration = Duration::from_secs(5);
/// How to get rid of a broken one.
const AGAIN: &str = "`cargo xtask cluster down` removes it, then it can be started again";

/// Options of `cargo xtask cluster`.
#[derive(Debug, Args)]
#[command(after_help = "\
It needs root, and Debian's packages: they are unpacked into the cache, not installed. Everything is in
namespaces of its own. The machine's network, mounts, files and settings are not touched, and the
cluster leads nowhere but to 127.0.0.1: its pods reach no other machine, and no registry. Images come
as files, by --image. It runs until `down`, or until the machine does.")]
pub(crate) struct Cluster {
    #[command(subcommand)]
    what: What,
    /// Where a link to the cluster's folder is kept; with another, another cluster is meant
    #[arg(long, value_name = "PATH", default_value = "target/cluster", global = true)]
    link: PathBuf,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Start it, unless it runs already, and bring images
    Up(Up),
    /// End it and remove all that was made for it
    Down,
    /// Say what runs of it, in which versions, and its pods; fails unless all of it does
    Status,
}

#[derive(Debug, Args)]
struct Up {
    /// The archive of an image, an OCI layout or what `docker save` writes; may be given many times
    #[arg(long = "image", value_name = "FILE")]
    images: Vec<PathBuf>,
}

impl Cluster {
    /// Does it.
    pub(crate) fn run(self) -> Result<ExitCode> {
        if let What::Up(_) = self.what {
            testbed::node::is_allowed().map_err(anyhow::Error::msg)?;
        }
        let place = Place(cargo::root().join(self.link));
        // Of two at once, one waits for the other.
        let _lock = place.lock()?;
        match self.what {
            What::Up(up) => up.run(&place).map(|()| ExitCode::SUCCESS),
            What::Down => down(&place).map(|()| ExitCode::SUCCESS),
            What::Status => status(&place),
        }
    }
}

impl Up {
    fn run(self, place: &Place) -> Result<()> {
        for image in &self.images {
            ensure!(image.is_file(), "there is no image {}", image.display());
        }
        if let Some(node) = place.running()? {
            let step = Step::start("cluster: it runs already; bringing the images");
            self.images.iter().try_for_each(|image| node.import(image))?;
            step.done();
            say_how_to_use(&node);
            return Ok(());
        }
        tools::ensure_named(&TOOLS)?;
        let testbed = cargo::programs(&[("testbed", "testbed")])?["testbed"].clone();
        let images = [images::quick(&["pause"])?, self.images].concat();
        let options = NodeOptions { testbed, images };
        let node = Node::start(&options)?.map_err(anyhow::Error::msg)?;
        // Before the node is on its own: it can be found from then on.
        place.remember(node.cluster().folder())?;
        say_how_to_use(&node.keep()?);
        Ok(())
    }
}

/// Where a link leads to the folder of the cluster that runs.
struct Place(PathBuf);

impl Place {
    fn lock(&self) -> Result<File> {
        let path = self.0.with_extension("lock");
        fs::create_dir_all(path.parent().unwrap_or(cargo::root()))?;
        let lock = File::create(&path).with_context(|| {
            format!(
                "cannot write {}: of a cluster that root has started, root is asked",
                path.display()
            )
        })?;
        lock.lock()?;
        Ok(lock)
    }

    /// The cluster that `up` has started, in whatever state it is.
    fn started(&self) -> Option<LeftNode> {
        LeftNode::find(&fs::read_link(&self.0).ok()?)
    }

    /// The cluster, if it runs and nothing of it is missing.
    fn running(&self) -> Result<Option<LeftNode>> {
        let Some(node) = self.started() else { return Ok(None) };
        if !node.is_finished() {
            // Whoever started it was killed. Where its guard was not, it is about to end it.
            end(node)?;
            return Ok(None);
        }
        let missing = missing(&node);
        ensure!(missing.is_empty(), "of the cluster, {} ended; {AGAIN}", missing.join(", "));
        Ok(Some(node))
    }

    fn remember(&self, folder: &Path) -> Result<()> {
        self.forget()?;
        symlink(folder, &self.0).with_context(|| format!("cannot make {}", self.0.display()))
    }

    fn forget(&self) -> Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.0.display()))
            }
            _ => Ok(()),
        }
    }
}

fn missing(node: &LeftNode) -> Vec<&'static str> {
    let components = node.components().into_iter();
    components.filter(|one| one.pid.is_none()).map(|one| one.name).collect()
}

fn say_how_to_use(node: &LeftNode) {
    println!("export KUBECONFIG={}", node.kubeconfig().display());
    if let Ok(kubectl) = program("kubectl") {
        println!("# kubectl is {}", kubectl.display());
    }
    println!(
        "# `cargo xtask cluster down` ends it; its logs are in {}/log",
        node.folder().display()
    );
}

fn down(place: &Place) -> Result<()> {
    let nodes: Vec<LeftNode> = place.started().into_iter().chain(LeftNode::orphans()).collect();
    if nodes.is_empty() {
        println!("No cluster runs.");
    }
    nodes.into_iter().try_for_each(end)?;
    place.forget()
}

fn end(node: LeftNode) -> Result<()> {
    let step = Step::start(&format!("ending the cluster in {}", node.folder().display()));
    node.end()?;
    step.done();
    Ok(())
}

fn status(place: &Place) -> Result<ExitCode> {
    let Some(node) = place.started() else {
        println!("No cluster runs: `cargo xtask cluster up` starts one.");
        return Ok(ExitCode::FAILURE);
    };
    for component in node.components() {
        let pid = component.pid.map_or("ended".to_owned(), |pid| pid.to_string());
        println!("{:<24} {pid:>8}  {}", component.name, version(component.name));
    }
    if !node.is_guarded() {
        println!("Its guard was killed: `cargo xtask cluster down` works all the same.");
    }
    let missing = missing(&node);
    if !node.is_finished() || !missing.is_empty() {
        bail!("the cluster is not whole; {AGAIN}");
    }
    println!();
    let kubeconfig = node.kubeconfig();
    for list in [&["nodes"][..], &["pods", "--all-namespaces"]] {
        let mut kubectl = Command::new(program("kubectl")?);
        kubectl.env("KUBECONFIG", &kubeconfig).arg("get").args(list).args(["--output", "wide"]);
        cargo::run(&mut kubectl)?;
        println!();
    }
    say_how_to_use(&node);
    Ok(ExitCode::SUCCESS)
}

/// What a program says of itself; nothing where it is none, or says nothing for too long.
fn version(name: &str) -> String {
    let flag = if name == "coredns" { "-version" } else { "--version" };
    let said = program(name).ok().and_then(|path| said_within(Command::new(path).arg(flag)));
    said.unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

/// What a command prints before it ends, or before its time is up and it is ended.
fn said_within(command: &mut Command) -> Option<String> {
    let quiet = command.stdin(Stdio::null()).stderr(Stdio::null());
    let mut child = quiet.stdout(Stdio::piped()).spawn().ok()?;
    let mut output = child.stdout.take()?;
    let (sender, said) = mpsc::channel();
    // It ends with the pipe, and so with the child, unless somebody else holds that.
    thread::spawn(move || {
        let mut text = String::new();
        let _ = output.read_to_string(&mut text);
        let _ = sender.send(text);
    });
    let said = said.recv_timeout(VERSION).ok();
    let _ = child.kill();
    let _ = child.wait();
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_waited_for_who_says_no_version() {
        let shell = |script: &str| said_within(Command::new("bash").args(["-c", script]));
        assert_eq!(shell("echo version 1; echo more"), Some("version 1\nmore\n".to_owned()));
        assert_eq!(shell("echo version 1; exec sleep 1h"), None);
        assert_eq!(said_within(&mut Command::new("/no/such/program")), None);
    }
}
