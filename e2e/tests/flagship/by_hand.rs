//! The same pods without a webhook: what `sidecar-injector inject` writes runs just so, and
//! `uninject` takes it back.

use anyhow::{Context, Result, ensure};
use e2e::pod::{Pod, SIDECAR};
use serde_json::{Value, json};

use crate::place::{NAMESPACE, Place, is_whole};

const PLACE: &str = "by-hand";

/// The sidecar of a pod and what the pod has for it, without what the API server and the kubelet add
/// to each pod under names of its own.
fn essence(pod: &Pod) -> Result<Value> {
    let mut sidecar = pod.sidecar()?.clone();
    let is_own = |name: &Value| name.as_str().is_some_and(|name| name.starts_with("mesher-"));
    sidecar["volumeMounts"]
        .as_array_mut()
        .context("no mounts")?
        .retain(|mount| is_own(&mount["name"]));
    let volumes: Vec<_> = pod.volumes().iter().filter(|volume| is_own(&volume["name"])).collect();
    let own = pod.containers().first().context("no container")?;
    Ok(json!({"sidecar": sidecar, "volumes": volumes, "env": own["env"]}))
}

#[test]
fn what_is_injected_by_hand_is_the_same_running_pod() -> Result<()> {
    let Some(place) = Place::take()? else { return Ok(()) };
    let kubectl = place.kubectl;
    place.namespace(PLACE, &json!({}))?;
    let file = "examples/with-service-ports/sc/client.yaml";
    place.shell(&format!("sidecar-injector inject -f {file} | kubectl apply -n {PLACE} -f -"))?;
    place.rolled_out("client", PLACE)?;
    let pod = place.settled("client", PLACE, 1)?.remove(0);
    is_whole(&pod, "client")?;
    let of_the_webhook = place.settled("client", NAMESPACE, 1)?.remove(0);
    assert_eq!(essence(&pod)?, essence(&of_the_webhook)?);
    let call = "mockserver get -q http://server:8080/";
    kubectl.run(&format!("exec deploy/client -n {PLACE} -- {call}"))?;

    let back = format!(
        "sidecar-injector inject -f {file} | sidecar-injector uninject -f - | \
         kubectl apply -n {PLACE} -f -"
    );
    place.shell(&back)?;
    place.rolled_out("client", PLACE)?;
    let pod = place.settled("client", PLACE, 1)?.remove(0);
    pod.is_bare()?;
    ensure!(pod.container(SIDECAR).is_none() && pod.containers().len() == 1);
    kubectl.run(&format!("delete namespace {PLACE} --wait=false"))?;
    Ok(())
}
