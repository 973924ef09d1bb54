//! Istio in service-center's place: what `docs/istio.md` says to type, and what comes of it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, ensure};
use e2e::kubectl::eventually;
use e2e::walkthrough::Walkthrough;
use serde_json::{Deserializer, Value};

use crate::calls::{answered, are_whole, walk};
use crate::place::{PATIENCE, Place};

const PAGE: &str = "docs/istio.md";
/// Where the page has its pods.
const NAMESPACE: &str = "bookshop";
/// Requests by which the shares of three versions are known.
const REQUESTS: u32 = 1000;

#[test]
fn the_page_on_istio_leads_where_it_says() -> Result<()> {
    let Some(place) = Place::take()? else { return Ok(()) };
    let node = e2e::node::shared(&[])?.map_err(|reason| anyhow!("{reason}"))?;
    node.start_istiod(&testbed::image("istiod")?)?;
    let page = Walkthrough::open(place.kubectl.0, PAGE)?;
    let mut sections = page.sections().into_iter();
    let mut next = |wanted: &str| -> Result<()> {
        let section = sections.next();
        ensure!(section == Some(wanted), "the page has {section:?} before {wanted:?}");
        page.run(wanted).with_context(|| place.story(NAMESPACE))
    };

    next("A namespace")?;
    place.wait_until_seen(NAMESPACE)?;
    next("Pods that ask for it")?;
    are_whole(&place, NAMESPACE)?;
    // Until a sidecar knows of the other one, it calls the application itself.
    walked(&place)?;
    next("A call")?;
    calls_itself(&place)?;
    another_server_is_called(&place)?;

    next("By TLS")?;
    are_whole(&place, NAMESPACE)?;
    connected_by_tls(&place)?;
    walked(&place)?;

    next("Rules")?;
    rules_decide(&place)?;
    ensure!(sections.next().is_none(), "the page has more than is run");
    place.kubectl.run(&format!("delete namespace {NAMESPACE} --wait=false"))?;
    place.kubectl.run("delete namespace istio-system --wait=false")?;
    Ok(())
}

/// Waits until a call walks through both sidecars on each of its ways.
fn walked(place: &Place) -> Result<()> {
    eventually("a call through all sidecars", PATIENCE, || walk(place, NAMESPACE).map(Some))
        .with_context(|| place.story(NAMESPACE))
}

fn calls_itself(place: &Place) -> Result<()> {
    let line = "get -q -n 8 -c 8 http://server:8080/";
    place.mockserver_in("deploy/server", NAMESPACE, line)?.succeeded()?;
    Ok(())
}

/// One server more: it is called, and through its sidecar.
fn another_server_is_called(place: &Place) -> Result<()> {
    place.scale("server", NAMESPACE, 3)?;
    let servers = place.settled("server", NAMESPACE, 3)?;
    eventually("all three servers are called", PATIENCE, || {
        let line = "get -q -n 12 -c 12 http://server:8080/";
        place.mockserver_in("deploy/client", NAMESPACE, line)?.succeeded()?;
        for pod in &servers {
            let count = answered(place, NAMESPACE, pod.name(), "provider", "server")?;
            ensure!(count > 0, "{} has not been called yet", pod.name());
        }
        Ok(Some(()))
    })?;
    // Two of them again; whatever is next waits for that.
    place.kubectl.run(&format!("scale deployment/server -n {NAMESPACE} --replicas=2"))?;
    Ok(())
}

/// The client's sidecar has a stream to the port that speaks TLS, and shows its token there.
fn connected_by_tls(place: &Place) -> Result<()> {
    let line = "get --no-proxy http://127.0.0.1:30102/v1/mesher/discovery";
    eventually("a stream by TLS", PATIENCE, || {
        let told = place.mockserver_in("deploy/client", NAMESPACE, line)?.succeeded()?.json()?;
        let address = told["addresses"][0].as_str();
        ensure!(address == Some("istiod.istio-system.svc:15012"), "{told:#}");
        ensure!(told["state"] == "connected" && told["backend"] == "pilot", "{told:#}");
        Ok(Some(()))
    })
}

/// Jason is answered by v2 only; everybody else by all three, as the weights say.
fn rules_decide(place: &Place) -> Result<()> {
    // Port 80 of the service is 8080 of its pods, and of the proxies beside them 30101.
    eventually("the rules are in force", PATIENCE, || {
        let jason = shares(place, "-n 12 -c 12 -H end-user:jason")?;
        ensure!(jason.keys().eq(["v2"]), "{jason:?}");
        // The proxies beside the three are known.
        for version in ["v1", "v2", "v3"] {
            shares(place, "-n 12 -c 12")?;
            let pod = format!("deploy/reviews-{version}");
            ensure!(answered(place, NAMESPACE, &pod, "provider", "reviews")? > 0, "{version}");
        }
        Ok(Some(()))
    })?;
    let shares = shares(place, &format!("-n {REQUESTS} -c 64"))?;
    for (version, expected) in [("v1", 250), ("v2", 250), ("v3", 500_u32)] {
        // Six standard deviations of a draw by chance.
        let taken = shares.get(version).copied().unwrap_or_default();
        ensure!(taken.abs_diff(expected) <= 95, "{version}: {taken} of {REQUESTS}: {shares:?}");
    }
    Ok(())
}

/// How many requests of the client each version of the reviews answers.
fn shares(place: &Place, options: &str) -> Result<BTreeMap<String, u32>> {
    let line = format!("get {options} http://reviews/");
    let answers = place.mockserver_in("deploy/client", NAMESPACE, &line)?.succeeded()?.stdout;
    let mut shares = BTreeMap::new();
    for answer in Deserializer::from_str(&answers).into_iter::<Value>() {
        let answer = answer?;
        let instance = answer["Instance"].as_str().context("no instance")?;
        // reviews-v1-…
        let version = instance.split('-').nth(1).context("no version")?;
        *shares.entry(version.to_owned()).or_default() += 1;
    }
    Ok(shares)
}
