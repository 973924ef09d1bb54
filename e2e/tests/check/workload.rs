//! Deployments whose pods ask, and commands that a finding names.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::installation::{PATIENCE, checkout};
use e2e::kubectl::{Kubectl, eventually};
use e2e::pod::asking;
use serde_json::{Value, json};
use testbed::Cluster;

/// A Deployment `web` of pods that ask, with changes by path.
pub(crate) fn deployment(changes: &[(&str, Value)]) -> Value {
    let pod = asking("web");
    let mut deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "annotations": {}},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {
                    "labels": {"app": "web"},
                    "annotations": pod["metadata"]["annotations"],
                },
                "spec": pod["spec"],
            },
        },
    });
    for (path, value) in changes {
        let (parent, key) = path.rsplit_once('/').expect("a path");
        let key = key.replace("~1", "/");
        deployment.pointer_mut(parent).expect("a parent")[key] = value.clone();
    }
    deployment
}

/// Creates that Deployment and waits for its pod.
pub(crate) fn deploy(cluster: &Cluster, namespace: &str, changes: &[(&str, Value)]) -> Result<()> {
    let kubectl = Kubectl(cluster);
    let deployment = deployment(changes).to_string();
    kubectl.run_with(&format!("create -n {namespace} -f -"), &deployment)?;
    eventually("the Deployment's pod is there", PATIENCE, || {
        let pods = kubectl.get(&format!("pods -n {namespace}"))?;
        Ok(pods["items"].as_array().filter(|pods| !pods.is_empty()).map(|_| ()))
    })
}

/// The name of the pod of a namespace.
pub(crate) fn only_pod(cluster: &Cluster, namespace: &str) -> Result<String> {
    let pods = Kubectl(cluster).get(&format!("pods -n {namespace}"))?;
    Ok(pods["items"][0]["metadata"]["name"].as_str().context("no pod")?.to_owned())
}

/// There is no kubelet, so no new pod becomes ready, and a rolling update keeps the old one: it is
/// taken away as the update would have done.
pub(crate) fn finish_rollout(cluster: &Cluster, namespace: &str, old: &str) -> Result<()> {
    let kubectl = Kubectl(cluster);
    eventually("a new pod is there", PATIENCE, || {
        let pods = kubectl.get(&format!("pods -n {namespace}"))?;
        let items = pods["items"].as_array().context("no list")?;
        Ok(items.iter().any(|pod| pod["metadata"]["name"] != old).then_some(()))
    })?;
    eventually("the old pod is gone", PATIENCE, || {
        let delete = format!("delete pod {old} -n {namespace} --force --grace-period=0");
        kubectl.try_run(&delete)?;
        let found = kubectl.run(&format!("get pod {old} -n {namespace} --ignore-not-found"))?;
        Ok(found.stdout.is_empty().then_some(()))
    })
}

/// Runs a command that a finding names, as its reader would: in a shell, in the checkout.
pub(crate) fn run(cluster: &Cluster, line: &str) -> Result<()> {
    let kubectl = testbed::tools::program("kubectl")?;
    let folder = kubectl.parent().context("kubectl has a folder")?;
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(checkout(""))
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("HOME", cluster.folder().join("home"))
        .output()?;
    ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
