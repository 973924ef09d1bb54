//! The first act: pods that ask for a sidecar get one, on a real API server.

mod summary;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::installation::{ENABLED, Installation};
use testbed::tools;
use testbed::{Cluster, ClusterOptions};

use super::Left;
use super::backend::Backend;
use super::screen::Screen;
use crate::cargo::{self, Programs};

/// What a slow machine may take for anything that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
const NAMESPACE: &str = "chassis";
const OVERLAY: &str = "manifests/overlays/local";
/// A client and two replicas of a server ask.
const ASKING: usize = 3;
/// The examples that get no sidecar.
const OTHERS: [(&str, &str); 4] = [
    ("It says no. The API server does not even call the injector.", "opted-out"),
    ("It asks, but cannot have one. It is created, and its creator is told why.", "host-network"),
    ("It says neither yes nor no. A typo is refused, not guessed at.", "misspelt-value"),
    ("It asks for a discovery backend that does not exist.", "unknown-discovery"),
];
/// The table at the end, as anybody can ask for it.
const TABLE: &str = "get pods -n chassis -o custom-columns=\
    POD:.metadata.name,\
    SIDECAR:.spec.initContainers[*].name,\
    CONTAINERS:.spec.containers[*].name,\
    STATUS:.metadata.annotations.sidecar\\.mesher\\.io/status";

/// Plays it; it fails when the pods do not get what they asked for.
pub(super) fn play(
    screen: &Screen,
    programs: &Programs,
    backend: Backend,
    keep: bool,
) -> Result<Option<Left>> {
    screen.title("Pods that ask for a sidecar get one: on a real Kubernetes API server.");
    crate::tools::ensure_named(&["etcd", "kubernetes"])?;
    let program = programs.get("sidecar-injector").context("no injector")?;

    screen.chapter("A Kubernetes control plane on this machine");
    let started = Instant::now();
    let cluster = Cluster::start(ClusterOptions { controller_manager: true })?;
    screen.say(&format!(
        "etcd, kube-apiserver and kube-controller-manager run at {} after {:.1} s.",
        cluster.api_url(),
        started.elapsed().as_secs_f64()
    ));
    screen.say("There is no node: pods stay Pending, and what they are made of is what counts.");

    screen.chapter("Install the injector");
    let overlay = cargo::root().join(OVERLAY);
    let mut injector = Installation::prepare(&cluster, program, &overlay, &[])?;
    injector.set_environment(vec![("SIDECAR_INJECTOR_LOG_FORMAT".into(), "text".into())]);
    screen.say(&format!("The overlay {OVERLAY}, on a free port of this machine:"));
    screen.kubectl(&cluster, &format!("apply -k {}", injector.kustomization().display()))?;
    injector.configure()?;
    let server = injector.start()?;
    screen.say("sidecar-injector runs, with the rights these roles give it and no others.");
    screen.say(&format!("It wrote its CA into caBundle, and answers at {}.", injector.url()));

    screen.chapter("Pods that ask");
    screen.kubectl(&cluster, &format!("create namespace {NAMESPACE}"))?;
    screen.kubectl(&cluster, &format!("label namespace {NAMESPACE} {ENABLED}"))?;
    injector.wait_until_seen(&server, NAMESPACE)?;
    screen.kubectl(&cluster, &format!("create -f {} -n {NAMESPACE}", backend.examples()))?;

    screen.chapter("Pods that do not, or ask in vain");
    let mut refused = 0;
    for (index, (about, name)) in OTHERS.into_iter().enumerate() {
        if index > 0 {
            screen.say("");
        }
        screen.say(about);
        let line = format!("create -f examples/decisions/{name}.yaml -n {NAMESPACE}");
        if !screen.kubectl_succeeds(&cluster, &line)? {
            refused += 1;
        }
    }

    screen.chapter("What became of them");
    let pods = wait_for_pods(&cluster)?;
    screen.kubectl(&cluster, TABLE)?;
    if let Some(pod) = pods.iter().find(|pod| pod["metadata"]["labels"]["app"] == "server") {
        summary::inside(screen, pod);
    }
    let injected = pods.iter().filter(|pod| summary::sidecar(pod).is_some()).count();
    ensure!(
        injected == ASKING,
        "{injected} pods have a sidecar, and {ASKING} should; the injector's log:\n{}",
        server.log()
    );

    screen.chapter("In short");
    summary::count(screen, &pods, refused);
    if keep {
        server.leave();
        return leave(screen, cluster).map(Some);
    }
    Ok(None)
}

/// The pods of the namespace, once the controller manager has made those of the Deployments.
fn wait_for_pods(cluster: &Cluster) -> Result<Vec<Value>> {
    let end = Instant::now() + PATIENCE;
    loop {
        let list = cluster.run(&["get", "pods", "--namespace", NAMESPACE, "--output=json"])?;
        let list: Value = serde_json::from_str(&list)?;
        let pods = list["items"].as_array().cloned().unwrap_or_default();
        let of_deployments =
            pods.iter().filter(|pod| pod["metadata"]["ownerReferences"].is_array()).count();
        if of_deployments == ASKING {
            return Ok(pods);
        }
        ensure!(
            Instant::now() < end,
            "the controller manager made {of_deployments} of {ASKING} pods in {PATIENCE:?}:\n{}",
            cluster.run(&["get", "events", "--namespace", NAMESPACE])?
        );
        thread::sleep(Duration::from_millis(100));
    }
}

/// Leaves all of it running.
fn leave(screen: &Screen, cluster: Cluster) -> Result<Left> {
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let logs = cluster.folder().join("log").display().to_string();
    let kubectl = tools::program("kubectl")?;
    let folder = kubectl.parent().unwrap_or(&kubectl).display().to_string();
    let supervisor = cluster.keep()?;

    screen.chapter("Go on by hand");
    screen.lines(&[
        &format!("export KUBECONFIG={kubeconfig}"),
        &format!("export PATH={folder}:$PATH"),
        "kubectl get pods -n chassis -l app=client -o yaml",
        "kubectl create -f examples/workloads/ -n chassis",
        &format!("tail -f {logs}/sidecar-injector.log"),
    ]);
    Ok(Left { what: "the control plane", supervisor })
}
