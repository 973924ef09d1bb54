//! Services that fail, and more than can be done: breakers of instances, fallbacks, overload, through
//! real proxies.

use std::sync::Arc;

use anyhow::Result;
use e2e::mesh::{Client, Mesh, Raw, Sidecar, Upstream, eventually, loopback};
use tokio::sync::Semaphore;

async fn metrics(sidecar: &Sidecar) -> Result<String> {
    Ok(Client::once(sidecar.admin, "GET", "/metrics", "").await?.text())
}

/// A service that answers a request for each permit.
async fn gated() -> Result<(Upstream, Arc<Semaphore>)> {
    let gate = Arc::new(Semaphore::new(0));
    let opens = Arc::clone(&gate);
    let orders = Upstream::start(move |mut peer, _| {
        let opens = Arc::clone(&opens);
        async move {
            loop {
                peer.head().await?;
                opens.acquire().await?.forget();
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await?;
            }
        }
    })
    .await?;
    Ok((orders, gate))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_with_an_open_breaker_is_left_alone_and_a_fallback_answers_for_all()
-> Result<()> {
    let mesh = Mesh::start()?;
    let good = mesh.mockserver("good", &[])?;
    let bad = mesh.mockserver("bad", &["-failRate", "1"])?;
    for port in [good.port, bad.port] {
        mesh.registry.register("orders", loopback(port)).await?;
    }
    mesh.registry.register("broken", loopback(bad.port)).await?;
    let status = Client::once(loopback(bad.port), "GET", "/", "").await?.status;
    let breaker = "cse:\n  circuitBreaker:\n    scope: instance\n    Consumer: {enabled: true, requestVolumeThreshold: 4, sleepWindowInMilliseconds: 3600000}\n  fallbackpolicy: {Consumer: {broken: {policy: returnnull}}}\n";
    let chassis = format!("cse: {{transport: {{failure: {{rest: http_{status}}}}}}}\n");
    let caller = mesh
        .sidecar("caller")
        .file("circuit_breaker.yaml", breaker)
        .file("chassis.yaml", &chassis)
        .start()?;
    let mut client = Client::new(caller.consumer);
    let mut failed = 0;
    for _ in 0..40 {
        failed += u32::from(client.get("http://orders/", &[]).await?.status != 200);
    }
    assert_eq!(failed, 4, "then its breaker opens, and the other goes on");
    let shown = Client::once(caller.admin, "GET", "/v1/mesher/services/default/orders", "").await?;
    let shown = shown.json()?;
    assert_eq!(shown["breaker"]["openInstances"], 1, "{shown}");
    assert!(metrics(&caller).await?.contains("mesher_instance_breaker_open"));

    // The same instance as another service is another circuit; there, all that is left is a fallback.
    eventually("a fallback", async || {
        let reply = client.get("http://broken/", &[]).await?;
        let fell_back =
            reply.status == 200 && reply.header("x-mesher-error") == Some("circuit_open");
        assert!(fell_back || reply.status == status, "{}", reply.text());
        assert!(!fell_back || reply.text().is_empty(), "{}", reply.text());
        Ok(if fell_back { Ok(()) } else { Err(reply.text()) })
    })
    .await?;
    assert!(metrics(&caller).await?.contains("mesher_fallbacks_total{service_name=\"broken\""));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_may_be_under_way_waits_or_is_refused_at_once() -> Result<()> {
    let mesh = Mesh::start()?;
    let (orders, gate) = gated().await?;
    mesh.registry.register("orders", orders.address).await?;
    let limits = "mesher: {limits: {inFlight: 1, queue: 1, queueTimeout: 10m}}\n";
    let caller = mesh.sidecar("caller").file("mesher.yaml", limits).start()?;
    let request = "GET http://orders/ HTTP/1.1\r\nhost: orders\r\n\r\n";
    let mut waiting = Vec::new();
    for line in [
        "mesher_requests_waiting{side=\"consumer\"} 0",
        "mesher_requests_waiting{side=\"consumer\"} 1",
    ] {
        let mut client = Raw::connect(caller.consumer).await?;
        client.send(request).await?;
        waiting.push(client);
        eventually(line, async || {
            let text = metrics(&caller).await?;
            let there = orders.accepted() == 1 && text.lines().any(|said| said == line);
            Ok(if there { Ok(()) } else { Err(text) })
        })
        .await?;
    }
    let refused = caller.get("http://orders/").await?;
    assert_eq!((refused.status, refused.header("x-mesher-error")), (503, Some("overload")));
    assert_eq!(refused.header("retry-after"), Some("1"));
    gate.add_permits(2);
    for mut client in waiting {
        let reply = client.reply("GET").await?;
        assert_eq!((reply.status, reply.text().as_str()), (200, "done"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_service_that_is_full_takes_no_room_from_others() -> Result<()> {
    let mesh = Mesh::start()?;
    let (orders, gate) = gated().await?;
    let stock = mesh.mockserver("stock", &[])?;
    mesh.registry.register("orders", orders.address).await?;
    mesh.registry.register("stock", loopback(stock.port)).await?;
    let bound = "cse: {isolation: {Consumer: {orders: {maxConcurrentRequests: 1}}}}\n";
    let caller = mesh
        .sidecar("caller")
        .file("circuit_breaker.yaml", bound)
        .file("mesher.yaml", "mesher: {limits: {queue: 0}}\n")
        .start()?;
    let mut first = Raw::connect(caller.consumer).await?;
    first.send("GET http://orders/ HTTP/1.1\r\nhost: orders\r\n\r\n").await?;
    eventually("under way", async || {
        Ok(if orders.accepted() == 1 { Ok(()) } else { Err("it is not".to_owned()) })
    })
    .await?;
    let refused = caller.get("http://orders/").await?;
    assert_eq!((refused.status, refused.header("x-mesher-error")), (503, Some("overload")));
    assert_eq!(caller.get("http://stock/").await?.status, 200);
    gate.add_permits(2);
    assert_eq!(first.reply("GET").await?.status, 200);
    assert_eq!(caller.get("http://orders/").await?.status, 200, "there is room again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_succeeds_less_often_than_the_others_is_left_out() -> Result<()> {
    let mesh = Mesh::start()?;
    let mut applications = Vec::new();
    for name in ["one", "two", "three", "four", "five"] {
        // One of two, and never so many in a row that that would tell.
        let arguments: &[&str] = if name == "three" { &["-failRate", "0.5"] } else { &[] };
        let application = mesh.mockserver(name, arguments)?;
        mesh.registry.register("orders", loopback(application.port)).await?;
        applications.push(application);
    }
    let terms = "cse: {loadbalance: {outlier: {successRateDeviation: 1500, successRateVolume: 10, ejectionSeconds: 3600, maxEjectionPercent: 20}}}\n";
    let caller = mesh.sidecar("caller").file("load_balancing.yaml", terms).start()?;
    let mut client = Client::new(caller.consumer);
    // Ten seconds of requests have to be over.
    eventually("left out", async || {
        for _ in 0..200 {
            client.get("http://orders/", &[]).await?;
        }
        let text = metrics(&caller).await?;
        let out = text.contains("mesher_evictions_total{reason=\"success_rate\"} 1");
        Ok(if out { Ok(()) } else { Err(text) })
    })
    .await?;
    for _ in 0..40 {
        assert_eq!(client.get("http://orders/", &[]).await?.status, 200, "the others never fail");
    }
    Ok(())
}
