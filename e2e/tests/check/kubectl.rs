//! `sidecar-injector check` over what kubectl prints of a real cluster: a healthy one has no
//! findings, each planted fault has its own, and the command it names puts it right.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use e2e::installation::{Installation, NAME, PATIENCE, configured, enabled_namespace};
use e2e::kubectl::{Kubectl, eventually};
use serde_json::Value;
use testbed::{Cluster, ClusterOptions};

use crate::workload::{deploy, only_pod, run};

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
    let report: Value =
        serde_json::from_slice(&output.stdout).with_context(|| told.into_owned())?;
    let findings = report["findings"].as_array().context("no findings")?;
    Ok((output.status.code(), findings.clone()))
}

fn codes(findings: &[Value]) -> Vec<&str> {
    findings.iter().filter_map(|finding| finding["code"].as_str()).collect()
}

/// Does what the only finding says, with kubectl.
fn put_right(cluster: &Cluster, findings: &[Value]) -> Result<()> {
    ensure!(findings.len() == 1, "{findings:?}");
    run(cluster, findings[0]["fix"]["command"].as_str().context("no command")?)
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

#[test]
fn faults_of_a_cluster_are_found_and_their_fixes_help() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions { controller_manager: true })?;
    let mut injector = Installation::start(&cluster, &testbed::binary(NAME)?)?;

    let healthy = enabled_namespace(&cluster, "healthy")?;
    deploy(&cluster, &healthy, &[])?;
    assert_eq!(check(&cluster, &healthy)?, (Some(0), vec![]));

    // Created while no injector ran.
    let missed = enabled_namespace(&cluster, "missed")?;
    injector.stop();
    deploy(&cluster, &missed, &[])?;
    injector.resume()?;
    let (code, findings) = check(&cluster, &missed)?;
    assert_eq!((code, codes(&findings)), (Some(3), vec!["sidecar_missing"]), "{findings:?}");
    let restart = "kubectl rollout restart deployment/web --namespace missed";
    assert_eq!(findings[0]["fix"]["command"], restart);
    let old = only_pod(&cluster, &missed)?;
    put_right(&cluster, &findings)?;
    until_healthy(&cluster, &missed, &old)?;

    // Created in a namespace without the label.
    Kubectl(&cluster).run("create namespace plain")?;
    deploy(&cluster, "plain", &[])?;
    let (code, findings) = check(&cluster, "plain")?;
    assert_eq!((code, codes(&findings)), (Some(3), vec!["namespace_not_enabled"]), "{findings:?}");
    Ok(())
}
