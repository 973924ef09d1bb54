//! What the policy assumes about webhook and template is what stands there.

use anyhow::{Context, Result};
use e2e::installation::checkout;
use e2e::kubectl::Kubectl;
use e2e::manifests::object;
use e2e::pod::items;
use serde_json::{Value, json};
use testbed::Cluster;

use crate::OVERLAY;

fn policy() -> Result<Value> {
    object(Kubectl(Cluster::shared()?), OVERLAY, "ValidatingAdmissionPolicy")
}

/// A list that the policy writes in CEL.
fn list(policy: &Value, variable: &str) -> Result<Value> {
    let found = items(&policy["spec"]["variables"]).iter().find(|v| v["name"] == variable);
    let text = found.context("no such variable")?["expression"].as_str().context("no text")?;
    Ok(serde_json::from_str(&text.replace('\'', "\""))?)
}

fn all<'a>(lists: &[&'a Value], key: &str) -> Vec<&'a Value> {
    lists.iter().flat_map(|list| items(list)).map(|item| &item[key]).collect()
}

#[test]
fn the_policys_names_are_the_templates() -> Result<()> {
    let policy = policy()?;
    let text = std::fs::read_to_string(checkout("templates/mesher.yaml"))?;
    let template: Value = serde_saphyr::from_str(&text)?;
    let sidecar = &template["sidecar"];
    let (others, init) = (&template["containers"], &template["initContainers"]);
    assert!(others.is_null() && init.is_null(), "their names and ports are taken too");
    assert_eq!(list(&policy, "sidecars")?, json!([sidecar["name"]]));
    assert_eq!(list(&policy, "volumes")?, json!(all(&[&template["volumes"]], "name")));
    assert_eq!(list(&policy, "ports")?, json!(all(&[&sidecar["ports"]], "containerPort")));
    assert_eq!(list(&policy, "portNames")?, json!(all(&[&sidecar["ports"]], "name")));
    for port in items(&sidecar["ports"]) {
        assert_eq!(port["protocol"], "TCP", "the policy looks at TCP only");
    }
    Ok(())
}

#[test]
fn the_policy_looks_where_the_webhook_looks() -> Result<()> {
    let kubectl = Kubectl(Cluster::shared()?);
    let webhook = object(kubectl, OVERLAY, "MutatingWebhookConfiguration")?["webhooks"][0].clone();
    let policy = policy()?["spec"].clone();
    let matched = &policy["matchConstraints"];
    assert_eq!(matched["namespaceSelector"], webhook["namespaceSelector"]);
    assert_eq!(matched["objectSelector"], webhook["objectSelector"]);
    assert_eq!(matched["matchPolicy"], webhook["matchPolicy"]);
    assert_eq!(matched["resourceRules"], webhook["rules"]);
    assert_eq!(
        (&webhook["failurePolicy"], &policy["failurePolicy"]),
        (&json!("Fail"), &json!("Fail"))
    );
    let binding = object(kubectl, OVERLAY, "ValidatingAdmissionPolicyBinding")?["spec"].clone();
    assert_eq!(binding, json!({"policyName": "sidecar-injector", "validationActions": ["Deny"]}));
    Ok(())
}
