//! The nodes' part, in a cluster that has none.
//!
//! Each pod of the injector's Deployment becomes a process with its arguments, its environment and
//! its configuration, ready when that says so, in its Service while it is, and told to end when its
//! pod is gone. All other pods just run, as far as the API server can tell. So rollouts come to an
//! end, and the API server calls whoever the Service selects. What changes in a ConfigMap reaches
//! the pods that are started afterwards.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod as KubernetesPod;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testbed::{Cluster, Server, free_ports};

use crate::installation::NAME;
use crate::pod::{Pod, items};
use crate::wire::plain;

/// How often the nodes look at their pods.
const PERIOD: Duration = Duration::from_millis(200);

/// The nodes of a cluster.
#[derive(Debug)]
pub struct Nodes<'c> {
    cluster: &'c Cluster,
    program: PathBuf,
    /// What went wrong last, for whoever has to find out why nothing gets ready.
    trouble: Mutex<String>,
    ended: AtomicBool,
}

/// Tells the nodes to end, also when a test panics.
struct End<'n>(&'n AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does `work` while nodes run the pods of `cluster`; `program` is the injector.
pub fn with_nodes<T>(
    cluster: &Cluster,
    program: &Path,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let nodes = Nodes {
        cluster,
        program: program.to_owned(),
        trouble: Mutex::default(),
        ended: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        let tending = scope.spawn(|| nodes.tend());
        let end = End(&nodes.ended);
        let done = work();
        drop(end);
        let tended = tending.join().map_err(|_| anyhow::anyhow!("the nodes panicked"))?;
        let done = done.with_context(|| format!("the nodes' last trouble: {}", nodes.trouble()));
        done.and_then(|done| tended.map(|()| done))
    })
}

impl Nodes<'_> {
    fn trouble(&self) -> MutexGuard<'_, String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tend(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let kubeconfig = self.cluster.kubeconfig();
        let client = runtime.block_on(injector::kubernetes::connect(Some(kubeconfig)))?;
        let mut containers = Containers::default();
        while !self.ended.load(Ordering::Relaxed) {
            // Whatever fails is tried again, as a kubelet does.
            if let Err(error) = runtime.block_on(self.look(&client, &mut containers)) {
                *self.trouble() = format!("{error:#}");
            }
            thread::sleep(PERIOD);
        }
        Ok(())
    }

    /// Brings all pods a step on.
    async fn look(&self, client: &Client, containers: &mut Containers) -> Result<()> {
        let resource = ApiResource::erase::<KubernetesPod>(&());
        let all: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let mut present = HashSet::new();
        for object in all.list(&ListParams::default()).await?.items {
            let pod = Pod(serde_json::to_value(object)?);
            let metadata = &pod.0["metadata"];
            let namespace = metadata["namespace"].as_str().unwrap_or_default().to_owned();
            let uid = metadata["uid"].as_str().unwrap_or_default().to_owned();
            let injector =
                namespace == NAME && metadata["labels"]["app.kubernetes.io/name"] == NAME;
            let ready = !injector || containers.is_ready(self, &uid, &pod)?;
            present.insert(uid);
            if ready != is_ready(&pod) {
                let api: Api<DynamicObject> =
                    Api::namespaced_with(client.clone(), &namespace, &resource);
                let status = json!({"status": status(&pod, ready)});
                let patch = Patch::Merge(status);
                api.patch_status(pod.name(), &PatchParams::default(), &patch).await?;
            }
        }
        containers.end_all_but(&present)?;
        containers.route(self.cluster)
    }
}

/// The injector's processes.
#[derive(Debug, Default)]
struct Containers {
    /// By the uid of their pods.
    running: HashMap<String, Container>,
    /// Their pods are gone, and they finish what they do.
    ending: Vec<Server>,
    /// Where their Service leads.
    routed: Option<Vec<SocketAddr>>,
}

#[derive(Debug)]
struct Container {
    server: Server,
    webhook: SocketAddr,
    operations: SocketAddr,
    ready: bool,
}

impl Containers {
    /// Whether the process of this pod is ready; it is started if there is none.
    fn is_ready(&mut self, nodes: &Nodes<'_>, uid: &str, pod: &Pod) -> Result<bool> {
        // One that has ended is started again, as by a kubelet: its port may have been taken.
        if !self.running.get(uid).is_some_and(|container| container.server.is_running()) {
            self.running.insert(uid.to_owned(), start(nodes, uid, pod)?);
        }
        let container = self.running.get_mut(uid).context("it was started")?;
        let answer = plain(container.operations, "GET", "/readyz");
        container.ready = answer.is_ok_and(|answer| answer.status == 200);
        Ok(container.ready)
    }

    fn end_all_but(&mut self, present: &HashSet<String>) -> Result<()> {
        let gone: Vec<_> =
            self.running.keys().filter(|uid| !present.contains(*uid)).cloned().collect();
        for uid in gone {
            if let Some(container) = self.running.remove(&uid) {
                container.server.signal(Signal::SIGTERM)?;
                self.ending.push(container.server);
            }
        }
        self.ending.retain(Server::is_running);
        Ok(())
    }

    /// Has the Service lead to whoever is ready.
    fn route(&mut self, cluster: &Cluster) -> Result<()> {
        let ready = self.running.values().filter(|container| container.ready);
        let mut ready: Vec<_> = ready.map(|container| container.webhook).collect();
        ready.sort();
        if self.routed.as_ref() != Some(&ready) {
            if !ready.is_empty() {
                cluster.route(NAME, NAME)?.lead_to(&ready);
            }
            self.routed = Some(ready);
        }
        Ok(())
    }
}

/// The container of the injector's pod, as a process.
fn start(nodes: &Nodes<'_>, uid: &str, pod: &Pod) -> Result<Container> {
    let folder = nodes.cluster.folder().join(uid);
    let (configuration, templates) = (folder.join("config.yaml"), folder.join("templates"));
    fs::create_dir_all(&templates)?;
    fs::write(&configuration, testbed::installation::configured(nodes.cluster)?)?;
    // Its own, as the next pod's is written to the same place.
    let kubeconfig = folder.join("kubeconfig");
    fs::copy(nodes.cluster.account_kubeconfig(NAME, NAME)?, &kubeconfig)?;
    let [webhook, operations] =
        free_ports()?.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let spec = pod.container("injector").context("the pod has no container injector")?;
    let arguments = items(&spec["args"]).iter().filter_map(Value::as_str).map(|argument| {
        match argument.split_once('=') {
            Some(("--config", _)) => format!("--config={}", configuration.display()),
            Some(("--templates", _)) => format!("--templates={}", templates.display()),
            _ => argument.to_owned(),
        }
    });
    let environment = items(&spec["env"]).iter().filter_map(|variable| {
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("metadata.name") => pod.name(),
            Some("metadata.namespace") => NAME,
            _ => variable["value"].as_str()?,
        };
        Some((variable["name"].as_str()?, value))
    });
    let mut command = Command::new(&nodes.program);
    command
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .envs(environment)
        .args(arguments)
        .arg(format!("--listen={webhook}"))
        .arg(format!("--operations-listen={operations}"));
    let server = nodes.cluster.guard().spawn(pod.name(), &mut command)?;
    Ok(Container { server, webhook, operations, ready: false })
}

/// What the API server has been told.
fn is_ready(pod: &Pod) -> bool {
    let conditions = items(&pod.0["status"]["conditions"]);
    conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// What a kubelet says of a pod whose containers run.
fn status(pod: &Pod, ready: bool) -> Value {
    let (now, word) = (Timestamp::now().to_string(), if ready { "True" } else { "False" });
    let conditions: Vec<_> = ["Initialized", "ContainersReady", "Ready"]
        .map(|kind| json!({"type": kind, "status": word, "lastTransitionTime": now}))
        .into();
    let states = |containers: &[Value]| -> Vec<Value> {
        let state = |container: &Value| {
            json!({
                "name": container["name"], "image": container["image"], "imageID": "",
                "ready": ready, "started": ready, "restartCount": 0,
                "state": {"running": {"startedAt": now}},
            })
        };
        containers.iter().map(state).collect()
    };
    json!({
        "phase": "Running", "startTime": now, "conditions": conditions,
        "containerStatuses": states(pod.containers()),
        "initContainerStatuses": states(pod.init_containers()),
    })
}
