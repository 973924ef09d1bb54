//! What a cluster demands of pods, and what the overlay `ha` demands of a cluster.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::installation::{ENABLED, NAME, checkout};
use e2e::kubectl::eventually;
use e2e::pod::items;
use serde_json::json;

use crate::place::{PATIENCE, Place, is_whole};

/// What the author of a pod has to say for Pod Security `restricted`; the sidecar says it for itself.
const RESTRICTED: &str = "image: mockserver:0.1.0
          securityContext:
            runAsNonRoot: true
            allowPrivilegeEscalation: false
            capabilities: {drop: [ALL]}
            seccompProfile: {type: RuntimeDefault}";

#[test]
fn pods_with_sidecars_run_under_pod_security_restricted() -> Result<()> {
    const PLACE: &str = "hardened";
    let Some(place) = Place::take()? else { return Ok(()) };
    let kubectl = place.kubectl;
    let (label, value) = ENABLED.split_once('=').context("no label")?;
    place.namespace(
        PLACE,
        &json!({label: value, "pod-security.kubernetes.io/enforce": "restricted"}),
    )?;
    // It is enforced: the example as it stands is refused.
    place.mockserver("lax", PLACE, &[])?;
    eventually("the pod of a lax author is refused", PATIENCE, || {
        let events = kubectl.get(&format!("events -n {PLACE}"))?;
        let refused = items(&events["items"]).iter().any(|event| {
            let message = event["message"].as_str().unwrap_or_default();
            message.contains("violates PodSecurity") && !message.contains("sidecar-mesher")
        });
        Ok(refused.then_some(()))
    })?;
    place.mockserver("hard", PLACE, &[("image: mockserver:0.1.0", RESTRICTED)])?;
    place.rolled_out("hard", PLACE)?;
    let pod = &place.settled("hard", PLACE, 1)?[0];
    pod.sidecar()?;
    is_whole(pod, "hard")?;
    place.answers("hard")?;
    kubectl.run(&format!("delete namespace {PLACE} --wait=false"))?;
    Ok(())
}

/// As `kubectl drain` does it: the node takes no new pods, and the old ones are evicted.
#[test]
fn a_drain_leaves_one_injector_until_another_is_ready() -> Result<()> {
    let Some(place) = Place::take()? else { return Ok(()) };
    let kubectl = place.kubectl;
    let evict = |name: &str| {
        let path = format!("/api/v1/namespaces/{NAME}/pods/{name}/eviction");
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": name, "namespace": NAME},
        });
        kubectl.post(&path, &eviction)
    };
    let allowed = |number: u64| {
        eventually(&format!("the budget allows {number}"), PATIENCE, || {
            let budget = kubectl.get(&format!("poddisruptionbudget {NAME} -n {NAME}"))?;
            Ok((budget["status"]["disruptionsAllowed"] == number).then_some(()))
        })
    };
    let [first, second] = {
        let pods = place.settled(NAME, NAME, 2)?;
        [0, 1].map(|index| pods[index].name().to_owned())
    };
    allowed(1)?;
    let nodes = kubectl.get("nodes")?;
    let node = nodes["items"][0]["metadata"]["name"].as_str().context("no node")?;
    kubectl.run(&format!("cordon {node}"))?;
    let outcome = (|| {
        evict(&first)?.succeeded()?;
        evict(&second)?.refused()
    })();
    kubectl.run(&format!("uncordon {node}"))?;
    let refusal = outcome?;
    ensure!(refusal.contains("disruption budget"), "{refusal}");
    place.rolled_out(NAME, NAME)?;
    allowed(1)?;
    evict(&second)?.succeeded()?;
    place.rolled_out(NAME, NAME)?;
    place.settled(NAME, NAME, 2)?;
    Ok(())
}

/// Accepted is all that can be said of it here: the network of the node enforces no policy.
#[test]
fn the_network_policy_is_accepted() -> Result<()> {
    let Some(place) = Place::take()? else { return Ok(()) };
    let written = fs::read_to_string(checkout("manifests/components/ha/network-policy.yaml"))?;
    let applied = place.kubectl.run_with("apply --dry-run=server -o name -f -", &written)?.stdout;
    assert_eq!(applied.trim(), "networkpolicy.networking.k8s.io/sidecar-injector");
    let policy = place.kubectl.get(&format!("networkpolicy {NAME} -n {NAME}"))?;
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    Ok(())
}
