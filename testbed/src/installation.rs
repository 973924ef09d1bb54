//! An injector as an overlay installs it: its objects in a cluster, itself a process of this machine
//! that the API server calls by URL.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::kustomization::write_kustomization;
use crate::ports::free_ports;
use crate::server::Server;

/// What the manifests call everything: namespace, ServiceAccount, webhook configuration.
pub const NAME: &str = "sidecar-injector";
/// The one entry of the webhook configuration.
pub const WEBHOOK: &str = "sidecar-injector.mesher.io";
/// Selects the namespaces whose pods the injector sees.
pub const ENABLED: &str = "sidecar-injector=enabled";
/// The annotation of a pod that has its sidecar.
const INJECTED: &str = "\"sidecar.mesher.io/injected\"";
/// What a loaded machine may take for anything that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// An injector whose objects are or will be in a cluster, where they stay when it is dropped.
///
/// In this order: [`Installation::prepare`], `kubectl apply -k` of
/// [`Installation::kustomization`], [`Installation::configure`], [`Installation::start`].
#[derive(Debug)]
pub struct Installation<'c> {
    cluster: &'c Cluster,
    program: PathBuf,
    folder: PathBuf,
    kustomization: PathBuf,
    url: String,
    webhook: SocketAddr,
    operations: SocketAddr,
    environment: Vec<(String, String)>,
    /// Says who it is to the API server; empty until that is known.
    kubeconfig: PathBuf,
    /// Where a dry run shows whether the injector is called.
    probed: String,
}

impl<'c> Installation<'c> {
    /// Chooses ports for `program`, and writes a kustomization that is the one in `overlay` with
    /// `patches` and the URL of the process.
    pub fn prepare(
        cluster: &'c Cluster,
        program: &Path,
        overlay: &Path,
        patches: &[Value],
    ) -> Result<Self> {
        let folder = cluster.folder().join(NAME);
        let [webhook, operations] =
            free_ports()?.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let url = format!("https://{webhook}/mutate");
        let kustomization = write_at_url(&folder, overlay, &url, patches)?;
        Ok(Self {
            cluster,
            program: program.to_owned(),
            folder,
            kustomization,
            url,
            webhook,
            operations,
            environment: Vec::new(),
            kubeconfig: PathBuf::new(),
            probed: "probe".to_owned(),
        })
    }

    /// The folder to `kubectl apply -k`.
    pub fn kustomization(&self) -> &Path {
        &self.kustomization
    }

    /// Where the API server calls.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its operations port.
    pub fn operations(&self) -> SocketAddr {
        self.operations
    }

    /// What the process finds in its environment besides `KUBECONFIG`, from its next start on.
    pub fn set_environment(&mut self, variables: Vec<(String, String)>) {
        self.environment = variables;
    }

    /// Takes the identity and the configuration that the applied manifests hold.
    pub fn configure(&mut self) -> Result<()> {
        fs::write(self.configuration(), configured(self.cluster)?)?;
        self.kubeconfig = self.cluster.account_kubeconfig(NAME, NAME)?;
        make_enabled_namespace(self.cluster, &self.probed)
    }

    /// Starts the process and waits until the API server calls it.
    pub fn start(&self) -> Result<Server> {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("KUBECONFIG", &self.kubeconfig)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .arg("serve")
            .arg(format!("--config={}", self.configuration().display()))
            .arg(format!("--namespace={NAME}"))
            .arg(format!("--url={}", self.url))
            .arg(format!("--listen={}", self.webhook))
            .arg(format!("--operations-listen={}", self.operations));
        let server = self.cluster.guard().spawn(NAME, &mut command)?;
        self.wait_until_seen(&server, &self.probed)?;
        Ok(server)
    }

    /// Waits until the API server shows the injector the pods of `namespace`: it takes a moment to
    /// go by a new CA or a new label.
    pub fn wait_until_seen(&self, server: &Server, namespace: &str) -> Result<()> {
        let seen = || is_seen(self.cluster, namespace);
        server.wait_until("called by the API server", PATIENCE, seen)
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("config.yaml")
    }
}

/// Writes a kustomization into `folder` that is the one in `overlay` with `patches`, and has the API
/// server call `url` and not the Service.
pub fn write_at_url(
    folder: &Path,
    overlay: &Path,
    url: &str,
    patches: &[Value],
) -> Result<PathBuf> {
    let client = json!({"url": url, "service": null});
    let at_url = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [{"name": WEBHOOK, "clientConfig": client}],
    });
    let mut patches = patches.to_vec();
    patches.push(json!({"patch": at_url.to_string()}));
    write_kustomization(&folder.join("manifests"), overlay, &json!(patches).to_string())
}

/// Whether the API server shows the injector the pods of `namespace`: a dry run comes back with a
/// sidecar.
pub fn is_seen(cluster: &Cluster, namespace: &str) -> bool {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "probe", "annotations": {"sidecar.mesher.io/inject": "yes"}},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    });
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    let arguments = ["create", "--raw", &path, "--filename=-"];
    let answer = cluster.run_with_input(&arguments, &pod.to_string());
    answer.is_ok_and(|answer| {
        answer.status.success() && String::from_utf8_lossy(&answer.stdout).contains(INJECTED)
    })
}

/// Makes a namespace whose pods the injector sees. It has its label from the start: the API server
/// looks up a namespace that is new to it, but may go by old labels of one it knows for a moment.
pub fn make_enabled_namespace(cluster: &Cluster, name: &str) -> Result<()> {
    let (label, value) = ENABLED.split_once('=').context("no label")?;
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {label: value}},
    });
    cluster.apply(&namespace.to_string())?;
    let account = ["--for=create", "serviceaccount/default", "--timeout=60s", "--namespace", name];
    cluster.run(&[&["wait"], &account[..]].concat())?;
    Ok(())
}

/// The configuration file that the applied manifests hold.
pub fn configured(cluster: &Cluster) -> Result<String> {
    let config_map = ["get", "configmap", NAME, "--namespace", NAME, "--output=json"];
    let config_map: Value = serde_json::from_str(&cluster.run(&config_map)?)?;
    let text = config_map["data"]["config.yaml"].as_str();
    Ok(text.context("the ConfigMap holds no config.yaml")?.to_owned())
}
