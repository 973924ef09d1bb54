//! The injector as an overlay of the checkout installs it, for scenarios that stop it and start it
//! again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use testbed::{Cluster, Server, installation};

use crate::kubectl::{Kubectl, eventually};
use crate::wire::{Reply, plain};

pub use testbed::installation::{ENABLED, NAME, WEBHOOK, is_seen};

/// The overlay without Deployment and Service.
pub(crate) const LOCAL: &str = "manifests/overlays/local";
/// What a loaded machine may take for anything that is waited for.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A running injector, installed. Its objects stay in the cluster when it is dropped.
#[derive(Debug)]
pub struct Installation<'c> {
    cluster: &'c Cluster,
    process: installation::Installation<'c>,
    server: Option<Server>,
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
        let overlay = checkout(overlay);
        let mut process = installation::Installation::prepare(cluster, program, &overlay, patches)?;
        Kubectl(cluster).run(&format!("apply -k {}", process.kustomization().display()))?;
        process.configure()?;
        Ok(Self { cluster, process, server: None })
    }

    /// What the process finds in its environment besides `KUBECONFIG`, from its next start on.
    pub fn set_environment(&mut self, variables: Vec<(String, String)>) {
        self.process.set_environment(variables);
    }

    /// What its operations port says.
    pub fn operations(&self, path: &str) -> Result<Reply> {
        plain(self.process.operations(), "GET", path)
    }

    /// The folder to `kubectl apply -k`: the overlay with this process's URL.
    pub fn kustomization(&self) -> &Path {
        self.process.kustomization()
    }

    /// Where the API server calls.
    pub fn url(&self) -> &str {
        self.process.url()
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
        self.server = Some(self.process.start()?);
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

/// Applies the overlay `local` for a process at `url`, from a kustomization that it writes into
/// `folder`.
pub(crate) fn apply(cluster: &Cluster, folder: &Path, url: &str) -> Result<PathBuf> {
    let kustomization = installation::write_at_url(folder, &checkout(LOCAL), url, &[])?;
    Kubectl(cluster).run(&format!("apply -k {}", kustomization.display()))?;
    Ok(kustomization)
}

/// Makes a namespace whose pods the injector sees, and returns its name.
pub fn enabled_namespace(cluster: &Cluster, name: &str) -> Result<String> {
    installation::make_enabled_namespace(cluster, name)?;
    Ok(name.to_owned())
}

/// A folder of the checkout, for instance `examples`.
pub fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The configuration file that the manifests hold.
pub fn configured(kubectl: Kubectl<'_>) -> Result<String> {
    installation::configured(kubectl.0)
}
