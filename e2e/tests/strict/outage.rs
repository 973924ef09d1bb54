//! With all injectors gone, what needs no sidecar starts, first of all the injector itself; what
//! asked waits, and gets its sidecar once one is back. And the way out, where none comes back.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::installation::{
    ENABLED, Installation, NAME, PATIENCE, WEBHOOK, checkout, enabled_namespace,
};
use e2e::kubectl::{Kubectl, eventually};
use e2e::pod::{asking, items, pods};
use serde_json::{Value, json};
use testbed::{Cluster, ClusterOptions};

use crate::OVERLAY;

fn start(cluster: &Cluster) -> Result<Installation<'_>> {
    Installation::of(cluster, &testbed::binary(NAME)?, OVERLAY)
}

fn bare(name: &str) -> Value {
    let mut pod = asking(name);
    pod["metadata"]["annotations"] = json!({});
    pod
}

fn deployment(name: &str, pod: &Value) -> Value {
    let annotations = &pod["metadata"]["annotations"];
    let metadata = json!({"labels": {"app": name}, "annotations": annotations});
    let template = json!({"metadata": metadata, "spec": pod["spec"]});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template},
    })
}

/// Really created, as its author would.
fn create(kubectl: Kubectl<'_>, namespace: &str, object: &Value) -> Result<e2e::kubectl::Answer> {
    kubectl.try_run_with(&format!("create -n {namespace} -f -"), &object.to_string())
}

/// As a kubelet shows a static pod: with NodeRestriction, nothing else passes.
fn mirror(kubectl: Kubectl<'_>, namespace: &str) -> Result<()> {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}});
    let node = kubectl.run_with("create -o json -f -", &node.to_string())?.json()?;
    let mut pod = asking("static-node-1");
    pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("5f3");
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "Node", "name": "node-1", "controller": true,
        "uid": node["metadata"]["uid"],
    }]);
    pod["spec"]["nodeName"] = json!("node-1");
    let line = format!(
        "create --raw /api/v1/namespaces/{namespace}/pods -f - --as=system:node:node-1 \
         --as-group=system:nodes --as-group=system:authenticated"
    );
    kubectl.run_with(&line, &pod.to_string())?;
    Ok(())
}

#[test]
fn with_all_injectors_gone_only_those_who_asked_wait() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions { controller_manager: true })?;
    let kubectl = Kubectl(&cluster);
    let mut injector = start(&cluster)?;
    let enabled = enabled_namespace(&cluster, "shop")?;
    let other = cluster.namespace("unlabelled")?;
    // Labels must not change anything there.
    kubectl.run(&format!("label namespace kube-system {NAME} {ENABLED}"))?;
    let own = |kubectl| pods(kubectl, NAME, &format!("app.kubernetes.io/name={NAME}"), 2);
    let before = own(kubectl)?;

    injector.stop();
    kubectl.run(&format!("delete pods --all --now -n {NAME}"))?;
    let gone = |name: &str| before.iter().any(|pod| pod.name() == name);
    eventually("both of the injector's pods are back", PATIENCE, || {
        let new = own(kubectl)?;
        Ok(new.iter().all(|pod| !gone(pod.name())).then_some(()))
    })?;
    for (namespace, pod) in [
        ("kube-system", asking("addon")),
        (other.as_str(), asking("elsewhere")),
        (enabled.as_str(), bare("never-asked")),
        (enabled.as_str(), deployment("silent", &bare(""))),
        (enabled.as_str(), deployment("asking", &asking(""))),
    ] {
        create(kubectl, namespace, &pod)?.succeeded()?;
    }
    mirror(kubectl, &enabled)?;
    pods(kubectl, &enabled, "app=silent", 2)?;
    let refusal = create(kubectl, &enabled, &asking("waits"))?.refused()?;
    ensure!(refusal.contains(WEBHOOK) && refusal.contains("connection refused"), "{refusal}");
    eventually("the Deployment's owner can read why it has no pods", PATIENCE, || {
        let events = kubectl.get(&format!("events -n {enabled}"))?;
        let told = items(&events["items"]).iter().any(|event| {
            event["reason"] == "FailedCreate"
                && event["message"].as_str().is_some_and(|text| text.contains(WEBHOOK))
        });
        Ok(told.then_some(()))
    })?;

    injector.resume()?;
    create(kubectl, &enabled, &asking("waits"))?.succeeded()?;
    // The controller tries again after ever longer pauses.
    let late = eventually("the Deployment that asked has its pods", 3 * PATIENCE, || {
        pods(kubectl, &enabled, "app=asking", 2).map(Some)
    })?;
    for pod in &late {
        pod.sidecar()?;
    }
    Ok(())
}

/// What README says, as it stands there.
fn way_out() -> Result<Vec<String>> {
    let text = fs::read_to_string(checkout("README.md"))?;
    let (_, after) = text.split_once("Out of strict").context("README says nothing of it")?;
    let (_, after) = after.split_once("```sh\n").context("it gives no commands")?;
    let (commands, _) = after.split_once("```").context("they have no end")?;
    let commands = commands.lines().map(|line| line.split(" #").next().unwrap_or(line).trim());
    let commands = commands.filter_map(|line| line.strip_prefix("kubectl "));
    Ok(commands.map(|line| line.replace('\'', "")).collect())
}

#[test]
fn the_policy_stands_where_the_webhook_is_gone_and_there_is_a_way_out() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions { controller_manager: true })?;
    let kubectl = Kubectl(&cluster);
    let mut injector = start(&cluster)?;
    let enabled = enabled_namespace(&cluster, "shop")?;
    a_fault_of_the_template_is_refused(&cluster, &enabled)?;

    kubectl.run(&format!("delete mutatingwebhookconfiguration {NAME}"))?;
    let refusal = eventually("the API server does without the webhook", PATIENCE, || {
        let refusal = create(kubectl, &enabled, &asking("waits"))?;
        if refusal.success {
            kubectl.run(&format!("delete pod waits --now -n {enabled}"))?;
        }
        Ok((!refusal.success).then_some(refusal.stderr))
    })?;
    ensure!(refusal.contains("ValidatingAdmissionPolicy 'sidecar-injector'"), "{refusal}");
    create(kubectl, &enabled, &bare("never-asked"))?.succeeded()?;

    // Everything back, and the injector broken.
    injector.stop();
    kubectl.run(&format!("apply -k {}", injector.kustomization().display()))?;
    let out = way_out()?;
    ensure!(out.len() == 2, "{out:?}");
    for (step, command) in out.iter().enumerate() {
        kubectl.run(command)?;
        let name = format!("out-{step}");
        if step + 1 < out.len() {
            create(kubectl, &enabled, &asking(&name))?.refused()?;
        } else {
            eventually("pods start without their sidecars", PATIENCE, || {
                Ok(create(kubectl, &enabled, &asking(&name))?.success.then_some(()))
            })?;
        }
    }
    // And in again.
    kubectl.run(&format!("apply -k {}", injector.kustomization().display()))?;
    injector.resume()?;
    kubectl.run(&format!("delete mutatingwebhookconfiguration {NAME}"))?;
    let mut tries = 0;
    eventually("the policy is back as well", PATIENCE, || {
        tries += 1;
        let answer = create(kubectl, &enabled, &asking(&format!("again-{tries}")))?;
        Ok(answer.stderr.contains("ValidatingAdmissionPolicy").then_some(()))
    })
}

/// By its configuration the injector lets the pod through (`policy.onError: allow`).
fn a_fault_of_the_template_is_refused(cluster: &Cluster, enabled: &str) -> Result<()> {
    let folder = cluster.folder().join("templates");
    fs::create_dir_all(&folder)?;
    let shipped = fs::read_to_string(checkout("templates/mesher.yaml"))?;
    let faulty = shipped.replace(
        "value: \"{{ version }}\"",
        "value: \"{{ (1 // 0) if version == 'none' else version }}\"",
    );
    ensure!(faulty != shipped, "the template has no version any more");
    fs::write(folder.join("faulty.yaml"), faulty)?;
    let configuration = cluster.folder().join(NAME).join("config.yaml");
    let text = fs::read_to_string(&configuration)?;
    fs::write(&configuration, format!("{text}\ntemplates: {}\n", folder.display()))?;

    let kubectl = Kubectl(cluster);
    let path = format!("/api/v1/namespaces/{enabled}/pods?dryRun=All");
    let mut pod = asking("faulty");
    pod["metadata"]["annotations"]["sidecar.mesher.io/template"] = json!("faulty");
    eventually("the injector has the template", PATIENCE, || {
        Ok(kubectl.post(&path, &pod)?.success.then_some(()))
    })?;
    pod["metadata"]["annotations"]["sidecar.mesher.io/version"] = json!("none");
    let refusal = kubectl.post(&path, &pod)?.refused()?;
    ensure!(refusal.contains("template_error"), "the injector warns of it: {refusal}");
    ensure!(refusal.contains("ValidatingAdmissionPolicy 'sidecar-injector'"), "{refusal}");
    Ok(())
}
