//! The injector as an overlay installs it: its objects in the cluster, itself a process of this
//! machine that the API server calls by URL.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testbed::{Cluster, Server, free_ports, write_kustomization};

use crate::kubectl::{Kubectl, eventually};
use crate::pod::asking;
use crate::wire::{Reply, plain};

/// What the manifests call everything: namespace, ServiceAccount, webhook configuration.
pub const NAME: &str = "sidecar-injector";
/// The one entry of the webhook configuration.
pub const WEBHOOK: &str = "sidecar-injector.mesher.io";
/// Selects the namespaces whose pods the injector sees.
pub const ENABLED: &str = "sidecar-injector=enabled";
/// The overlay without Deployment and Service.
pub(crate) const LOCAL: &str = "manifests/overlays/local";
/// The annotation of a pod that has its sidecar.
const INJECTED: &str = "\"sidecar.mesher.io/injected\"";
/// What a loaded machine may take for anything that is waited for.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A running injector, installed. Its objects stay in the cluster when it is dropped.
#[derive(Debug)]
pub struct Installation<'c> {
    cluster: &'c Cluster,
    kustomization: PathBuf,
    url: String,
    operations: u16,
    invocation: Invocation,
    server: Option<Server>,
    /// Where a dry run shows whether the injector is called.
    probed: String,
}

#[derive(Debug)]
struct Invocation {
    program: PathBuf,
    arguments: Vec<String>,
    kubeconfig: PathBuf,
    environment: Vec<(String, String)>,
}

impl<'c> Installation<'c> {
    /// [`Installation::of`] the overlay `local`.
    pub fn start(cluster: &'c Cluster, program: &Path) -> Result<Self> {
        Self::of(cluster, program, LOCAL)
    }

    /// [`Installation::prepare`], and starts the injector.
    pub fn of(cluster: &'c Cluster, program: &Path, overlay: &str) -> Result<Self> {
        let mut installation = Self::prepare(cluster, program, overlay, &[])?;
        installation.resume()?;
        Ok(installation)
    }

    /// Applies the manifests in `overlay`, a folder of the checkout, with `patches` of a
    /// kustomization. [`Installation::resume`] then starts `program` with the identity and the
    /// configuration that they give it.
    pub fn prepare(
        cluster: &'c Cluster,
        program: &Path,
        overlay: &str,
        patches: &[Value],
    ) -> Result<Self> {
        let folder = cluster.folder().join(NAME);
        fs::create_dir_all(&folder)?;
        let kubectl = Kubectl(cluster);
        let [webhook, operations] = free_ports()?;
        let url = format!("https://127.0.0.1:{webhook}/mutate");
        let kustomization = apply(cluster, &folder, overlay, &url, patches)?;
        let configuration = folder.join("config.yaml");
        fs::write(&configuration, configured(kubectl)?)?;
        let kubeconfig = cluster.account_kubeconfig(NAME, NAME)?;
        let arguments = vec![
            "serve".into(),
            format!("--config={}", configuration.display()),
            format!("--namespace={NAME}"),
            format!("--url={url}"),
            format!("--listen=127.0.0.1:{webhook}"),
            format!("--operations-listen=127.0.0.1:{operations}"),
        ];
        let probed = enabled_namespace(cluster, "probe")?;
        let environment = Vec::new();
        let invocation = Invocation { program: program.into(), arguments, kubeconfig, environment };
        Ok(Self { cluster, kustomization, url, operations, invocation, server: None, probed })
    }

    /// What the process finds in its environment besides `KUBECONFIG`, from its next start on.
    pub fn set_environment(&mut self, variables: Vec<(String, String)>) {
        self.invocation.environment = variables;
    }

    /// What its operations port says.
    pub fn operations(&self, path: &str) -> Result<Reply> {
        plain(SocketAddr::from((Ipv4Addr::LOCALHOST, self.operations)), "GET", path)
    }

    /// The folder to `kubectl apply -k`: the overlay `local` with this process's URL.
    pub fn kustomization(&self) -> &Path {
        &self.kustomization
    }

    /// Where the API server calls.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The process.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs from start to drop, but for stop to resume")
    }

    /// Kills the process; the API server still calls its URL.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Starts the process anew and waits until the API server can call it.
    pub fn resume(&mut self) -> Result<()> {
        let mut command = Command::new(&self.invocation.program);
        command
            .env_clear()
            .env("KUBECONFIG", &self.invocation.kubeconfig)
            .envs(self.invocation.environment.iter().map(|(name, value)| (name, value)))
            .args(&self.invocation.arguments);
        let server = self.cluster.guard().spawn(NAME, &mut command)?;
        server.wait_until("called by the API server", PATIENCE, || {
            is_seen(self.cluster, &self.probed)
        })?;
        self.server = Some(server);
        Ok(())
    }

    /// The CA that the API server verifies the process with, in base64; absent: none.
    pub fn ca_bundle(&self) -> Result<Option<String>> {
        let found = Kubectl(self.cluster).get(&format!("mutatingwebhookconfigurations {NAME}"))?;
        Ok(found["webhooks"][0]["clientConfig"]["caBundle"].as_str().map(String::from))
    }

    /// Waits until the injector has written its CA.
    pub fn wait_for_ca_bundle(&self, deadline: Duration) -> Result<String> {
        eventually("caBundle is filled", deadline, || self.ca_bundle())
    }
}

/// Applies `overlay` with `patches` for a process at `url`, from a kustomization that it writes into
/// `folder`.
pub(crate) fn apply(
    cluster: &Cluster,
    folder: &Path,
    overlay: &str,
    url: &str,
    patches: &[Value],
) -> Result<PathBuf> {
    let mut patches = patches.to_vec();
    patches.push(at_url(url));
    let folder = folder.join("manifests");
    let patches = json!(patches).to_string();
    let kustomization = write_kustomization(&folder, &checkout(overlay), &patches)?;
    Kubectl(cluster).run(&format!("apply -k {}", kustomization.display()))?;
    Ok(kustomization)
}

/// Whether the API server shows the injector the pods of `namespace`: a dry run comes back with a
/// sidecar.
pub fn is_seen(cluster: &Cluster, namespace: &str) -> bool {
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    let answer = Kubectl(cluster).post(&path, &asking("probe"));
    answer.is_ok_and(|answer| answer.success && answer.stdout.contains(INJECTED))
}

/// The patch of an overlay that has the API server call `url`, and not the Service.
fn at_url(url: &str) -> Value {
    let client = json!({"url": url, "service": null});
    json!({"patch": json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [{"name": WEBHOOK, "clientConfig": client}],
    }).to_string()})
}

/// Makes a namespace whose pods the injector sees. It has its label from the start: the API server
/// looks up a namespace that is new to it, but may go by old labels of one it knows for a moment.
pub fn enabled_namespace(cluster: &Cluster, name: &str) -> Result<String> {
    let (label, value) = ENABLED.split_once('=').context("no label")?;
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {label: value}},
    });
    let kubectl = Kubectl(cluster);
    kubectl.run_with("create -f -", &namespace.to_string())?;
    kubectl.run(&format!("wait --for=create serviceaccount/default --timeout=60s -n {name}"))?;
    Ok(name.to_owned())
}

/// A folder of the checkout, for instance `examples`.
pub fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The configuration file that the manifests hold.
pub fn configured(kubectl: Kubectl<'_>) -> Result<String> {
    let config_map = kubectl.get(&format!("configmap {NAME} -n {NAME}"))?;
    let text = config_map["data"]["config.yaml"].as_str();
    Ok(text.context("the ConfigMap holds no config.yaml")?.to_owned())
}
