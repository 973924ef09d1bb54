//! What governs requests: rules and weights, limits, breakers that open and close, ejections.

use std::fs;

use anyhow::Result;
use e2e::mesh::{Load, Mesh, loopback};

use crate::View;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_weights_and_limits_are_shown_and_follow_the_files() -> Result<()> {
    let mesh = Mesh::start()?;
    let _orders = mesh.serve("orders", &[("one", "1.0.0"), ("two", "2.0.0")]).await?;
    let rules = |one: u32| {
        format!(
            "routeRule:\n  orders:\n    - precedence: 2\n      match: {{httpHeaders: {{x-user: {{exact: '<b>'}}}}}}\n      route: [{{tags: {{version: 2.0.0}}}}]\n    - precedence: 1\n      route: [{{tags: {{version: 1.0.0}}, weight: {one}}}, {{tags: {{version: 2.0.0}}, weight: {}}}]\n",
            100 - one
        )
    };
    let limits = "cse: {flowcontrol: {Consumer: {qps: {limit: {orders: 5000}}}}}\n";
    let bounds = "cse: {isolation: {Consumer: {orders: {maxConcurrentRequests: 50}}}}\n";
    let caller = mesh
        .sidecar("caller")
        .file("router.yaml", &rules(80))
        .file("rate_limiting.yaml", limits)
        .file("circuit_breaker.yaml", bounds)
        .start()?;
    let Some(view) = View::open(&mesh, &caller).await? else { return Ok(()) };
    let load = Load::start(caller.consumer, "http://orders/hello", 2);
    view.row("default/orders", "Instances", "2 of 2").await?;
    view.toggle("default/orders").await?;
    for words in [
        "rule 1: rest → 1 of 1 of version:2.0.0, 100 %",
        "rule 2: rest → 1 of 1 of version:1.0.0, 80 %",
        "rule 2: rest → 1 of 1 of version:2.0.0, 20 %",
        "5,000 a second",
        "of 50 at once",
    ] {
        view.browser.shows(".detail", words).await?;
    }
    view.picture("rules").await?;
    // Live: the file is written anew.
    let folder = mesh.guard().folder().join("conf-caller");
    fs::write(folder.join("router.yaml"), rules(30))?;
    view.browser.shows(".detail", "rule 2: rest → 1 of 1 of version:1.0.0, 30 %").await?;
    fs::write(folder.join("rate_limiting.yaml"), limits.replace("5000", "4000"))?;
    view.browser.shows(".detail", "4,000 a second").await?;
    // What was written is to be read among the configuration, as text.
    view.browser.click("#tab-config").await?;
    view.browser.shows("#values", "<b>").await?;
    view.is_clean().await?;
    assert_eq!(load.finish().await.failures, [""; 0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breakers_of_instances_open_and_close_and_ejections_are_seen() -> Result<()> {
    let mesh = Mesh::start()?;
    let (good, bad) = (mesh.mockserver("good", &[])?, mesh.mockserver("bad", &["-failRate", "1"])?);
    for service in ["orders", "stock"] {
        for port in [good.port, bad.port] {
            mesh.registry.register(service, loopback(port)).await?;
        }
    }
    let breaker = |sleep: u32| {
        format!(
            "cse:\n  circuitBreaker:\n    scope: instance\n    Consumer: {{orders: {{enabled: true, requestVolumeThreshold: 3, sleepWindowInMilliseconds: {sleep}}}}}\n"
        )
    };
    let outliers =
        "cse: {loadbalance: {stock: {outlier: {consecutiveErrors: 3, ejectionSeconds: 3600}}}}\n";
    let status = e2e::mesh::Client::once(loopback(bad.port), "GET", "/", "").await?.status;
    let caller = mesh
        .sidecar("caller")
        .file("circuit_breaker.yaml", &breaker(3_600_000))
        .file("load_balancing.yaml", outliers)
        .file(
            "chassis.yaml",
            &format!("cse: {{transport: {{failure: {{rest: http_{status}}}}}}}\n"),
        )
        .start()?;
    let Some(view) = View::open(&mesh, &caller).await? else { return Ok(()) };
    caller.get("http://orders/").await?;
    view.row("default/orders", "Breaker", "closed").await?;
    for _ in 0..12 {
        caller.get("http://orders/").await?;
        caller.get("http://stock/").await?;
    }
    view.row("default/orders", "Breaker", "1 open").await?;
    view.row("default/stock", "Instances", "1 evicted").await?;
    view.browser.shows("#only", "Trouble 2").await?;
    view.toggle("default/orders").await?;
    view.browser.shows(".detail", "1 of the instances' open").await?;
    view.picture("breakers").await?;
    view.toggle("default/orders").await?;
    view.toggle("default/stock").await?;
    view.browser.shows(".detail", "evicted,").await?;
    view.is_clean().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circuit_closes_before_ones_eyes() -> Result<()> {
    let mesh = Mesh::start()?;
    // Fails as long as the folder has no such file.
    let well = mesh.guard().folder().join("well");
    let looks = well.clone();
    let orders = e2e::mesh::Upstream::start(move |mut peer, _| {
        let looks = looks.clone();
        async move {
            loop {
                peer.head().await?;
                let status = if looks.exists() { "200 OK" } else { "500 No" };
                peer.send(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")).await?;
            }
        }
    })
    .await?;
    mesh.registry.register("orders", orders.address).await?;
    let breaker = "cse: {circuitBreaker: {Consumer: {enabled: true, requestVolumeThreshold: 3, sleepWindowInMilliseconds: 1500}}}\n";
    let caller = mesh
        .sidecar("caller")
        .file("circuit_breaker.yaml", breaker)
        .file("chassis.yaml", "cse: {transport: {failure: {rest: http_500}}}\n")
        .start()?;
    let Some(view) = View::open(&mesh, &caller).await? else { return Ok(()) };
    for _ in 0..3 {
        caller.get("http://orders/").await?;
    }
    view.row("default/orders", "Breaker", "open").await?;
    view.browser.shows("#tiles", "1 open").await?;
    // Its sleep is over, and nobody has asked.
    view.row("default/orders", "Breaker", "half open").await?;
    fs::write(&well, "")?;
    assert_eq!(caller.get("http://orders/").await?.status, 200);
    view.row("default/orders", "Breaker", "closed").await?;
    view.is_clean().await
}
