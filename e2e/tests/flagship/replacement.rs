//! Pods are replaced while others call them, and injectors while pods are created.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use e2e::installation::NAME;
use e2e::kubectl::eventually;
use e2e::pod::{Pod, asking, items};
use serde_json::{Value, json};

use crate::place::{NAMESPACE, PATIENCE, Place};

/// Requests that have to be answered while three instances are replaced.
const REQUESTS: usize = 10_000;
/// So many of them by one client, of one kind.
const ROUND: usize = 1000;
/// So many of them at a time: each takes the third of a second that `mockserver` waits.
const AT_A_TIME: usize = 32;
/// As much as a proxy keeps to send a request again.
const BODY: usize = 64 * 1024;
/// Pods that are created while the injector is replaced.
const PODS: usize = 200;
/// So many of them at a time.
const BATCH: usize = 5;
/// The shortest there are; they end later, as a busy machine takes its time.
const LIVES: &str = "
  authority: {lifetime: 6m, renewAfter: 10s}
  leaf: {lifetime: 90s, renewAfter: 1s}
  settle: 1s";
/// So many of either have to be seen meanwhile.
const LEAVES: usize = 10;
const AUTHORITIES: usize = 2;

/// The application, `mockserver`, closes its listeners as soon as it is told to end, while others
/// still believe that it is there. It is replaced again and again while the requests last.
#[test]
fn no_request_fails_while_three_replicas_are_replaced() -> Result<()> {
    let Some(place) = Place::take()? else { return Ok(()) };
    place.scale("server", NAMESPACE, 3)?;
    let over = AtomicBool::new(false);
    let replaced = thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let called = call(&place);
            over.store(true, Ordering::Relaxed);
            called
        });
        let replaced = replace_until(&place, &over);
        let called = calls.join().map_err(|_| anyhow::anyhow!("the calls panicked"))?;
        called.and(replaced)
    });
    let replaced = replaced.with_context(|| place.story(NAMESPACE))?;
    println!("{REQUESTS} requests while three replicas were replaced {replaced} times");
    place.scale("server", NAMESPACE, 2)
}

/// Restarts the server as a user does, each time when the last of the old pods is gone. How often.
fn replace_until(place: &Place, over: &AtomicBool) -> Result<usize> {
    let mut replaced = 0;
    while !over.load(Ordering::Relaxed) {
        let before = place.settled("server", NAMESPACE, 3)?;
        place.kubectl.run(&format!("rollout restart deployment/server -n {NAMESPACE}"))?;
        place.rolled_out("server", NAMESPACE)?;
        for pod in place.settled("server", NAMESPACE, 3)? {
            ensure!(before.iter().all(|old| old.name() != pod.name()), "{} is old", pod.name());
        }
        replaced += 1;
    }
    Ok(replaced)
}

/// Makes all the requests without a pause; the error says which of them failed.
fn call(place: &Place) -> Result<()> {
    let body = "x".repeat(BODY);
    for round in 0..REQUESTS / ROUND {
        let (words, input) = if round % 2 == 0 { ("", "") } else { ("-d @-", body.as_str()) };
        let line = format!(
            "exec -i deploy/client -n {NAMESPACE} -- \
             mockserver get -q -n {ROUND} -c {AT_A_TIME} {words} http://server:8080/hello"
        );
        place.kubectl.run_with(&line, input).with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

/// And all the while certificates are replaced: the CA every ten seconds, the leaf every second but
/// for the two or three in which one CA takes the other's place.
#[test]
fn no_pod_is_missed_while_the_injectors_are_replaced() -> Result<()> {
    const PLACE: &str = "gated";
    let Some(place) = Place::take()? else { return Ok(()) };
    let kubectl = place.kubectl;
    place.enabled(PLACE)?;
    let map = format!("configmap {NAME} -n {NAME}");
    let mut configuration = kubectl.get(&map)?;
    let text = configuration["data"]["config.yaml"].as_str().context("no configuration")?;
    let short = text.replacen("mode: self", &format!("mode: self{LIVES}"), 1);
    ensure!(short != text, "{text}");
    configuration["data"]["config.yaml"] = json!(short);
    kubectl.run_with("replace -f -", &configuration.to_string())?;
    restart_injectors(&place)?;
    let first = leaf(&place)?;
    eventually("certificates are short-lived", PATIENCE, || {
        Ok((leaf(&place)? != first).then_some(()))
    })?;

    let replaced = AtomicBool::new(false);
    let created = thread::scope(|scope| {
        let creation = scope.spawn(|| create_until(&place, PLACE, &replaced));
        let restarted = restart_injectors(&place);
        replaced.store(true, Ordering::Relaxed);
        let created = creation.join().map_err(|_| anyhow::anyhow!("the creation panicked"))?;
        restarted.and(created)
    });
    let created = created.with_context(|| place.story(NAME))?;
    let list = kubectl.get(&format!("pods -n {PLACE}"))?;
    let pods: Vec<_> = items(&list["items"]).iter().cloned().map(Pod).collect();
    assert_eq!(pods.len(), created);
    let without = pods.iter().filter(|pod| pod.sidecar().is_err()).map(Pod::name);
    assert_eq!(without.collect::<Vec<_>>(), Vec::<&str>::new(), "of {created}");

    kubectl.run(&format!("delete namespace {PLACE} --wait=false"))?;
    place.apply("manifests/overlays/ha")?;
    restart_injectors(&place)?;
    place.wait_until_seen(NAMESPACE)
}

/// One pod goes after the other, each when its successor is ready.
fn restart_injectors(place: &Place) -> Result<()> {
    place.kubectl.run(&format!("rollout restart deployment/{NAME} -n {NAME}"))?;
    place.rolled_out(NAME, NAME)?;
    place.settled(NAME, NAME, 2).map(|_| ())
}

/// Creates pods until there were enough and everything is replaced. They are held back from the
/// node, which would have no room for so many: what is asked is what they are made of.
fn create_until(place: &Place, namespace: &str, replaced: &AtomicBool) -> Result<usize> {
    let (mut leaves, mut authorities) = (HashSet::new(), HashSet::new());
    let mut created = 0;
    let end = Instant::now() + PATIENCE;
    while created < PODS
        || !replaced.load(Ordering::Relaxed)
        || leaves.len() < LEAVES
        || authorities.len() < AUTHORITIES
    {
        let counts = (created, leaves.len(), authorities.len());
        ensure!(Instant::now() < end, "pods, leaves and CAs: {counts:?} in {PATIENCE:?}");
        let pods: Vec<Value> = (created..created + BATCH)
            .map(|number| {
                let mut pod = asking(&format!("app-{number}"));
                pod["spec"]["schedulingGates"] = json!([{"name": "tests.mesher.io/held"}]);
                pod
            })
            .collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": pods});
        place.kubectl.run_with(&format!("create -n {namespace} -f -"), &list.to_string())?;
        created += BATCH;
        // This also spreads them over all of the restart, which takes some twenty seconds.
        leaves.insert(leaf(place)?);
        authorities.insert(authority(place)?);
    }
    println!("{created} pods, {} leaves, {} CAs", leaves.len(), authorities.len());
    Ok(created)
}

/// What the injectors serve.
fn leaf(place: &Place) -> Result<Value> {
    stored(place, "tls.crt")
}

/// The key of the CA that signs it.
fn authority(place: &Place) -> Result<Value> {
    stored(place, "ca.key")
}

fn stored(place: &Place, file: &str) -> Result<Value> {
    let secret = place.kubectl.get(&format!("secret sidecar-injector-certificates -n {NAME}"))?;
    Ok(secret["data"][file].clone())
}
