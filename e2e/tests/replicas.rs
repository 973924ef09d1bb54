//! Several replicas behind one address: one writes, all serve, and it does not matter who goes.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use certs::{Bundle, Certificate};
use e2e::injector::trusting;
use e2e::installation::{NAME, PATIENCE, enabled_namespace};
use e2e::kubectl::{Kubectl, eventually};
use e2e::load::{Load, Outcome};
use e2e::replicas::{Replica, Replicas};
use e2e::wire::Http1;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use testbed::{Cluster, ClusterOptions};

/// A CA for some ten seconds; what is renewed early outlives that by long, as a loaded machine may
/// be late.
const SHORT_LIVES: &str = "tls:
  authority: {lifetime: 4m, renewAfter: 10s}
  leaf: {lifetime: 1m, renewAfter: 5s}
  settle: 3s
";

fn configuration(tls: &str, lease: &str) -> String {
    format!("{tls}kubernetes: {{lease: {lease}}}\nlog: {{format: json}}\ndrain: {{delay: 2s}}\n")
}

fn cluster() -> Result<Cluster> {
    Cluster::start(ClusterOptions { controller_manager: true })
}

fn time(lease: &Value, key: &str) -> Result<Timestamp> {
    let text = lease["spec"][key].as_str().with_context(|| format!("no {key} in {lease}"))?;
    Ok(text.parse()?)
}

/// The CA that signs now.
fn authority(cluster: &Cluster) -> Result<Certificate> {
    let secret =
        Kubectl(cluster).get(&format!("secret sidecar-injector-certificates -n {NAME}"))?;
    let encoded = secret["data"]["ca.crt"].as_str().context("no ca.crt")?;
    let bundle = Bundle::from_pem(&BASE64_STANDARD.decode(encoded)?, "ca.crt")?;
    Ok(bundle.certificates()[0].clone())
}

/// Connects as an API server does that has just read the configuration. It keeps its connections,
/// and would meet few of the certificates.
fn connect(cluster: &Cluster, replicas: &Replicas<'_>) -> Result<()> {
    let configuration = Kubectl(cluster).get(&format!("mutatingwebhookconfiguration {NAME}"))?;
    let encoded = configuration["webhooks"][0]["clientConfig"]["caBundle"].as_str();
    let bundle = BASE64_STANDARD.decode(encoded.context("caBundle is empty")?)?;
    let tls = trusting(&bundle)?;
    for _ in replicas.living() {
        Http1::connect(replicas.address(), &tls)?;
    }
    Ok(())
}

/// Waits until all that live serve one certificate, another than `before`.
fn same_certificate(replicas: &Replicas<'_>, before: Option<&str>) -> Result<String> {
    eventually("all serve one certificate", PATIENCE, || {
        let serials: Result<BTreeSet<_>> = replicas.living().iter().map(Replica::serial).collect();
        let mut serials = serials?;
        let first = serials.pop_first().filter(|_| serials.is_empty());
        Ok(first.filter(|serial| Some(serial.as_str()) != before))
    })
    .with_context(|| replicas.logs())
}

#[test]
fn a_killed_leader_is_replaced_once_its_lease_has_run_out() -> Result<()> {
    let cluster = cluster()?;
    let lease = "{duration: 4s, renew: 3s, retry: 500ms}";
    let mut replicas = Replicas::start(&cluster, 3, &configuration(SHORT_LIVES, lease))?;
    let first = replicas.leader()?;
    assert_eq!(replicas.holder()?.as_ref(), Some(&first), "the Lease names a pod");
    for replica in replicas.living() {
        let leads = replica.metric("sidecar_injector_leader")?;
        assert_eq!(leads, u64::from(replica.name() == first), "{}", replica.name());
    }
    same_certificate(&replicas, None)?;

    replicas.kill(&first)?;
    let last = time(&replicas.lease()?, "renewTime")?;
    let second = replicas.leader()?;
    assert_ne!(second, first);
    let lease = replicas.lease()?;
    let waited = Duration::try_from(time(&lease, "acquireTime")?.duration_since(last))?;
    ensure!(waited >= Duration::from_secs(4), "it was taken {waited:?} after it was renewed");
    assert_eq!(lease["spec"]["leaseTransitions"], 1);

    // Everything goes on: leaves, and CAs.
    let serial = same_certificate(&replicas, None)?;
    same_certificate(&replicas, Some(&serial))?;
    let before = authority(&cluster)?;
    eventually(
        "another CA signs",
        PATIENCE,
        || Ok((authority(&cluster)? != before).then_some(())),
    )?;
    same_certificate(&replicas, None)?;

    // One that comes back serves what the leader has written, and does not claim its old place.
    replicas.spawn()?;
    replicas.wait_until_ready()?;
    assert_eq!(replicas.leader()?, second);
    same_certificate(&replicas, None)?;
    Ok(())
}

/// Nobody could wait for this Lease to run out.
#[test]
fn a_leader_that_ends_leaves_its_place_at_once() -> Result<()> {
    let cluster = cluster()?;
    let lease = "{duration: 1h, renew: 50m, retry: 1s}";
    let mut replicas = Replicas::start(&cluster, 2, &configuration("", lease))?;
    let first = replicas.leader()?;
    let serial = same_certificate(&replicas, None)?;

    let leaving = replicas.terminate(&first)?;
    let second = replicas.leader()?;
    assert_ne!(second, first);
    ensure!(leaving.server().wait_for_exit(PATIENCE)?.success(), "{}", leaving.log());
    assert_eq!(same_certificate(&replicas, None)?, serial, "nothing was written");

    // The place it left is one in which to write.
    Kubectl(&cluster).run(&format!("delete secret sidecar-injector-certificates -n {NAME}"))?;
    eventually("the Secret is back", PATIENCE, || Ok(authority(&cluster).ok()))?;
    assert_eq!(same_certificate(&replicas, None)?, serial);

    // So does the last one, for whoever comes next.
    let leaving = replicas.terminate(&second)?;
    ensure!(leaving.server().wait_for_exit(PATIENCE)?.success(), "{}", leaving.log());
    assert_eq!(replicas.holder()?, None);
    replicas.spawn()?;
    replicas.leader()?;
    Ok(())
}

/// A follower has nothing to serve before a leader has written, and says whom it waits for.
#[test]
fn a_follower_without_a_certificate_is_not_ready_and_says_why() -> Result<()> {
    let cluster = cluster()?;
    let lease = "{duration: 1h, renew: 50m, retry: 1s}";
    let mut replicas = Replicas::start(&cluster, 1, &configuration("", lease))?;
    let first = replicas.leader()?;
    // It holds the Lease for an hour, and will write nothing.
    replicas.kill(&first)?;
    Kubectl(&cluster).run(&format!("delete secret sidecar-injector-certificates -n {NAME}"))?;
    replicas.spawn()?;
    let waiting = &replicas.living()[0];
    let expected = format!("the replica that leads is to write it; {first} leads");
    eventually("it says why it is not ready", PATIENCE, || {
        let status = waiting.status()?;
        let parts = status["parts"].as_array().context("no parts")?;
        let part = parts.iter().find(|part| part["name"] == "certificate");
        let problem = part.and_then(|part| part["problem"].as_str()).context("no problem")?;
        ensure!(problem.contains(&expected), "{problem}");
        Ok(Some(()))
    })?;
    // Somebody takes the dead one's place from it.
    Kubectl(&cluster).run(&format!("delete lease {NAME} -n {NAME}"))?;
    replicas.wait_until_ready()?;
    assert_eq!(replicas.leader()?, replicas.living()[0].name());
    Ok(())
}

#[test]
fn a_ca_is_rotated_every_few_seconds_and_no_pod_misses_its_sidecar() -> Result<()> {
    let cluster = cluster()?;
    let namespace = enabled_namespace(&cluster, "rotated")?;
    let replicas = Replicas::start(&cluster, 2, &configuration(SHORT_LIVES, "{}"))?;
    let failures =
        || -> Result<u64> { replicas.living().iter().map(Replica::failed_handshakes).sum() };
    let before = failures()?;
    let load = Load::start(&cluster, &namespace, 10, 2000)?;
    let mut authorities = vec![authority(&cluster)?];
    eventually("three CAs had their turn", 3 * PATIENCE, || {
        connect(&cluster, &replicas).expect("a handshake at any time");
        let now = authority(&cluster)?;
        if authorities.last() != Some(&now) {
            authorities.push(now);
        }
        Ok((authorities.len() > 3).then_some(()))
    })
    .with_context(|| replicas.logs())?;
    let made = load.finish()?;
    ensure!(made.len() > 50, "{} pods", made.len());
    for pod in made {
        assert_eq!(pod.outcome, Outcome::Created(1), "{}\n{}", pod.name, replicas.logs());
    }
    assert_eq!(failures()?, before, "handshakes failed\n{}", replicas.logs());
    Ok(())
}

/// A CA settles from when clients were told of it, not from when it was made.
#[test]
fn a_ca_that_nobody_was_told_of_signs_nothing_that_is_served() -> Result<()> {
    let cluster = cluster()?;
    let replicas = Replicas::start(&cluster, 2, &configuration(SHORT_LIVES, "{}"))?;
    // Nobody may write caBundle any more.
    Kubectl(&cluster).run(&format!("delete clusterrolebinding {NAME}"))?;
    let before = authority(&cluster)?;
    eventually("there is a new CA", PATIENCE, || {
        Ok((authority(&cluster)? != before).then_some(()))
    })?;
    // By the clock of the Lease, which is renewed all the time, more than two settling times pass.
    let start = time(&replicas.lease()?, "renewTime")?;
    eventually("time passes", PATIENCE, || {
        connect(&cluster, &replicas).expect("a handshake at any time");
        let passed =
            Duration::try_from(time(&replicas.lease()?, "renewTime")?.duration_since(start))?;
        Ok((passed > Duration::from_secs(8)).then_some(()))
    })?;
    let serial = same_certificate(&replicas, None)?;

    let apply = format!("apply -k {}", replicas.kustomization().display());
    Kubectl(&cluster).run(&apply)?;
    same_certificate(&replicas, Some(&serial))?;
    connect(&cluster, &replicas)
}
