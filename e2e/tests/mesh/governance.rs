//! Requests on terms: balancing, limits, faults, retries and breakers, by the files of the original
//! and through real proxies.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Result;
use e2e::mesh::{Application, Client, Mesh, Sidecar, eventually, loopback};
use e2e::wire::Reply;

fn instance(reply: &Reply) -> Result<String> {
    Ok(reply.json()?["Instance"].as_str().unwrap_or_default().to_owned())
}

async fn metrics(sidecar: &Sidecar) -> Result<String> {
    Ok(Client::once(sidecar.admin, "GET", "/metrics", "").await?.text())
}

/// `orders` on three instances, without proxies of their own.
async fn orders(mesh: &Mesh) -> Result<Vec<Application>> {
    let mut applications = Vec::new();
    for name in ["one", "two", "three"] {
        let application = mesh.mockserver(name, &[])?;
        mesh.registry.register("orders", loopback(application.port)).await?;
        applications.push(application);
    }
    Ok(applications)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_stays_with_its_instance() -> Result<()> {
    let mesh = Mesh::start()?;
    let _orders = orders(&mesh).await?;
    let rules = "cse: {loadbalance: {orders: {strategy: {name: SessionStickiness}}}}\n";
    let caller = mesh.sidecar("caller").file("load_balancing.yaml", rules).start()?;
    let mut client = Client::new(caller.consumer);
    let first = client.get("http://orders/", &[]).await?;
    let cookie = first.header("set-cookie").unwrap_or_default().to_owned();
    assert!(cookie.starts_with("go-chassisLB="), "{cookie}");
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    let (mut stays, mut goes) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..12 {
        stays.insert(instance(&client.get("http://orders/", &[("cookie", &cookie)]).await?)?);
        goes.insert(instance(&client.get("http://orders/", &[]).await?)?);
    }
    assert_eq!(stays, BTreeSet::from([instance(&first)?]));
    assert_eq!(goes.len(), 3, "{goes:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_that_fails_is_left_out() -> Result<()> {
    let mesh = Mesh::start()?;
    let _orders = orders(&mesh).await?;
    let bad = mesh.mockserver("bad", &["-failRate", "1"])?;
    mesh.registry.register("orders", loopback(bad.port)).await?;
    let rules = "cse: {loadbalance: {outlier: {consecutiveErrors: 2, ejectionSeconds: 3600}}}\n";
    let caller = mesh.sidecar("caller").file("load_balancing.yaml", rules).start()?;
    let mut client = Client::new(caller.consumer);
    let mut failed = 0;
    // Until it is out, and then as often again.
    for _ in 0..40 {
        failed += u32::from(client.get("http://orders/", &[]).await?.status >= 500);
    }
    assert_eq!(failed, 2, "two in a row, and no more");
    let text = metrics(&caller).await?;
    assert!(text.contains("mesher_evictions_total{reason=\"outlier\"} 1"), "{text}");
    let services = Client::once(caller.admin, "GET", "/v1/mesher/services", "").await?.json()?;
    assert_eq!(services["services"][0]["trouble"], "evicted", "{services}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_have_limits_on_either_side() -> Result<()> {
    let mesh = Mesh::start()?;
    let application = mesh.mockserver("orders", &[])?;
    let provider = "cse: {flowcontrol: {Provider: {qps: {limit: {front: 0}}}}}\n";
    let orders = mesh.sidecar("orders").serving("orders", application.port);
    let orders = orders.file("rate_limiting.yaml", provider).start()?;
    mesh.registry.wait_for("orders", &["UP"]).await?;
    let front = mesh.sidecar("front").variable("SERVICE_NAME", "front").start()?;
    let back = mesh.sidecar("back").variable("SERVICE_NAME", "back").start()?;
    let refused = front.get("http://orders/").await?;
    assert_eq!((refused.status, refused.text().as_str()), (429, "too many requests"));
    assert_eq!(refused.header("x-mesher-error"), Some("rate_limited"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(back.get("http://orders/").await?.status, 200, "it has no limit");
    assert!(metrics(&orders).await?.contains("side=\"provider\",reason=\"rate_limited\"} 1"));

    // And on the consumer side, where it is taken over while it runs.
    let consumer = "cse: {flowcontrol: {Consumer: {qps: {limit: {orders: 0}}}}}\n";
    let late = mesh.sidecar("late").file("rate_limiting.yaml", "{}\n").start()?;
    assert_eq!(late.get("http://orders/").await?.status, 200);
    fs::write(mesh.guard().folder().join("conf-late/rate_limiting.yaml"), consumer)?;
    eventually("refused", async || {
        let reply = late.get("http://orders/").await?;
        Ok(if reply.status == 429 { Ok(()) } else { Err(reply.text()) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_come_and_go_with_the_file() -> Result<()> {
    let mesh = Mesh::start()?;
    let application = mesh.mockserver("orders", &[])?;
    mesh.registry.register("orders", loopback(application.port)).await?;
    let fault = |percent| {
        format!(
            "cse.governance.Consumer.orders.policy.fault.protocols.rest.abort: {{percent: {percent}, httpStatus: 421}}\n"
        )
    };
    let caller = mesh.sidecar("caller").file("fault.yaml", &fault(100)).start()?;
    let injected = caller.get("http://orders/").await?;
    assert_eq!((injected.status, injected.text().as_str()), (421, "injecting abort"));
    assert_eq!(injected.header("x-mesher-error"), Some("fault_injected"));
    fs::write(mesh.guard().folder().join("conf-caller/fault.yaml"), fault(0))?;
    eventually("no fault any more", async || {
        let reply = caller.get("http://orders/").await?;
        Ok(if reply.status == 200 { Ok(()) } else { Err(reply.text()) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_tried_elsewhere_and_open_the_breaker_where_they_are_not() -> Result<()> {
    let mesh = Mesh::start()?;
    let _orders = orders(&mesh).await?;
    let bad = mesh.mockserver("bad", &["-failRate", "1"])?;
    mesh.registry.register("orders", loopback(bad.port)).await?;
    mesh.registry.register("bad", loopback(bad.port)).await?;
    let status = Client::once(loopback(bad.port), "GET", "/", "").await?.status;
    let balancing = "cse: {loadbalance: {orders: {retryEnabled: true, retryOnNext: 2}}}\n";
    let chassis = format!("cse: {{transport: {{failure: {{rest: http_{status}}}}}}}\n");
    let breaker =
        "cse: {circuitBreaker: {Consumer: {bad: {enabled: true, requestVolumeThreshold: 3}}}}\n";
    let caller = mesh
        .sidecar("caller")
        .file("load_balancing.yaml", balancing)
        .file("chassis.yaml", &chassis)
        .file("circuit_breaker.yaml", breaker)
        .start()?;
    let mut client = Client::new(caller.consumer);
    for _ in 0..20 {
        assert_eq!(client.get("http://orders/", &[]).await?.status, 200);
    }
    assert!(metrics(&caller).await?.contains("side=\"consumer\",reason=\"status\"}"));
    eventually("open", async || {
        let reply = client.get("http://bad/", &[]).await?;
        let open = reply.header("x-mesher-error") == Some("circuit_open");
        assert!(open || reply.status == status, "{}", reply.text());
        Ok(if open { Ok(()) } else { Err(reply.text()) })
    })
    .await?;
    assert_eq!(client.get("http://orders/", &[]).await?.status, 200, "it is the other's breaker");
    Ok(())
}

/// A mark that one proxy has set is what the next one limits by, though it could not tell by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_proxy_has_marked_the_next_one_knows() -> Result<()> {
    let mesh = Mesh::start()?;
    let application = mesh.mockserver("one", &[])?;
    let limits = "servicecomb:\n  match:\n    testers: |\n      matches: [{headers: {x-nobody: {exact: sends-this}}, trafficMarkPolicy: once}]\n  rateLimiting:\n    none-of-them: |\n      match: testers\n      rate: 0\n      burst: 0\n";
    let served = mesh.sidecar("orders").serving("orders", application.port);
    let _served = served.file("rate_limiting.yaml", limits).start()?;
    mesh.registry.wait_for("orders", &["UP"]).await?;
    let matches = "servicecomb:\n  match:\n    testers: |\n      matches: [{headers: {x-user: {exact: test}}, trafficMarkPolicy: once}]\n";
    let caller = mesh.sidecar("caller").file("rate_limiting.yaml", matches).start()?;
    let mut client = Client::new(caller.consumer);
    for (headers, status) in [
        (&[][..], 200),
        (&[("x-user", "test")], 429),
        (&[("x-user", "other")], 200),
        // Marked by somebody before.
        (&[("x-mark", "testers")], 429),
        (&[("x-user", "test"), ("x-mark", "others")], 200),
    ] {
        let reply = client.get("http://orders/", headers).await?;
        assert_eq!(reply.status, status, "{headers:?}: {}", reply.text());
    }
    // The application sees it, to send it on with the requests that follow.
    let other = mesh.sidecar("other").file("rate_limiting.yaml", matches).start()?;
    mesh.registry.register("plain", loopback(application.port)).await?;
    let reply = Client::new(other.consumer).get("http://plain/", &[("x-user", "test")]).await?;
    assert!(reply.text().to_lowercase().contains("x-mark"), "{}", reply.text());
    Ok(())
}
