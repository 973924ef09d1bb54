//! Pods that get no sidecar, and what their authors are told.

use anyhow::Result;
use e2e::audit::creation;
use e2e::pod::{Pod, asking, items};
use serde_json::json;

use crate::{create, enabled, example};

#[test]
fn who_does_not_ask_or_may_not_ask_stays_as_it_is() -> Result<()> {
    let (kubectl, namespace) = enabled("bare")?;
    let example = example("decisions/opted-out.yaml");
    let answer = kubectl.run(&format!("create -f {example} -n {namespace} -o json"))?;
    assert_eq!(answer.stderr, "");
    let opted_out = Pod(answer.json()?);
    opted_out.is_bare()?;
    assert_eq!(opted_out.status(), None, "nothing was asked, nothing is answered");

    let mut silent = asking("silent");
    silent["metadata"]["annotations"] = json!({});
    create(kubectl, &namespace, &silent)?.0.is_bare()?;

    let unlabelled = kubectl.0.namespace("unlabelled")?;
    let (pod, warnings) = create(kubectl, &unlabelled, &asking("asks-in-vain"))?;
    pod.is_bare()?;
    assert_eq!((pod.status(), warnings.as_str()), (None, ""));
    Ok(())
}

#[test]
fn who_asks_in_vain_is_told_why() -> Result<()> {
    let (kubectl, namespace) = enabled("skipped")?;
    let host_network = example("decisions/host-network.yaml");
    let answer = kubectl.run(&format!("create -f {host_network} -n {namespace} -o json"))?;
    let pod = Pod(answer.json()?);
    pod.is_bare()?;
    assert_eq!(pod.status(), Some("skipped:host_network"));
    assert!(answer.stderr.starts_with("Warning: "), "{}", answer.stderr);
    assert!(answer.stderr.contains("host_network"), "{}", answer.stderr);
    let seen = creation(kubectl.0, &namespace, pod.name())?;
    assert_eq!(seen.decision.as_deref(), Some("host_network"));

    let mut mistyped = asking("mistyped");
    mistyped["metadata"]["annotations"]["sidecar.mesher.io/servicePort"] = json!("rest:8080");
    let (pod, warnings) = create(kubectl, &namespace, &mistyped)?;
    pod.sidecar()?;
    assert!(
        warnings.starts_with("Warning: ") && warnings.contains("servicePorts"),
        "did you mean: {warnings}"
    );
    Ok(())
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_can() -> Result<()> {
    let (kubectl, namespace) = enabled("refused")?;
    for (file, key, allowed) in [
        ("decisions/misspelt-value.yaml", "sidecar.mesher.io/inject", ["yes", "no"]),
        ("decisions/unknown-discovery.yaml", "sidecar.mesher.io/discoveryType", ["sc", "pilot"]),
    ] {
        let answer = kubectl.try_run(&format!("create -f {} -n {namespace}", example(file)))?;
        let refusal = answer.refused()?;
        assert!(refusal.contains("sidecar-injector.mesher.io"), "who refused: {refusal}");
        assert!(refusal.contains(key), "{refusal}");
        for value in allowed {
            assert!(refusal.contains(value), "{value} is allowed: {refusal}");
        }
    }
    assert!(items(&kubectl.get(&format!("pods -n {namespace}"))?["items"]).is_empty());
    Ok(())
}
