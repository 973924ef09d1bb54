//! What the overlay `ha` adds to the base. There is no node here: what a scheduler, an eviction and
//! a network make of it is Kubernetes' part, that the API server takes it as meant is ours.

use anyhow::{Context, Result};
use e2e::installation::{NAME, PATIENCE, checkout};
use e2e::kubectl::{Kubectl, eventually};
use e2e::manifests::{object, objects};
use e2e::pod::{items, pods};
use serde_json::{Value, json};
use testbed::Cluster;

const OVERLAY: &str = "manifests/overlays/ha";

#[test]
fn both_replicas_come_with_all_that_protects_them() -> Result<()> {
    let kubectl = Kubectl(Cluster::shared()?);
    let apply = format!("apply -k {}", checkout(OVERLAY).display());
    let first = kubectl.run(&apply)?;
    assert!(first.stdout.lines().all(|line| line.ends_with(" created")), "{}", first.stdout);
    let generation = || -> Result<Value> {
        let budget = kubectl.get(&format!("poddisruptionbudget {NAME} -n {NAME}"))?;
        Ok(budget["metadata"]["generation"].clone())
    };
    let before = generation()?;
    let second = kubectl.run(&apply)?;
    for line in second.stdout.lines() {
        // kubectl replaces a budget's selector whole, whether or not it differs, and then says
        // "configured" of an object that did not change.
        let budget = line.starts_with("poddisruptionbudget.policy/");
        assert!(budget || line.ends_with(" unchanged"), "{line}");
    }
    assert_eq!(generation()?, before);
    assert_eq!(first.stdout.lines().count(), second.stdout.lines().count());
    assert_eq!(first.stderr + &second.stderr, "", "nothing is deprecated or unknown");

    // Admitted to the restricted namespace, and with the priority of the class.
    let replicas = pods(kubectl, NAME, &format!("app.kubernetes.io/name={NAME}"), 2)?;
    let priority = object(kubectl, OVERLAY, "PriorityClass")?["value"].clone();
    for pod in &replicas {
        let spec = &pod.0["spec"];
        assert_eq!(spec["priority"], priority);
        let spread = items(&spec["topologySpreadConstraints"]);
        assert_eq!(spread.len(), 2, "{spec}");
        for constraint in spread {
            assert_eq!(constraint["matchLabelKeys"], json!(["pod-template-hash"]), "{constraint}");
        }
    }
    // The disruption controller has found them: the selector is right.
    eventually("the budget counts both replicas", PATIENCE, || {
        let budget = kubectl.get(&format!("poddisruptionbudget {NAME} -n {NAME}"))?;
        let status = &budget["status"];
        Ok((status["expectedPods"] == 2 && status["desiredHealthy"] == 1).then_some(()))
    })
}

/// Every selector finds the pods of the Deployment, and no other overlay's change creeps in.
#[test]
fn the_rest_is_the_base() -> Result<()> {
    let kubectl = Kubectl(Cluster::shared()?);
    let mut expected = objects(kubectl, "manifests/base")?;
    let mut found = objects(kubectl, OVERLAY)?;
    let added = ["NetworkPolicy", "PodDisruptionBudget", "PriorityClass"];
    found.retain(|object| !added.contains(&object["kind"].as_str().unwrap_or_default()));
    for object in &mut expected {
        if object["kind"] == "Deployment" {
            object["spec"]["replicas"] = json!(2);
        }
    }
    for object in &mut found {
        if object["kind"] == "Deployment" {
            let labels = object["spec"]["template"]["metadata"]["labels"].clone();
            let spec = object["spec"]["template"]["spec"].as_object_mut().context("no spec")?;
            assert_eq!(spec.remove("priorityClassName"), Some(json!(NAME)));
            let spread = spec.remove("topologySpreadConstraints").context("no spread")?;
            for constraint in items(&spread) {
                assert_selects(&constraint["labelSelector"], &labels);
            }
        }
    }
    let by_name = |a: &Value, b: &Value| {
        let key = |o: &Value| o["kind"].to_string() + &o["metadata"]["name"].to_string();
        key(a).cmp(&key(b))
    };
    expected.sort_by(by_name);
    found.sort_by(by_name);
    assert_eq!(found, expected);
    Ok(())
}

/// A NetworkPolicy that names a port nobody has would cut the injector off without a word.
#[test]
fn the_network_policy_leaves_open_what_the_injector_needs() -> Result<()> {
    let kubectl = Kubectl(Cluster::shared()?);
    let deployment = object(kubectl, OVERLAY, "Deployment")?;
    let template = &deployment["spec"]["template"];
    let listening = items(&template["spec"]["containers"][0]["ports"]);
    let policy = object(kubectl, OVERLAY, "NetworkPolicy")?["spec"].clone();
    assert_selects(&policy["podSelector"], &template["metadata"]["labels"]);

    let mut open = Vec::new();
    for rule in items(&policy["ingress"]) {
        assert!(rule.get("from").is_none(), "the API server has no labels: {rule}");
        for port in items(&rule["ports"]) {
            let own = listening.iter().find(|own| own["name"] == port["port"]);
            open.push(own.context("the container has no such port")?["containerPort"].clone());
        }
    }
    assert_eq!(open, [json!(9443), json!(9090)]);

    let egress = items(&policy["egress"]);
    let ports: Vec<_> = egress.iter().flat_map(|rule| items(&rule["ports"])).collect();
    for (port, protocol) in [(443, "TCP"), (6443, "TCP"), (53, "UDP"), (53, "TCP")] {
        assert!(ports.contains(&&json!({"port": port, "protocol": protocol})), "{port}/{protocol}");
    }
    Ok(())
}

#[test]
fn a_drain_takes_one_replica_at_a_time() -> Result<()> {
    let kubectl = Kubectl(Cluster::shared()?);
    let budget = object(kubectl, OVERLAY, "PodDisruptionBudget")?["spec"].clone();
    let deployment = object(kubectl, OVERLAY, "Deployment")?;
    assert_eq!(budget["maxUnavailable"], 1);
    assert_selects(&budget["selector"], &deployment["spec"]["template"]["metadata"]["labels"]);
    Ok(())
}

fn assert_selects(selector: &Value, labels: &Value) {
    let wanted = selector["matchLabels"].as_object().expect("it selects by labels");
    assert!(!wanted.is_empty());
    for (key, value) in wanted {
        assert_eq!(&labels[key], value, "{selector} does not select {labels}");
    }
}
