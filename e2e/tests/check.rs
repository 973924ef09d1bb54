//! `sidecar-injector check` over what kubectl prints of a real cluster: a healthy one has no
//! findings, each planted fault has its own, and the command it names puts it right.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use e2e::installation::{Installation, NAME, PATIENCE, configured, enabled_namespace};
use e2e::kubectl::{Kubectl, eventually};
use e2e::pod::asking;
use serde_json::{Value, json};
use testbed::{Cluster, ClusterOptions};

/// The exit code and the findings about one namespace.
fn check(cluster: &Cluster, namespace: &str) -> Result<(Option<i32>, Vec<Value>)> {
    let kubectl = Kubectl(cluster);
    let config = cluster.folder().join("check.yaml");
    fs::write(&config, configured(kubectl)?)?;
    let about = kubectl.run(&format!("get namespace {namespace} -o json"))?.stdout;
    let objects =
        kubectl.run(&format!("get deployments,replicasets,pods -n {namespace} -o json"))?;
    let mut child = Command::new(testbed::binary(NAME)?)
        .args(["check", "-f", "-", "-o", "json", "--config"])
        .arg(&config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let input = format!("{about}\n{}", objects.stdout);
    child.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let findings = serde_json::from_slice(&output.stdout).with_context(|| told.into_owned())?;
    Ok((output.status.code(), findings))
}

fn codes(findings: &[Value]) -> Vec<&str> {
    findings.iter().filter_map(|finding| finding["code"].as_str()).collect()
}

/// Creates a Deployment whose pod asks, and waits for the pod.
fn deploy(cluster: &Cluster, namespace: &str) -> Result<()> {
    let pod = asking("web");
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
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
    let kubectl = Kubectl(cluster);
    kubectl.run_with(&format!("create -n {namespace} -f -"), &deployment.to_string())?;
    eventually("the Deployment's pod is there", PATIENCE, || {
        let pods = kubectl.get(&format!("pods -n {namespace}"))?;
        Ok(pods["items"].as_array().filter(|pods| !pods.is_empty()).map(|_| ()))
    })
}

/// Does what the only finding says, with kubectl.
fn put_right(cluster: &Cluster, findings: &[Value]) -> Result<()> {
    ensure!(findings.len() == 1, "{findings:?}");
    for command in findings[0]["fix"].as_str().context("no fix")?.split(" && ") {
        let line = command.strip_prefix("kubectl ").context("no command of kubectl")?;
        Kubectl(cluster).run(line)?;
    }
    Ok(())
}

/// There is no kubelet, so no new pod becomes ready, and a rolling update keeps the old one: it is
/// taken away as the update would have done.
fn until_healthy(cluster: &Cluster, namespace: &str, old: &str) -> Result<()> {
    let kubectl = Kubectl(cluster);
    let wanted = format!("get pods -n {namespace} -o json");
    eventually("a new pod has its sidecar", PATIENCE, || {
        let pods = kubectl.run(&wanted)?.json()?;
        let items = pods["items"].as_array().context("no list")?;
        Ok(items.iter().any(|pod| pod["metadata"]["name"] != old).then_some(()))
    })?;
    eventually("check finds nothing", PATIENCE, || {
        kubectl.run(&format!(
            "delete pod {old} -n {namespace} --ignore-not-found --force --grace-period=0"
        ))?;
        let (code, findings) = check(cluster, namespace)?;
        ensure!(findings.is_empty() && code == Some(0), "{code:?} {findings:?}");
        Ok(Some(()))
    })
}

fn only_pod(cluster: &Cluster, namespace: &str) -> Result<String> {
    let pods = Kubectl(cluster).get(&format!("pods -n {namespace}"))?;
    Ok(pods["items"][0]["metadata"]["name"].as_str().context("no pod")?.to_owned())
}

#[test]
fn faults_of_a_cluster_are_found_and_their_fixes_help() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions { controller_manager: true })?;
    let mut injector = Installation::start(&cluster, &testbed::binary(NAME)?)?;

    let healthy = enabled_namespace(&cluster, "healthy")?;
    deploy(&cluster, &healthy)?;
    assert_eq!(check(&cluster, &healthy)?, (Some(0), vec![]));

    // Created while no injector ran.
    let missed = enabled_namespace(&cluster, "missed")?;
    injector.stop();
    deploy(&cluster, &missed)?;
    injector.resume()?;
    let (code, findings) = check(&cluster, &missed)?;
    assert_eq!((code, codes(&findings)), (Some(3), vec!["sidecar_missing"]), "{findings:?}");
    assert_eq!(findings[0]["fix"], "kubectl rollout restart deployment/web --namespace missed");
    let old = only_pod(&cluster, &missed)?;
    put_right(&cluster, &findings)?;
    until_healthy(&cluster, &missed, &old)?;

    // Created in a namespace without the label.
    Kubectl(&cluster).run("create namespace plain")?;
    deploy(&cluster, "plain")?;
    let (code, findings) = check(&cluster, "plain")?;
    let expected = vec!["namespace_not_enabled", "namespace_not_enabled"];
    assert_eq!((code, codes(&findings)), (Some(3), expected), "{findings:?}");
    Ok(())
}
