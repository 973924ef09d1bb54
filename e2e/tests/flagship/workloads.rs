//! The life of a pod, as a kubelet leads it: what starts first, what ends last, what comes to an end
//! by itself.

use anyhow::{Context, Result, ensure};
use e2e::kubectl::eventually;
use e2e::pod::{Pod, SIDECAR, items};
use serde_json::Value;

use crate::place::{NAMESPACE, PATIENCE, Place, path, status};

/// Seconds since the epoch are not needed: times of one format are compared as text.
fn time<'p>(status: &'p Value, key: &str) -> Result<&'p str> {
    status[key].as_str().with_context(|| format!("no {key}: {status:#}"))
}

#[test]
fn a_native_sidecar_starts_first_and_stops_last() -> Result<()> {
    let Some(place) = Place::take()? else { return Ok(()) };
    let kubectl = place.kubectl;
    place.mockserver("ordered", NAMESPACE, &[])?;
    place.rolled_out("ordered", NAMESPACE)?;
    let pod = place.settled("ordered", NAMESPACE, 1)?.remove(0);
    let running = |container: &str| Ok::<_, anyhow::Error>(&status(&pod, container)?["state"]);
    let [sidecar, own] = [running(SIDECAR)?, running("ordered")?];
    let (first, then) =
        (time(&sidecar["running"], "startedAt")?, time(&own["running"], "startedAt")?);
    ensure!(first <= then, "the sidecar started at {first}, the application at {then}");

    // The object stays when its containers have ended, and says when they did.
    let name = pod.name();
    let finalizers = |list: &str| {
        let patch = format!("{{\"metadata\":{{\"finalizers\":{list}}}}}");
        kubectl.run(&format!("patch pod {name} -n {NAMESPACE} --type=merge -p {patch}"))
    };
    finalizers("[\"tests.mesher.io/witness\"]")?;
    kubectl.run(&format!("delete deployment,service ordered -n {NAMESPACE} --wait=false"))?;
    let ended = eventually("both containers have ended", PATIENCE, || {
        let pod = Pod(kubectl.get(&format!("pod {name} -n {NAMESPACE}"))?);
        let ended = |container: &str| {
            Ok::<_, anyhow::Error>(status(&pod, container)?["state"]["terminated"].clone())
        };
        let ends = [ended("ordered")?, ended(SIDECAR)?];
        Ok(ends.iter().all(Value::is_object).then_some(ends))
    });
    finalizers("null")?;
    let [own, sidecar] = ended.with_context(|| place.story(NAMESPACE))?;
    for end in [&own, &sidecar] {
        ensure!(end["exitCode"] == 0, "in order: {end:#}");
    }
    // Its drain takes seconds, and what it does comes after the application's end.
    let (first, then) = (time(&own, "finishedAt")?, time(&sidecar, "finishedAt")?);
    ensure!(first < then, "the application ended at {first}, the sidecar at {then}");
    Ok(())
}

#[test]
fn a_job_with_a_native_sidecar_completes() -> Result<()> {
    let Some(place) = Place::take()? else { return Ok(()) };
    let kubectl = place.kubectl;
    kubectl.run(&format!("create -f {} -n {NAMESPACE}", path("examples/workloads/job.yaml")))?;
    let seconds = PATIENCE.as_secs();
    kubectl
        .run(&format!(
            "wait --for=condition=complete job/import -n {NAMESPACE} --timeout={seconds}s"
        ))
        .with_context(|| place.story(NAMESPACE))?;
    let list = kubectl.get(&format!("pods -n {NAMESPACE} -l app=import"))?;
    let pod = Pod(items(&list["items"]).first().context("no pod")?.clone());
    ensure!(pod.0["status"]["phase"] == "Succeeded", "{:#}", pod.0["status"]);
    pod.sidecar()?;
    ensure!(status(&pod, SIDECAR)?["state"]["terminated"]["exitCode"] == 0);
    let said = kubectl.run(&format!("logs job/import -n {NAMESPACE} -c import"))?.stdout;
    let answer: Value = serde_json::from_str(&said).context(said)?;
    ensure!(answer["Instance"].as_str().is_some_and(|name| name.starts_with("server-")));
    kubectl.run(&format!("delete job import -n {NAMESPACE}"))?;
    Ok(())
}
