//! Programs that act as a ServiceAccount of the cluster, from outside of it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::Cluster;

impl Cluster {
    /// Writes a kubeconfig for the ServiceAccount `name` of `namespace`: whoever uses it may do
    /// what the cluster's roles let that account do, and nothing else. The token is good for a day.
    pub fn account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let token =
            self.run(&["create", "token", name, "--namespace", namespace, "--duration=24h"])?;
        let token = token.trim();
        ensure!(!token.is_empty(), "the API server issued no token for {namespace}/{name}");
        let path = self.folder().join(format!("{namespace}-{name}.kubeconfig"));
        let text = format!(
            "apiVersion: v1
kind: Config
clusters:
- name: testbed
  cluster:
    server: {api}
    certificate-authority: {ca}
users:
- name: {name}
  user: {{token: {token}}}
contexts:
- name: testbed
  context: {{cluster: testbed, user: {name}, namespace: {namespace}}}
current-context: testbed
",
            api = self.api_url(),
            ca = self.ca().display(),
        );
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}
