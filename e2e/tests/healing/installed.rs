//! An injector that heals, under the rights that its component gives and no others.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use e2e::installation::{Installation, NAME, PATIENCE, checkout, enabled_namespace, is_seen};
use e2e::kubectl::{Kubectl, eventually};
use e2e::pod::{Pod, asking, items, pods};
use serde_json::{Value, json};
use testbed::{Cluster, ClusterOptions, combine_components};

/// A Lease that is soon taken from one that was killed.
pub(crate) const LEASE: &str = "{duration: 4s, renew: 3s, retry: 500ms}";

/// A configuration that heals faster than anybody would want.
pub(crate) fn configuration(mode: &str) -> String {
    format!(
        "log: {{format: json}}\nkubernetes: {{lease: {LEASE}}}\n\
         healing: {{mode: {mode}, settle: 1s, interval: 1s, backoff: 3s}}\n"
    )
}

pub(crate) fn cluster() -> Result<Cluster> {
    Cluster::start(ClusterOptions { controller_manager: true })
}

/// The injector, and a namespace that is enabled.
pub(crate) struct Installed<'c> {
    pub(crate) cluster: &'c Cluster,
    pub(crate) injector: Installation<'c>,
    pub(crate) namespace: String,
}

impl<'c> Installed<'c> {
    /// Installs it with the component `healing-MODE`, and starts it.
    pub(crate) fn start(cluster: &'c Cluster, mode: &str) -> Result<Self> {
        let component = checkout("manifests/components").join(format!("healing-{mode}"));
        let folder = cluster.folder().join("healing");
        let overlay =
            combine_components(&folder, &checkout("manifests/overlays/local"), &[component])?;
        let patch = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": NAME},
            "data": {"config.yaml": configuration(mode)},
        });
        let patches = [json!({"patch": patch.to_string()})];
        let overlay = overlay.to_str().context("a path that is text")?;
        let program = testbed::binary(NAME)?;
        let mut injector = Installation::prepare(cluster, &program, overlay, &patches)?;
        injector.resume()?;
        let namespace = enabled_namespace(cluster, "shop")?;
        let installed = Self { cluster, injector, namespace };
        installed.wait_until("healing_looking", 1)?;
        Ok(installed)
    }

    pub(crate) fn kubectl(&self) -> Kubectl<'c> {
        Kubectl(self.cluster)
    }

    /// The value of a metric of ours; 0 where there is no such series.
    pub(crate) fn metric(&self, series: &str) -> Result<u64> {
        let text = self.injector.operations("/metrics")?.text();
        let series = format!("sidecar_injector_{series} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&series));
        Ok(value.map_or(Ok(0), str::parse)?)
    }

    /// Waits for a value of a metric of ours.
    pub(crate) fn wait_until(&self, series: &str, value: u64) -> Result<()> {
        self.wait_for(series, |found| found == value)
    }

    /// Waits until attempts to evict a pod have ended so.
    pub(crate) fn wait_for_attempt(&self, result: &str) -> Result<()> {
        self.wait_for(&attempts(result), |found| found > 0)
    }

    fn wait_for(&self, series: &str, wanted: impl Fn(u64) -> bool) -> Result<()> {
        eventually(&format!("{series} is as expected"), PATIENCE, || {
            let found = self.metric(series)?;
            ensure!(wanted(found), "{found}, {}", self.injector.operations("/status")?.text());
            Ok(Some(()))
        })
        .with_context(|| self.injector.server().log())
    }

    /// From now on the API server shows no pod to the injector, though everything else is as it
    /// should be.
    pub(crate) fn hide(&self) -> Result<()> {
        hide(self.cluster, "probe")
    }

    /// It shows them again.
    pub(crate) fn show(&self) -> Result<()> {
        show(self.cluster, "probe")
    }

    /// Creates an object in the namespace.
    pub(crate) fn create(&self, object: &Value) -> Result<()> {
        let line = format!("create -n {} -f -", self.namespace);
        self.kubectl().run_with(&line, &object.to_string())?;
        Ok(())
    }

    /// Creates a Deployment of pods that ask, and waits for them.
    pub(crate) fn deploy(&self, name: &str, replicas: usize) -> Result<Vec<Pod>> {
        self.create(&workload("Deployment", name, replicas))?;
        self.pods(name, replicas)
    }

    /// Waits for that many pods of a workload.
    pub(crate) fn pods(&self, name: &str, count: usize) -> Result<Vec<Pod>> {
        pods(self.kubectl(), &self.namespace, &format!("app={name}"), count)
    }

    /// Waits until the only pod of a workload is another than `before`, and has its sidecar.
    pub(crate) fn wait_for_successor(&self, name: &str, before: &Pod) -> Result<Pod> {
        eventually(&format!("{name} has a new pod"), PATIENCE, || {
            let pod = self.pods(name, 1)?.remove(0);
            ensure!(uid(&pod) != uid(before), "it is the old one");
            pod.sidecar()?;
            Ok(Some(pod))
        })
        .with_context(|| self.injector.server().log())
    }

    /// Shows a pod as a kubelet does that serves.
    pub(crate) fn make_ready(&self, pod: &Pod) -> Result<()> {
        let ready = json!({"status": {
            "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
        }});
        self.kubectl().run(&format!(
            "patch pod {} -n {} --subresource=status --type=merge -p {ready}",
            pod.name(),
            self.namespace
        ))?;
        Ok(())
    }

    /// The pod as it is now.
    pub(crate) fn pod(&self, name: &str) -> Result<Pod> {
        Ok(Pod(self.kubectl().get(&format!("pod {name} -n {}", self.namespace))?))
    }

    /// The Events about a pod with a reason.
    pub(crate) fn events(&self, pod: &str, reason: &str) -> Result<Vec<Value>> {
        let line = format!(
            "events -n {} --field-selector=involvedObject.name={pod},reason={reason}",
            self.namespace
        );
        Ok(items(&self.kubectl().get(&line)?["items"]).to_vec())
    }

    /// Its configuration file.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.cluster.folder().join(NAME).join("config.yaml")
    }

    /// Replaces a part of its configuration file.
    pub(crate) fn reconfigure(&self, text: &str) -> Result<()> {
        let path = self.configuration();
        let new = path.with_extension("new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, path)?)
    }
}

/// The series of attempts that ended so.
pub(crate) fn attempts(result: &str) -> String {
    format!("healing_attempts_total{{result=\"{result}\"}}")
}

/// The series of pods without their sidecar for this reason.
pub(crate) fn without_sidecar(reason: &str) -> String {
    format!("pods_without_sidecar{{reason=\"{reason}\"}}")
}

/// The API server shows no pod to the injector.
pub(crate) fn hide(cluster: &Cluster, namespace: &str) -> Result<()> {
    let nobody = json!({"name": "nobody", "expression": "false"});
    change(
        cluster,
        &json!([{"op": "add", "path": "/webhooks/0/matchConditions/-", "value": nobody}]),
    )?;
    eventually("the injector is not asked", PATIENCE, || {
        Ok((!is_seen(cluster, namespace)).then_some(()))
    })
}

/// It shows them again.
pub(crate) fn show(cluster: &Cluster, namespace: &str) -> Result<()> {
    let last = "/webhooks/0/matchConditions/3";
    change(
        cluster,
        &json!([
            {"op": "test", "path": format!("{last}/name"), "value": "nobody"},
            {"op": "remove", "path": last},
        ]),
    )?;
    eventually("the injector is asked", PATIENCE, || Ok(is_seen(cluster, namespace).then_some(())))
}

fn change(cluster: &Cluster, patch: &Value) -> Result<()> {
    let line = format!("patch mutatingwebhookconfiguration {NAME} --type=json -p {patch}");
    Kubectl(cluster).run(&line)?;
    Ok(())
}

/// A Deployment or its like of pods that ask.
pub(crate) fn workload(kind: &str, name: &str, replicas: usize) -> Value {
    let pod = asking(name);
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {
                    "labels": {"app": name},
                    "annotations": pod["metadata"]["annotations"],
                },
                "spec": pod["spec"],
            },
        },
    })
}

/// What tells a pod from all others.
pub(crate) fn uid(pod: &Pod) -> &str {
    pod.0["metadata"]["uid"].as_str().unwrap_or_default()
}

/// The names of the pods of a namespace that somebody had evicted, in order.
pub(crate) fn evictions(cluster: &Cluster, namespace: &str) -> Result<Vec<String>> {
    let log = cluster.audit_log()?;
    let complete = log.rfind('\n').map_or("", |end| &log[..end]);
    let mut evicted = Vec::new();
    for line in complete.lines().filter(|line| line.contains("\"eviction\"")) {
        let entry: Value = serde_json::from_str(line)?;
        let about = &entry["objectRef"];
        let done = entry["responseStatus"]["code"].as_u64().is_some_and(|code| code < 300);
        if about["subresource"] == "eviction" && about["namespace"] == namespace && done {
            evicted.push(about["name"].as_str().unwrap_or_default().to_owned());
        }
    }
    Ok(evicted)
}
