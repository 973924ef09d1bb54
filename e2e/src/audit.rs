//! What the API server wrote into its audit log.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;
use testbed::Cluster;

use crate::installation::{PATIENCE, WEBHOOK};
use crate::kubectl::eventually;

/// What the log says of one creation of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// The HTTP status of the answer.
    pub code: u64,
    /// How often the API server called our webhook: 0, 1, or 2 with a reinvocation.
    pub calls: usize,
    /// The injector's word for its decision (of the last call), if it was called.
    pub decision: Option<String>,
    /// One of these calls changed the pod.
    pub mutated: bool,
    /// The API server called in vain and created the pod all the same.
    pub failed_open: bool,
}

/// Waits for the entry of the creation of the pod `name`, dry runs included. Pods whose name the
/// API server made up are in the log without one.
pub fn creation(cluster: &Cluster, namespace: &str, name: &str) -> Result<Creation> {
    eventually(&format!("the audit log knows {namespace}/{name}"), PATIENCE, || {
        let log = cluster.audit_log()?;
        // The last line may be written at this moment.
        let complete = log.rfind('\n').map_or("", |end| &log[..end]);
        let entries = complete.lines().rev().filter(|line| line.contains(name));
        for line in entries {
            let entry: Value = serde_json::from_str(line)?;
            let about = &entry["objectRef"];
            if entry["verb"] == "create"
                && about["resource"] == "pods"
                && about["namespace"] == namespace
                && about["name"] == name
            {
                return Ok(Some(read(&entry)));
            }
        }
        Ok(None)
    })
}

fn read(entry: &Value) -> Creation {
    let annotations: BTreeMap<&str, &str> = entry["annotations"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect();
    let ours = |prefix: &str| -> Vec<&str> {
        annotations
            .iter()
            .filter(|(key, value)| key.starts_with(prefix) && value.contains(WEBHOOK))
            .map(|(_, value)| *value)
            .collect()
    };
    let calls = ours("mutation.webhook.admission.k8s.io/");
    Creation {
        code: entry["responseStatus"]["code"].as_u64().unwrap_or_default(),
        calls: calls.len(),
        mutated: calls.iter().any(|call| call.contains("\"mutated\":true")),
        decision: annotations.get(format!("{WEBHOOK}/decision").as_str()).map(|&d| d.to_owned()),
        failed_open: !ours("failed-open.mutation.webhook.admission.k8s.io/").is_empty(),
    }
}
