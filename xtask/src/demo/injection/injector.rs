//! The injector as a process of this machine, with the identity and configuration its manifests
//! give it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testbed::{Cluster, Server, free_ports, write_kustomization};

use super::PATIENCE;
use crate::cargo;

/// Where it is tried out before the demonstration goes on.
const PROBED: &str = "probe";
/// The annotation of a pod that has its sidecar.
const INJECTED: &str = "\"sidecar.mesher.io/injected\"";
/// What the manifests call everything.
const NAME: &str = "sidecar-injector";

/// An injector that is not started yet.
#[derive(Debug)]
pub(super) struct Injector {
    program: PathBuf,
    kustomization: PathBuf,
    webhook: u16,
    operations: u16,
}

impl Injector {
    /// Chooses its ports and writes the kustomization that has the API server call it there.
    pub(super) fn prepare(cluster: &Cluster, program: PathBuf) -> Result<Self> {
        let [webhook, operations] = free_ports()?;
        let mut injector = Self { program, kustomization: PathBuf::new(), webhook, operations };
        let url = json!([
            {"op": "replace", "path": "/webhooks/0/clientConfig/url", "value": injector.url()},
        ]);
        let target = json!({"kind": "MutatingWebhookConfiguration", "name": NAME});
        injector.kustomization = write_kustomization(
            &cluster.folder().join("local"),
            &cargo::root().join("manifests/overlays/local"),
            &json!([{"target": target, "patch": url.to_string()}]).to_string(),
        )?;
        Ok(injector)
    }

    /// The folder to `kubectl apply -k`.
    pub(super) fn kustomization(&self) -> &Path {
        &self.kustomization
    }

    /// Where the API server calls.
    pub(super) fn url(&self) -> String {
        format!("https://127.0.0.1:{}/mutate", self.webhook)
    }

    /// Starts it, and waits until the API server calls it.
    pub(super) fn start(&self, cluster: &Cluster) -> Result<Server> {
        let config_map = ["get", "configmap", NAME, "--namespace", NAME, "--output=json"];
        let config_map: Value = serde_json::from_str(&cluster.run(&config_map)?)?;
        let text = config_map["data"]["config.yaml"].as_str();
        let configuration = cluster.folder().join("config.yaml");
        fs::write(&configuration, text.context("the ConfigMap holds no config.yaml")?)?;

        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("KUBECONFIG", cluster.account_kubeconfig(NAME, NAME)?)
            .arg("serve")
            .arg("--config")
            .arg(configuration)
            .args(["--namespace", NAME, "--log-format", "text"])
            .args(["--url", &self.url()])
            .args(["--listen", &format!("127.0.0.1:{}", self.webhook)])
            .args(["--operations-listen", &format!("127.0.0.1:{}", self.operations)]);
        cluster.apply(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: \
             {{name: {PROBED}, labels: {{sidecar-injector: enabled}}}}}}"
        ))?;
        let server = cluster.guard().spawn(NAME, &mut command)?;
        wait_until_seen(cluster, &server, PROBED)?;
        Ok(server)
    }
}

/// Waits until the API server shows the injector the pods of `namespace`: it takes a moment to go
/// by a new CA or a new label. A dry run then comes back with a sidecar.
pub(super) fn wait_until_seen(cluster: &Cluster, injector: &Server, namespace: &str) -> Result<()> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "probe", "annotations": {"sidecar.mesher.io/inject": "yes"}},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    })
    .to_string();
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    let arguments = ["create", "--raw", &path, "--filename=-"];
    injector.wait_until("called by the API server", PATIENCE, || {
        let answer = cluster.run_with_input(&arguments, &pod);
        answer.is_ok_and(|answer| String::from_utf8_lossy(&answer.stdout).contains(INJECTED))
    })
}
