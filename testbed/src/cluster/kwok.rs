//! Nodes that there are not: kwok plays their kubelets, so that thousands of pods run.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::Cluster;
use crate::server::Server;
use crate::tools;

/// What a loaded machine may take until kwok has seen its nodes.
const PATIENCE: Duration = Duration::from_mins(2);
/// Has kubectl print the condition of each node.
const READY: &str = "--output=jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}";
/// What becomes of nodes and pods, as kwok ships it: at once all that they can be.
const STAGES: [&str; 4] = [
    "node/fast/node-initialize.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
];

/// The name of the fake node with this number.
pub fn node_name(number: usize) -> String {
    format!("node-{number}")
}

impl Cluster {
    /// Starts kwok with so many nodes, and waits until they are ready: pods that are bound to them
    /// then run, as far as the API server can tell. The tool `kwok` has to be there.
    pub fn start_nodes(&self, count: usize) -> Result<Server> {
        let stages = tools::module_source("kwok", "sigs.k8s.io/kwok")?.join("kustomize/stage");
        let mut command = Command::new(tools::program("kwok")?);
        command
            .env_clear()
            .env("HOME", self.folder().join("home"))
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .arg("--manage-all-nodes=true");
        for stage in STAGES {
            command.arg("--config").arg(stages.join(stage));
        }
        let kwok = self.guard().spawn("kwok", &mut command)?;
        let nodes: Vec<_> = (0..count)
            .map(|number| {
                let name = node_name(number);
                json!({
                    "apiVersion": "v1", "kind": "Node",
                    "metadata": {"name": name, "labels": {
                        "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
                    }},
                })
            })
            .collect();
        self.apply(&json!({"apiVersion": "v1", "kind": "List", "items": nodes}).to_string())?;
        kwok.wait_until("playing all nodes", PATIENCE, || {
            // One list, and not a watch for each.
            let ready = self.run(&["get", "nodes", READY]);
            ready.is_ok_and(|ready| ready.matches("True").count() == count)
        })?;
        Ok(kwok)
    }
}
