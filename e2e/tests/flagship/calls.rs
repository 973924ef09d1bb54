//! The flagship: examples as they ship, and a call that goes through both sidecars.

use anyhow::{Context, Result, ensure};
use e2e::pod::SIDECAR;
use serde_json::Value;

use crate::place::{NAMESPACE, Place, is_whole};

/// The sum of a counter of a pod's sidecar over the series that have all of `labels`.
pub(crate) fn counted(place: &Place, pod: &str, counter: &str, labels: &[&str]) -> Result<u64> {
    let line = "mockserver get --no-proxy http://127.0.0.1:30102/metrics";
    let metrics = place.kubectl.run(&format!("exec {pod} -n {NAMESPACE} -- {line}"))?.stdout;
    let series = metrics.lines().filter_map(|line| {
        let (found, value) = line.strip_prefix(counter)?.strip_prefix('{')?.split_once("} ")?;
        labels
            .iter()
            .all(|label| found.contains(label))
            .then(|| value.trim().parse::<u64>().ok())?
    });
    Ok(series.sum())
}

#[test]
fn the_examples_run_and_call_each_other_through_both_sidecars() -> Result<()> {
    let Some(place) = Place::take()? else { return Ok(()) };
    let kubectl = place.kubectl;
    let listed = kubectl.run(&format!("get pods -n {NAMESPACE} --no-headers"))?.stdout;
    for (app, replicas) in [("client", 1), ("server", 2)] {
        let pods = place.settled(app, NAMESPACE, replicas)?;
        for pod in &pods {
            pod.sidecar()?;
            is_whole(pod, app)?;
            let line = listed.lines().find(|line| line.starts_with(pod.name()));
            let columns: Vec<_> = line.context("not listed")?.split_whitespace().collect();
            assert_eq!(columns[1..3], ["2/2", "Running"], "{listed}");
        }
    }

    let client = place.settled("client", NAMESPACE, 1)?[0].name().to_owned();
    let servers = place.settled("server", NAMESPACE, 2)?;
    let answered = |side: &str, service: &str, pod: &str| {
        let side = format!("side=\"{side}\"");
        let service = format!("service_name=\"{service}\"");
        counted(&place, pod, "mesher_responses_total", &[&side, &service, "code=\"200\""])
    };
    let of_servers = |side: &str, service: &str| -> Result<u64> {
        let counts = servers.iter().map(|pod| answered(side, service, pod.name()));
        counts.sum()
    };
    // client → server → client, and each arrow is two sidecars.
    let counts = || -> Result<[u64; 4]> {
        Ok([
            answered("consumer", "server", &client)?,
            of_servers("provider", "server")?,
            of_servers("consumer", "client")?,
            answered("provider", "client", &client)?,
        ])
    };
    let before = counts()?;
    let answer = place.client("get http://server:8080/@client/hello")?.succeeded()?;
    let answer: Value = serde_json::from_str(&answer.stdout)?;
    let forward = &answer["ParallelForwards"][0]["SequentialForwards"][0];
    ensure!(forward["Status"] == 200, "{answer:#}");
    ensure!(answer["Instance"].as_str().is_some_and(|name| name.starts_with("server-")));
    let after = counts()?;
    for (before, after) in before.iter().zip(after) {
        assert_eq!(after, before + 1);
    }
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
    let provider = ["side=\"provider\"", "service_name=\"plain\"", "code=\"200\""];
    ensure!(counted(&place, pod.name(), "mesher_responses_total", &provider)? > 0);
    place.kubectl.run(&format!("delete deploy,service plain -n {NAMESPACE}"))?;
    Ok(())
}
