//! Pods get what they ask for: the examples, and every kind of workload.

use anyhow::{Context, Result};
use e2e::installation::{ENABLED, PATIENCE, is_seen};
use e2e::kubectl::eventually;
use e2e::pod::{env, pods};
use serde_json::json;

use crate::{enabled, example, kubectl};

#[test]
fn the_examples_are_used_as_written() -> Result<()> {
    let kubectl = kubectl()?;
    kubectl.run("create namespace chassis")?;
    kubectl.run(&format!("label namespace chassis {ENABLED}"))?;
    // The API server takes a moment to go by a new label.
    eventually("the label is in force", PATIENCE, || {
        Ok(is_seen(kubectl.0, "chassis").then_some(()))
    })?;
    let created =
        kubectl.run(&format!("create -f {} -n chassis", example("with-service-ports/sc/")))?;
    assert_eq!(created.stderr, "", "a pod that gets what it asked for needs no warning");

    for (app, replicas) in [("client", 1), ("server", 2)] {
        for pod in pods(kubectl, "chassis", &format!("app={app}"), replicas)? {
            let sidecar = pod.sidecar()?;
            assert_eq!(sidecar["image"], "mesher:0.1.0");
            assert_eq!(env(sidecar, "DISCOVERY_TYPE"), Some("sc"));
            assert_eq!(env(sidecar, "SERVICE_PORTS"), Some("rest:8080"));
            assert_eq!(env(sidecar, "APP_PORTS"), Some("8080"));
            assert_eq!(env(sidecar, "MESHER_DEFAULT_SERVICE_NAME"), Some(app));
            assert_eq!(env(sidecar, "MESHER_DEFAULT_VERSION"), Some("0.1.0"));
            assert_eq!(
                env(sidecar, "MESHER_DEFAULT_CSE_REGISTRY_ADDR"),
                Some("http://service-center.servicecomb:30100")
            );
            assert_eq!(env(sidecar, "POD_NAME"), Some("metadata.name"));
            assert_eq!(env(sidecar, "INSTANCE_IP"), Some("status.podIP"));
            for probe in ["startupProbe", "livenessProbe"] {
                assert_eq!(sidecar[probe]["httpGet"]["path"], "/healthz", "{probe}");
            }
            assert!(sidecar.get("readinessProbe").is_none());

            let own = pod.container(app).context("the pod lost its own container")?;
            assert_eq!(env(own, "http_proxy"), Some("http://127.0.0.1:30101"));
            let conf = pod.volumes().iter().find(|volume| volume["name"] == "mesher-conf");
            let conf = conf.context("no volume mesher-conf")?;
            assert_eq!(conf["configMap"]["name"], "mesher-configmap");
            assert_eq!(conf["configMap"]["optional"], true);

            assert_eq!(pod.status(), Some("injected"));
            assert_eq!(pod.annotation("sidecar.mesher.io/inject"), Some("yes"));
            assert_eq!(pod.annotation("kubectl.kubernetes.io/default-container"), Some(app));
        }
    }
    Ok(())
}

#[test]
fn each_example_leads_to_its_discovery_backend() -> Result<()> {
    for (name, folder, discovery, ports) in [
        ("with-pilot", "with-service-ports/pilot/", "pilot", Some("rest:8080")),
        ("without-sc", "without-service-ports/sc/", "sc", None),
        ("without-pilot", "without-service-ports/pilot/", "pilot", None),
    ] {
        let (kubectl, namespace) = enabled(name)?;
        kubectl.run(&format!("create -f {} -n {namespace}", example(folder)))?;
        for pod in pods(kubectl, &namespace, "app=server", 2)? {
            let sidecar = pod.sidecar()?;
            assert_eq!(env(sidecar, "DISCOVERY_TYPE"), Some(discovery), "{folder}");
            assert_eq!(env(sidecar, "SERVICE_PORTS"), ports, "{folder}");
            assert_eq!(env(sidecar, "APP_PORTS"), Some("8080"), "{folder}");
            let token = pod.volumes().iter().any(|volume| {
                volume["projected"]["sources"][0]["serviceAccountToken"]["audience"] == "istio-ca"
            });
            assert_eq!(token, discovery == "pilot", "{folder}");
        }
    }
    Ok(())
}

#[test]
fn the_chain_is_used_as_written() -> Result<()> {
    let (kubectl, namespace) = enabled("chain")?;
    let created = kubectl.run(&format!("create -f {} -n {namespace}", example("chain")))?;
    assert_eq!(created.stderr, "");
    for (app, replicas, ports) in [
        ("front", 1, "rest:8080"),
        ("service1", 1, "rest:8080,rest-more:8081"),
        ("service2", 1, "rest:8080"),
        ("service3", 1, "rest:8080"),
        ("service4", 2, "rest:8080"),
    ] {
        for pod in pods(kubectl, &namespace, &format!("app={app}"), replicas)? {
            let sidecar = pod.sidecar()?;
            assert_eq!(env(sidecar, "SERVICE_PORTS"), Some(ports), "{app}");
            assert_eq!(env(sidecar, "MESHER_DEFAULT_SERVICE_NAME"), Some(app));
        }
    }
    Ok(())
}

#[test]
fn every_kind_of_workload_carries_a_native_sidecar() -> Result<()> {
    let (kubectl, namespace) = enabled("workloads")?;
    // The DaemonSet's pod needs a node to be made for; nothing runs there.
    kubectl.run_with(
        "create -f -",
        &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}}).to_string(),
    )?;
    kubectl.run(&format!("create -f {} -n {namespace}", example("workloads")))?;
    kubectl.run(&format!("create job now --from=cronjob/report -n {namespace}"))?;
    for (selector, count, service) in [
        ("tier=store", 2, "store"),
        ("app=agent", 1, "agent"),
        ("app=import", 1, "import"),
        ("job-name=now", 1, "report"),
    ] {
        for pod in pods(kubectl, &namespace, selector, count)? {
            let sidecar = pod.sidecar().with_context(|| selector.to_owned())?;
            assert_eq!(env(sidecar, "MESHER_DEFAULT_SERVICE_NAME"), Some(service), "{selector}");
        }
    }
    Ok(())
}
