//! The control plane starts, works and says what it is.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testbed::{Cluster, ClusterOptions};

#[test]
fn the_servers_are_the_pinned_version() -> Result<()> {
    let version = Cluster::shared()?.run(&["version"])?;
    assert!(version.contains("Server Version: v1.36.3"), "{version}");
    assert!(version.contains("Client Version: v1.36.3"), "{version}");
    let raw = Cluster::shared()?.run(&["get", "--raw=/version"])?;
    assert!(raw.contains(r#""major": "1""#) && raw.contains(r#""minor": "36""#), "{raw}");
    Ok(())
}

#[test]
fn a_deployment_leads_to_a_pending_pod() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = cluster.namespace("deployment")?;
    cluster.apply(&format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, image: 'registry.invalid/web:1'}}]}}
"
    ))?;
    let pods = ["get", "pods", "--namespace", &namespace, "--output=jsonpath={..phase}"];
    let started = Instant::now();
    while cluster.run(&pods)? != "Pending" {
        ensure!(started.elapsed() < Duration::from_mins(1), "no pod: {}", cluster.run(&pods)?);
    }
    let audit = cluster.audit_log()?;
    assert!(
        audit.lines().any(|line| line.contains(r#""verb":"create""#)
            && line.contains(r#""resource":"pods""#)
            && line.contains(&format!(r#""namespace":"{namespace}""#))),
        "no such creation among {} lines",
        audit.lines().count()
    );
    Ok(())
}

#[test]
fn namespaces_are_unique_and_take_pods_at_once() -> Result<()> {
    let cluster = Cluster::shared()?;
    let (first, second) = (cluster.namespace("pair")?, cluster.namespace("pair")?);
    assert_ne!(first, second);
    cluster.run(&["run", "web", "--image=registry.invalid/web:1", "--namespace", &second])?;
    Ok(())
}

#[test]
fn a_refusal_is_an_error_with_the_servers_words() -> Result<()> {
    let error = Cluster::shared()?
        .apply("{apiVersion: v1, kind: Pod, metadata: {name: Upper}, spec: {containers: []}}")
        .expect_err("the name has a capital letter")
        .to_string();
    assert!(error.contains("metadata.name: Invalid value"), "{error}");
    Ok(())
}

#[test]
fn data_survive_a_restart_of_the_api_server() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::default())?;
    let namespace = cluster.namespace("restart")?;
    cluster.stop_apiserver();
    assert!(!cluster.succeeds(&["get", "--raw=/readyz"]), "it should be down");
    cluster.restart_apiserver()?;
    cluster.run(&["get", "namespace", &namespace])?;
    Ok(())
}
