//! The rules of a namespace, and other mutations of the cluster, beside the injector.

use anyhow::{Context, Result};
use e2e::audit::creation;
use e2e::installation::PATIENCE;
use e2e::kubectl::eventually;
use e2e::pod::{Pod, asking, env};
use serde_json::json;

use crate::{create, enabled};

#[test]
fn pod_security_restricted_admits_what_is_injected() -> Result<()> {
    let (kubectl, namespace) = enabled("restricted")?;
    let enforce = "pod-security.kubernetes.io/enforce=restricted";
    let warn = "pod-security.kubernetes.io/warn=restricted";
    kubectl.run(&format!("label namespace {namespace} {enforce} {warn}"))?;
    let mut pod = asking("restricted");
    // Container by container: the pod itself says nothing that a sidecar could lean on.
    pod["spec"]["containers"][0]["securityContext"] = json!({
        "runAsNonRoot": true, "runAsUser": 1000, "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    });
    let (pod, warnings) = create(kubectl, &namespace, &pod)?;
    pod.sidecar()?;
    assert_eq!(warnings, "");
    // It is in force: the same without a sidecar's worth of care is refused.
    let careless = kubectl
        .try_run_with(&format!("create -n {namespace} -f -"), &asking("careless").to_string())?;
    assert!(careless.refused()?.contains("violates PodSecurity"));
    Ok(())
}

#[test]
fn a_quota_on_limits_admits_what_is_injected() -> Result<()> {
    let (kubectl, namespace) = enabled("quota")?;
    let hard = "requests.cpu=2,requests.memory=2Gi,limits.cpu=2,limits.memory=2Gi";
    kubectl.run(&format!("create quota all --hard={hard} -n {namespace}"))?;
    let mut pod = asking("counted");
    pod["spec"]["containers"][0]["resources"] = json!({
        "requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "200m", "memory": "128Mi"},
    });
    let (pod, _) = create(kubectl, &namespace, &pod)?;
    assert_eq!(pod.sidecar()?["resources"]["limits"]["cpu"], "500m");
    // It is in force: a pod without limits is refused, and not for the sidecar's lack of them.
    let refusal = kubectl
        .try_run_with(&format!("create -n {namespace} -f -"), &asking("uncounted").to_string())?
        .refused()?;
    assert!(refusal.contains("must specify limits.cpu for: app"), "{refusal}");
    Ok(())
}

#[test]
fn a_guaranteed_pod_stays_guaranteed() -> Result<()> {
    let (kubectl, namespace) = enabled("guaranteed")?;
    let mut pod = asking("guaranteed");
    let same = json!({"cpu": "100m", "memory": "64Mi"});
    pod["spec"]["containers"][0]["resources"] = json!({"requests": same, "limits": same});
    let (pod, _) = create(kubectl, &namespace, &pod)?;
    pod.sidecar()?;
    assert_eq!(pod.0["status"]["qosClass"], "Guaranteed");
    Ok(())
}

#[test]
fn a_limit_range_fills_in_what_the_sidecar_leaves_open() -> Result<()> {
    let (kubectl, namespace) = enabled("limit-range")?;
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "range"},
        "spec": {"limits": [{
            "type": "Container",
            "default": {"cpu": "300m", "memory": "256Mi"},
            "defaultRequest": {"cpu": "30m", "memory": "16Mi"},
            "max": {"cpu": "1", "memory": "512Mi"},
        }]},
    });
    kubectl.run_with(&format!("create -n {namespace} -f -"), &range.to_string())?;
    let (pod, _) = create(kubectl, &namespace, &asking("limited"))?;
    let resources = &pod.sidecar()?["resources"];
    assert_eq!(resources["requests"], json!({"cpu": "50m", "memory": "32Mi"}));
    assert_eq!(resources["limits"]["memory"], "128Mi");
    assert!(resources["limits"]["cpu"].is_string(), "{resources}");
    Ok(())
}

/// A MutatingAdmissionPolicy of the cluster adds a container once the sidecar is there, so after
/// the injector: it is called again and leads the new container to the proxy too.
#[test]
fn r23_a_container_that_another_mutation_adds_later_is_led_to_the_proxy() -> Result<()> {
    let (kubectl, namespace) = enabled("reinvoked")?;
    let policy = json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": namespace},
            "spec": {
                "failurePolicy": "Fail", "reinvocationPolicy": "IfNeeded",
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"],
                    "operations": ["CREATE"], "resources": ["pods"],
                }]},
                // Matches before there is a sidecar too: what the API server did not call in the
                // first round, it does not call in the second.
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression":
                    "has(object.spec.initContainers) && \
                     object.spec.initContainers.exists(c, c.name == 'sidecar-mesher') && \
                     !object.spec.containers.exists(c, c.name == 'late') ? \
                     [JSONPatch{op: 'add', path: '/spec/containers/-', value: \
                     Object.spec.containers{name: 'late', image: 'late:1'}}] : []"}}],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": namespace},
            "spec": {"policyName": namespace, "matchResources": {"namespaceSelector": {
                "matchLabels": {"kubernetes.io/metadata.name": namespace},
            }}},
        },
    ]});
    kubectl.run_with("create -f -", &policy.to_string())?;
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    let mut number = 0;
    let (name, pod) = eventually("the policy acts", PATIENCE, || {
        number += 1;
        let name = format!("pod-{number}");
        let pod = Pod(kubectl.post(&path, &asking(&name))?.succeeded()?.json()?);
        Ok(pod.container("late").is_some().then_some((name, pod)))
    })?;
    pod.sidecar()?;
    let late = pod.container("late").context("gone")?;
    assert_eq!(env(late, "http_proxy"), Some("http://127.0.0.1:30101"));
    assert_eq!(creation(kubectl.0, &namespace, &name)?.calls, 2);
    Ok(())
}

/// What an operator can ask the API server itself, whatever the injector says: how long it waited
/// for us, and how often we refused a pod.
#[test]
fn r34_the_api_server_counts_our_calls() -> Result<()> {
    let (kubectl, namespace) = enabled("counted")?;
    create(kubectl, &namespace, &asking("counted"))?.0.sidecar()?;
    let mut refused = asking("refused");
    refused["metadata"]["annotations"]["sidecar.mesher.io/inject"] = json!("yse");
    kubectl
        .try_run_with(&format!("create -n {namespace} -f -"), &refused.to_string())?
        .refused()?;
    let metrics = kubectl.run("get --raw /metrics")?.stdout;
    for name in [
        "apiserver_admission_webhook_admission_duration_seconds_count",
        "apiserver_admission_webhook_request_total",
        "apiserver_admission_webhook_rejection_count",
    ] {
        let ours = metrics
            .lines()
            .find(|line| line.starts_with(name) && line.contains("sidecar-injector.mesher.io"));
        let count = ours.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        assert!(count.is_some_and(|count| count >= 1.0), "{name}: {ours:?}");
    }
    Ok(())
}
