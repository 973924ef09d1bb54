//! Without an injector, and without a registry: what starts, what does not, and how it is found.

use anyhow::{Result, ensure};
use e2e::installation::{NAME, WEBHOOK};
use e2e::pod::asking;
use serde_json::json;

use crate::faults::{fix, found};
use crate::place::{NAMESPACE, Place, REGISTRY, is_whole};

#[test]
fn without_an_injector_pods_start_and_check_finds_them() -> Result<()> {
    let Some(place) = Place::take()? else { return Ok(()) };
    place.scale(NAME, NAME, 0)?;
    place.mockserver("lonely", NAMESPACE, &[])?;
    place.rolled_out("lonely", NAMESPACE)?;
    place.settled("lonely", NAMESPACE, 1)?[0].is_bare()?;
    found(&place, "injector_down")?;

    place.scale(NAME, NAME, 2)?;
    place.wait_until_seen(NAMESPACE)?;
    let finding = found(&place, "sidecar_missing")?;
    ensure!(finding["object"] == "deployment/lonely", "{finding:#}");
    fix(&place, &finding)?;
    place.rolled_out("lonely", NAMESPACE)?;
    is_whole(&place.settled("lonely", NAMESPACE, 1)?[0], "lonely")?;
    place.answers("lonely")?;
    place.kubectl.run(&format!("delete deployment,service lonely -n {NAMESPACE}"))?;
    Ok(())
}

#[test]
fn under_strict_they_do_not() -> Result<()> {
    let Some(place) = Place::take()? else { return Ok(()) };
    let kubectl = place.kubectl;
    place.apply("manifests/overlays/strict")?;
    place.scale(NAME, NAME, 0)?;
    let create = |name: &str| {
        let pod = asking(name).to_string();
        kubectl.try_run_with(&format!("create -n {NAMESPACE} -f - --dry-run=server"), &pod)
    };
    let refusal = create("waits")?.refused()?;
    ensure!(refusal.contains(WEBHOOK), "{refusal}");
    // The injector itself starts, though nobody admits its pods.
    place.scale(NAME, NAME, 2)?;
    place.wait_until_seen(NAMESPACE)?;
    create("waits")?.succeeded()?;

    kubectl.run(
        "delete validatingadmissionpolicybinding,validatingadmissionpolicy sidecar-injector",
    )?;
    place.apply("manifests/overlays/ha")?;
    let policy = kubectl.get(&format!("mutatingwebhookconfiguration {NAME}"))?;
    assert_eq!(policy["webhooks"][0]["failurePolicy"], json!("Ignore"));
    place.wait_until_seen(NAMESPACE)
}

#[test]
fn without_a_registry_pods_start_and_call_each_other_when_it_is_back() -> Result<()> {
    let Some(place) = Place::take()? else { return Ok(()) };
    place.scale("service-center", REGISTRY, 0)?;
    place.mockserver("early", NAMESPACE, &[])?;
    place.rolled_out("early", NAMESPACE)?;
    is_whole(&place.settled("early", NAMESPACE, 1)?[0], "early")?;

    // It kept everything in memory: whoever was there registers anew.
    place.scale("service-center", REGISTRY, 1)?;
    place.answers("early")?;
    place.answers("server")?;
    place.kubectl.run(&format!("delete deployment,service early -n {NAMESPACE}"))?;
    Ok(())
}
