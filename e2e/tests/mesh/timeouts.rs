//! How long a service may take, and what is done to requests that wait, through real proxies.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::mesh::{Client, Mesh, loopback};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_has_the_time_that_it_was_given() -> Result<()> {
    let mesh = Mesh::start()?;
    let never = mesh.mockserver("never", &["-delay", "1h"])?;
    let slow = mesh.mockserver("slow", &["-delay", "1s"])?;
    mesh.registry.register("orders", loopback(never.port)).await?;
    mesh.registry.register("stock", loopback(slow.port)).await?;
    let isolation = "cse: {isolation: {Consumer: {timeoutInMilliseconds: 300, stock: {timeoutInMilliseconds: 3600000}}}}\n";
    let caller = mesh.sidecar("caller").file("circuit_breaker.yaml", isolation).start()?;
    let late = caller.get("http://orders/").await?;
    ensure!((late.status, late.header("x-mesher-error")) == (504, Some("timeout")), "{late:?}");
    ensure!(caller.get("http://stock/").await?.status == 200, "it has an hour");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_try_that_takes_too_long_is_given_up_for_another_instance() -> Result<()> {
    let mesh = Mesh::start()?;
    let never = mesh.mockserver("never", &["-delay", "1h"])?;
    let good = mesh.mockserver("good", &[])?;
    for port in [never.port, good.port] {
        mesh.registry.register("orders", loopback(port)).await?;
    }
    let balancing =
        "cse: {loadbalance: {retryEnabled: true, retryOnNext: 1, retryTimeoutMs: 2000}}\n";
    let caller = mesh.sidecar("caller").file("load_balancing.yaml", balancing).start()?;
    let mut client = Client::new(caller.consumer);
    // In turn: the first or the second meets the one that never answers.
    for _ in 0..2 {
        let reply = client.get("http://orders/", &[]).await?;
        ensure!(reply.status == 200, "{}", reply.text());
    }
    let metrics = Client::once(caller.admin, "GET", "/metrics", "").await?.text();
    let tries = "mesher_resends_total{service_name=\"orders\",app=\"default\",side=\"consumer\",reason=\"try_timeout\"} ";
    ensure!(metrics.contains(tries), "{metrics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_may_be_that_a_service_is_slow() -> Result<()> {
    let mesh = Mesh::start()?;
    let application = mesh.mockserver("orders", &[])?;
    mesh.registry.register("orders", loopback(application.port)).await?;
    let fault = "cse.governance.Consumer.orders.policy.fault.protocols.rest.delay: {percent: 100, fixedDelay: 700}\n";
    let caller = mesh.sidecar("caller").file("fault.yaml", fault).start()?;
    let began = Instant::now();
    ensure!(caller.get("http://orders/").await?.status == 200);
    ensure!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
    Ok(())
}
