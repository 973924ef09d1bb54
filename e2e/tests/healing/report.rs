//! Pods that missed their sidecar are found, counted by reason, and told about; nothing is changed.

use anyhow::{Result, ensure};
use e2e::installation::PATIENCE;
use e2e::kubectl::eventually;
use e2e::pod::asking;
use serde_json::{Value, json};

use crate::installed::{Installed, cluster, evictions, uid, without_sidecar};

#[test]
fn pods_that_were_let_through_are_counted_and_told_about() -> Result<()> {
    let cluster = cluster()?;
    let mut installed = Installed::start(&cluster, "report")?;
    let kubectl = installed.kubectl();
    kubectl.run("create namespace plain")?;

    // As when all injectors are gone for a while.
    installed.injector.stop();
    installed.create(&asking("missed"))?;
    let web = installed.deploy("web", 1)?.remove(0);
    let mut on_the_node = asking("on-the-node");
    on_the_node["spec"]["hostNetwork"] = json!(true);
    installed.create(&on_the_node)?;
    let mut content = asking("content");
    content["metadata"]["annotations"] = json!({"sidecar.mesher.io/inject": "no"});
    installed.create(&content)?;
    kubectl.run_with("create -n plain -f -", &asking("elsewhere").to_string())?;
    installed.injector.resume()?;
    installed.create(&asking("injected"))?;

    installed.wait_until(&without_sidecar("sidecar_missing"), 2)?;
    installed.wait_until(&without_sidecar("host_network"), 1)?;
    installed.wait_until(&without_sidecar("namespace_not_enabled"), 1)?;
    let text = installed.injector.operations("/metrics")?.text();
    let series = text.lines().filter(|line| line.starts_with("sidecar_injector_pods_without"));
    assert_eq!(series.count(), 3, "{text}");
    let status: Value = installed.injector.operations("/status")?.json()?;
    let healing = &status["cluster"]["healing"];
    assert_eq!(healing["withoutSidecar"]["sidecar_missing"], 2, "{healing}");

    // Each of them is told about beside it, once.
    for (pod, reason, advice) in [
        ("missed", "sidecar_missing", "kubectl delete pod missed --namespace shop"),
        (web.name(), "sidecar_missing", "kubectl rollout restart deployment/web --namespace shop"),
        ("on-the-node", "host_network", "remove hostNetwork"),
    ] {
        let events = eventually(&format!("there is an Event about {pod}"), PATIENCE, || {
            Ok(Some(installed.events(pod, "NoSidecar")?).filter(|events| !events.is_empty()))
        })?;
        let message = events[0]["message"].as_str().unwrap_or_default();
        ensure!(message.starts_with(reason) && message.contains(advice), "{pod}: {message}");
        assert_eq!((events.len(), &events[0]["type"]), (1, &json!("Warning")), "{pod}");
        let log = installed.injector.server().log();
        let told = log.lines().filter(|line| {
            line.contains("\"reason\"") && line.contains(reason) && line.contains(pod)
        });
        assert_eq!(told.count(), 1, "{pod}: {log}");
    }

    // Everybody is judged anew when a namespace gets its label, and nothing is said twice.
    kubectl.run("label namespace plain sidecar-injector=enabled")?;
    installed.wait_until(&without_sidecar("sidecar_missing"), 3)?;
    installed.wait_until(&without_sidecar("namespace_not_enabled"), 0)?;
    kubectl.run("delete pod missed -n shop --now")?;
    installed.wait_until(&without_sidecar("sidecar_missing"), 2)?;
    assert_eq!(installed.events(web.name(), "NoSidecar")?.len(), 1);

    // Nobody was touched.
    assert_eq!(uid(&installed.pod(web.name())?), uid(&web));
    assert_eq!(evictions(&cluster, &installed.namespace)?, Vec::<String>::new());
    Ok(())
}

/// What happens while the API server is away, or while a watch cannot go on where it was, is found
/// afterwards; and the injector is ready all the while.
#[test]
fn a_restart_of_the_api_server_loses_nobody() -> Result<()> {
    let cluster = cluster()?;
    let installed = Installed::start(&cluster, "report")?;
    let kubectl = installed.kubectl();
    kubectl.run("create namespace plain")?;
    kubectl.run("wait --for=create serviceaccount/default -n plain --timeout=60s")?;
    let add = |name: &str| -> Result<()> {
        kubectl.run_with("create -n plain -f -", &asking(name).to_string())?;
        Ok(())
    };
    let lacking = without_sidecar("namespace_not_enabled");
    add("before")?;
    add("doomed")?;
    installed.wait_until(&lacking, 2)?;

    cluster.stop_apiserver();
    eventually("the outage is noticed", PATIENCE, || {
        Ok((installed.metric("healing_looking")? == 0).then_some(()))
    })?;
    assert_eq!(installed.injector.operations("/readyz")?.status, 200);
    cluster.start_apiserver()?;
    kubectl.run("delete pod doomed -n plain --now")?;
    add("after")?;
    add("later")?;
    installed.wait_until(&lacking, 3)?;
    installed.wait_until("healing_looking", 1)?;
    kubectl.run("delete pod before after -n plain --now")?;
    installed.wait_until(&lacking, 1)
}
