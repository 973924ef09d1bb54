//! `cargo xtask demo --cluster`: everything as a user installs it, on a node that runs it.

mod call;
mod rollout;
mod rules;

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testbed::installation::{self, ENABLED, NAME};
use testbed::{Cluster, Node, NodeOptions};

use super::Left;
use super::backend::Backend;
use super::screen::Screen;
use crate::cargo::Programs;
use crate::images;

/// What a kubelet on a busy machine may take for anything that is waited for.
const PATIENCE: Duration = Duration::from_mins(4);
const NAMESPACE: &str = "chassis";
const OVERLAY: &str = "manifests/overlays/ha";
/// What its containers are started from; every pod needs `pause`.
const IMAGES: [&str; 4] = ["pause", NAME, "mesher", "mockserver"];
/// Ends by itself, and its sidecar with it.
const JOB: &str = "examples/workloads/job.yaml";

/// Plays it; it fails when something is not as it should be.
pub(super) fn play(
    screen: &Screen,
    programs: &Programs,
    backend: Backend,
    keep: bool,
) -> Result<Option<Left>> {
    screen.title("Pods that ask for a sidecar get one, and run with it: on a Kubernetes node.");
    crate::tools::ensure_named(&crate::cluster::TOOLS)?;
    let testbed = programs.get("testbed").context("no testbed")?.clone();
    let mut images = images::quick(&IMAGES)?;
    let istiod = match backend {
        Backend::ServiceCenter => {
            images.extend(images::quick(&["service-registry"])?);
            None
        }
        Backend::Pilot => {
            crate::tools::ensure_named(&["istiod"])?;
            Some(images::quick_istiod()?)
        }
    };

    screen.chapter("A Kubernetes with a node on this machine");
    for image in &images {
        let name = image.file_stem().unwrap_or_default().to_string_lossy();
        let bytes = image.metadata()?.len();
        screen.fact(&name, &format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10));
    }
    screen.say("These images were made of this checkout. There is no registry and no internet.");
    let started = Instant::now();
    let node = Node::start(&NodeOptions { testbed, images })?.map_err(anyhow::Error::msg)?;
    let cluster = node.cluster();
    let took = started.elapsed().as_secs_f64();
    screen.say(&format!("kubelet, containerd and all the rest, ready after {took:.1} s:"));
    screen.kubectl(cluster, "get nodes")?;

    screen.chapter("Install the injector");
    screen.say("Two replicas that share the work, as in production.");
    screen.kubectl(cluster, &format!("apply -k {OVERLAY}"))?;
    rolled_out(screen, cluster, NAME, NAME)?;

    if let Some(archive) = &istiod {
        screen.chapter("istiod, a client, and two servers");
        screen
            .say("Istio's istiod in a pod, from an image of the program that was built for tests:");
        node.start_istiod(archive)?;
        screen.kubectl(cluster, "get pods,services -n istio-system")?;
    } else {
        screen.chapter("A registry, a client, and two servers");
        screen.kubectl(cluster, "create -f examples/registry/")?;
    }
    screen.kubectl(cluster, &format!("create namespace {NAMESPACE}"))?;
    screen.kubectl(cluster, &format!("label namespace {NAMESPACE} {ENABLED}"))?;
    // It takes a moment until the API server goes by the label, and by the injector's CA.
    wait_for("the injector is called", || installation::is_seen(cluster, NAMESPACE))?;
    screen.kubectl(cluster, &format!("create -f {} -n {NAMESPACE}", backend.examples()))?;
    for name in ["client", "server"] {
        rolled_out(screen, cluster, name, NAMESPACE)?;
    }
    screen.say("Each pod has two containers that are ready: the application's, and the sidecar.");
    screen.kubectl(cluster, &format!("get pods -n {NAMESPACE}"))?;

    screen.chapter("A call, and who carried it");
    call::show(screen, cluster)?;

    screen.chapter("The servers are replaced while they are called");
    rollout::show(screen, cluster)?;

    match backend {
        Backend::ServiceCenter => {
            screen.chapter("A Job ends, and its sidecar with it");
            complete_job(screen, cluster)?;
        }
        Backend::Pilot => {
            screen.chapter("Rules say which version is called");
            rules::show(screen, cluster)?;
        }
    }

    screen.chapter("Is anything wrong?");
    check(screen, programs, cluster)?;
    if keep {
        return leave(screen, node, backend).map(Some);
    }
    Ok(None)
}

/// Waits until every pod of a Deployment is ready.
fn rolled_out(screen: &Screen, cluster: &Cluster, name: &str, namespace: &str) -> Result<()> {
    let line = format!("rollout status deployment/{name} -n {namespace} --timeout=240s");
    screen.kubectl(cluster, &line)
}

/// Creates the Job, and waits for its end.
fn complete_job(screen: &Screen, cluster: &Cluster) -> Result<()> {
    screen.kubectl(cluster, &format!("create -f {JOB} -n {NAMESPACE}"))?;
    let complete = "wait --for=condition=complete job/import";
    screen.kubectl(cluster, &format!("{complete} -n {NAMESPACE} --timeout=240s"))?;
    screen.kubectl(cluster, &format!("get pods -n {NAMESPACE} -l app=import"))
}

/// What `sidecar-injector check` says.
fn check(screen: &Screen, programs: &Programs, cluster: &Cluster) -> Result<()> {
    screen.typed("sidecar-injector check");
    let mut command = Command::new(programs.get(NAME).context("no injector")?);
    let output = command.arg("check").env("KUBECONFIG", cluster.kubeconfig()).output()?;
    screen.printed(&String::from_utf8_lossy(&output.stdout));
    screen.printed(&String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "something is wrong");
    Ok(())
}

/// Leaves all of it running.
fn leave(screen: &Screen, node: Node, backend: Backend) -> Result<Left> {
    let kubeconfig = node.kubeconfig().display().to_string();
    let kubectl = testbed::tools::program("kubectl")?;
    let folder = kubectl.parent().unwrap_or(&kubectl).display().to_string();
    let supervisor = node.cluster().guard().supervisor_pid();
    node.keep()?;

    screen.chapter("Go on by hand");
    screen.lines(&[
        &format!("export KUBECONFIG={kubeconfig}"),
        &format!("export PATH={folder}:$PATH"),
        &format!("kubectl {}", call::CALL),
        match backend {
            Backend::ServiceCenter => "kubectl create -f examples/chain/ -n chassis",
            Backend::Pilot => "kubectl edit virtualservice reviews -n chassis",
        },
        "kubectl port-forward deploy/client -n chassis 30102   # the sidecar's page, at 127.0.0.1",
    ]);
    Ok(Left { what: "the node", supervisor })
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Runs kubectl without showing it, and returns what it printed.
fn run(cluster: &Cluster, line: &str) -> Result<String> {
    cluster.run(&words(line))
}

/// The names of the pods of an application.
fn pods(cluster: &Cluster, app: &str) -> Result<Vec<String>> {
    let names = run(cluster, &format!("get pods -n {NAMESPACE} -l app={app} -o name"))?;
    Ok(names.lines().map(str::to_owned).collect())
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        ensure!(Instant::now() < end, "it is not so that {what}, after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
