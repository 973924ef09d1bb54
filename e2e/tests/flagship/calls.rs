//! The flagship: examples as they ship, and a call that goes through both sidecars.

use anyhow::{Context, Result, ensure};
use e2e::pod::SIDECAR;
use serde_json::Value;

use crate::place::{NAMESPACE, Place, is_whole};

/// How many calls of `service` the sidecar of a pod answered with 200, on that side. To a client of
/// Istio, the service is called by its whole host.
pub(crate) fn answered(
    place: &Place,
    namespace: &str,
    pod: &str,
    side: &str,
    service: &str,
) -> Result<u64> {
    let line = "get --no-proxy http://127.0.0.1:30102/metrics";
    let metrics = place.mockserver_in(pod, namespace, line)?.succeeded()?.stdout;
    let names = [service.to_owned(), format!("{service}.{namespace}.svc.cluster.local")];
    let samples = metrics.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix("mesher_responses_total{")?.split_once("} ")?;
        let has = |name: &str, value: &str| labels.contains(&format!("{name}=\"{value}\""));
        let is_meant = names.iter().any(|name| has("service_name", name))
            && has("side", side)
            && has("code", "200");
        is_meant.then(|| value.trim().parse::<u64>().ok())?
    });
    Ok(samples.sum())
}

/// The examples as users see them: so many pods, 2/2, each with a sidecar that runs.
pub(crate) fn are_whole(place: &Place, namespace: &str) -> Result<()> {
    let listed = place.kubectl.run(&format!("get pods -n {namespace} --no-headers"))?.stdout;
    for (app, replicas) in [("client", 1), ("server", 2)] {
        for pod in &place.settled(app, namespace, replicas)? {
            pod.sidecar()?;
            is_whole(pod, app)?;
            let line = listed.lines().find(|line| line.starts_with(pod.name()));
            let columns: Vec<_> = line.context("not listed")?.split_whitespace().collect();
            ensure!(columns[1..3] == ["2/2", "Running"], "{listed}");
        }
    }
    Ok(())
}

/// Calls client → server → client, where each arrow is two sidecars, and holds that against what
/// they count.
pub(crate) fn walk(place: &Place, namespace: &str) -> Result<()> {
    let client = place.settled("client", namespace, 1)?[0].name().to_owned();
    let servers = place.settled("server", namespace, 2)?;
    let of_client = |side: &str, service: &str| answered(place, namespace, &client, side, service);
    let of_servers = |side: &str, service: &str| -> Result<u64> {
        let counts =
            servers.iter().map(|pod| answered(place, namespace, pod.name(), side, service));
        counts.sum()
    };
    let counts = || -> Result<[u64; 4]> {
        Ok([
            of_client("consumer", "server")?,
            of_servers("provider", "server")?,
            of_servers("consumer", "client")?,
            of_client("provider", "client")?,
        ])
    };
    let before = counts()?;
    let call = "get http://server:8080/@client/hello";
    let answer = place.mockserver_in("deploy/client", namespace, call)?.succeeded()?;
    let answer: Value = serde_json::from_str(&answer.stdout)?;
    let forward = &answer["ParallelForwards"][0]["SequentialForwards"][0];
    ensure!(forward["Status"] == 200, "{answer:#}");
    ensure!(answer["Instance"].as_str().is_some_and(|name| name.starts_with("server-")));
    let after = counts()?;
    ensure!(before.map(|count| count + 1) == after, "{before:?} → {after:?}: {answer:#}");
    Ok(())
}

#[test]
fn the_examples_run_and_call_each_other_through_both_sidecars() -> Result<()> {
    let Some(place) = Place::take()? else { return Ok(()) };
    are_whole(&place, NAMESPACE)?;
    walk(&place, NAMESPACE)?;
    // A service may call itself, by its name and through its sidecar.
    let itself = "get -q -n 8 -c 8 http://server:8080/";
    place.mockserver_in("deploy/server", NAMESPACE, itself)?.succeeded()?;
    Ok(())
}

/// The registry's name, and so every call of the scenarios, is found through the cluster's DNS; here
/// are the names themselves, and without any proxy.
#[test]
fn names_are_found_by_the_cluster_s_dns() -> Result<()> {
    let Some(place) = Place::take()? else { return Ok(()) };
    for host in ["server", "server.chassis", "server.chassis.svc.cluster.local"] {
        let line = format!("get --no-proxy --quiet http://{host}:8080/health");
        place.client(&line)?.succeeded().with_context(|| host.to_owned())?;
    }
    let nobody = place.client("get --no-proxy http://nobody.chassis:8080/")?.refused()?;
    ensure!(!nobody.is_empty());
    Ok(())
}

#[test]
fn a_plain_sidecar_works_too() -> Result<()> {
    let Some(place) = Place::take()? else { return Ok(()) };
    let plain = "inject: \"yes\"\n        sidecar.mesher.io/nativeSidecar: \"false\"";
    place.mockserver("plain", NAMESPACE, &[("inject: \"yes\"", plain)])?;
    place.rolled_out("plain", NAMESPACE)?;
    let pod = &place.settled("plain", NAMESPACE, 1)?[0];
    ensure!(pod.init_containers().is_empty(), "{:#}", pod.0["spec"]);
    let names: Vec<_> = pod.containers().iter().map(|container| &container["name"]).collect();
    assert_eq!(names, ["plain", SIDECAR]);
    is_whole(pod, "plain")?;
    place.answers("plain")?;
    ensure!(answered(&place, NAMESPACE, pod.name(), "provider", "plain")? > 0);
    place.kubectl.run(&format!("delete deploy,service plain -n {NAMESPACE}"))?;
    Ok(())
}
