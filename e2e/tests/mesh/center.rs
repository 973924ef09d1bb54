//! Keys of a configuration center, `servicecomb-kie`, through real proxies.
//!
//! kie itself cannot be had as the other servers are; what answers as it does was made after a real
//! one. With `KIE_ADDR=127.0.0.1:30110` the real one there is asked instead, where a scenario stops
//! none.

use anyhow::Result;
use e2e::mesh::{Client, Load, Mesh, Sidecar, eventually, loopback};
use serde_json::Value;
use testbed::Kie;
use tokio::task::block_in_place;

async fn configuration(sidecar: &Sidecar) -> Result<Value> {
    Client::once(sidecar.admin, "GET", "/v1/mesher/config", "").await?.json()
}

/// Waits until `right` says nothing of what the admin port has of the configuration.
async fn shows(sidecar: &Sidecar, what: &str, right: impl Fn(&Value) -> bool) -> Result<Value> {
    eventually(what, async || {
        let shown = configuration(sidecar).await?;
        Ok(if right(&shown) { Ok(shown) } else { Err(shown.to_string()) })
    })
    .await
}

/// Who answers ten requests in a row, by their names.
async fn answered_by(caller: &Sidecar) -> Result<String> {
    let mut client = Client::new(caller.consumer);
    let mut names = Vec::new();
    for _ in 0..10 {
        let reply = client.get("http://orders/", &[]).await?;
        names.push(match reply.status {
            200 => reply.json()?["Instance"].as_str().unwrap_or_default().to_owned(),
            status => status.to_string(),
        });
    }
    names.sort();
    names.dedup();
    Ok(names.join(" "))
}

async fn until_answered_by(caller: &Sidecar, names: &str) -> Result<()> {
    eventually(names, async || {
        let found = answered_by(caller).await?;
        Ok(if found == names { Ok(()) } else { Err(found) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_kie_change_what_traffic_meets_and_no_request_fails() -> Result<()> {
    let (mesh, kie) = (Mesh::start()?, Kie::start()?);
    // kie shows it in a list a moment later.
    let to = |version: &str| format!("- route: [{{tags: {{version: {version}}}, weight: 100}}]\n");
    let service = format!("front-{}", std::process::id());
    let labels = [("app", "default"), ("environment", ""), ("service", service.as_str())];
    kie.set(&labels, "servicecomb.routeRule.orders", &to("1.0.0"))?;
    let orders = mesh.serve("orders", &[("one", "1.0.0"), ("two", "2.0.0")]).await?;
    mesh.registry.register("echo", loopback(orders[0].application.port)).await?;

    let file =
        format!("routeRule: {{orders: [{{route: [{{tags: {{version: {}}}}}]}}]}}\n", "2.0.0");
    let caller = mesh
        .sidecar("caller")
        .variable("SERVICE_NAME", &service)
        .file("router.yaml", &file)
        .key("servicecomb.config.client.serverUri", &format!("http://{}", kie.address()))
        .start()?;
    // What it says is in force with the first request, and wins over the file.
    assert_eq!(answered_by(&caller).await?, "one");
    let load = Load::start(caller.consumer, "http://echo/echo", 4);
    load.more(200).await?;

    kie.set(&labels, "servicecomb.routeRule.orders", &to("2.0.0"))?;
    until_answered_by(&caller, "two").await?;
    kie.set(&labels, "cse.circuitBreaker.Consumer.enabled", "true")?;
    kie.set(&labels, "cse.circuitBreaker.Consumer.orders.forceOpen", "true")?;
    until_answered_by(&caller, "503").await?;
    kie.set(&labels, "cse.circuitBreaker.Consumer.orders.forceOpen", "false")?;
    until_answered_by(&caller, "two").await?;
    kie.set(&labels, "cse.flowcontrol.Consumer.qps.limit.orders", "0")?;
    until_answered_by(&caller, "429").await?;

    // A value that is none leaves the old one in force, and is named by who said it, and its key.
    kie.set(&labels, "cse.flowcontrol.Consumer.qps.limit.orders", "many")?;
    let shown = shows(&caller, "a fault", |it| it["errors"][0]["key"].is_string()).await?;
    let fault = &shown["errors"][0];
    assert_eq!(fault["key"], "cse.flowcontrol.Consumer.qps.limit.orders");
    let origin = fault["origin"].as_str().unwrap_or_default();
    assert!(origin.contains("servicecomb-kie at http://") && origin.contains(&service), "{origin}");
    let metrics = Client::once(caller.admin, "GET", "/metrics", "").await?.text();
    for line in [
        "key=\"cse.flowcontrol.Consumer.qps.limit.orders\"} 1",
        "mesher_config_last_reload_successful 0",
        "mesher_config_center_connected 1",
        "config_center_questions_total{result=\"answered\"}",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let log = caller.server.log();
    assert!(log.contains("qps.limit.orders: \"many\" is not allowed here"), "{log}");
    assert_eq!(answered_by(&caller).await?, "429", "the last good one");
    let status = String::from_utf8(block_in_place(|| caller.beside(&["status"]))?.stdout)?;
    let refused = |line: &str| line.starts_with("  refused") && line.contains("qps.limit.orders");
    assert!(status.lines().any(refused), "{status}");
    let name = format!("center         servicecomb-kie at http://{}: connected", kie.address());
    assert!(status.contains(&name), "{status}");
    assert!(status.contains(&format!("service={service}: 4 keys, revision ")), "{status}");
    kie.remove(&labels, "cse.flowcontrol.Consumer.qps.limit.orders")?;
    until_answered_by(&caller, "two").await?;

    let shown = shows(&caller, "in order", |it| it["errors"][0].is_null()).await?;
    let center = &shown["center"];
    assert_eq!(center["state"], "connected", "{center}");
    let layer = &center["layers"][1];
    assert!(layer["revision"].is_string() && layer["lastSuccess"].is_string(), "{center}");
    let keys = layer["keys"].to_string();
    assert!(keys.contains("servicecomb.routeRule.orders"), "{center}");
    let rule = &shown["values"]["servicecomb.routeRule.orders"]["origin"];
    assert!(rule.as_str().unwrap_or_default().contains("servicecomb-kie"), "{rule}");

    load.more(200).await?;
    let tally = load.finish().await;
    assert!(tally.failures.is_empty(), "{:?} of {}", tally.failures, tally.answered);
    for key in [
        "servicecomb.routeRule.orders",
        "cse.circuitBreaker.Consumer.enabled",
        "cse.circuitBreaker.Consumer.orders.forceOpen",
    ] {
        kie.remove(&labels, key)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_center_a_proxy_starts_and_goes_on() -> Result<()> {
    let mesh = Mesh::start()?;
    let [port] = testbed::free_ports()?;
    let one = mesh.mockserver("one", &[])?;
    mesh.registry.register("orders", loopback(one.port)).await?;
    let limited = "cse: {flowcontrol: {Consumer: {qps: {limit: {orders: 0}}}}}\n";
    let caller = mesh
        .sidecar("caller")
        .file("rate_limiting.yaml", limited)
        .key("servicecomb.config.client.serverUri", &format!("http://127.0.0.1:{port}"))
        .start()?;
    assert_eq!(answered_by(&caller).await?, "429", "as the file says");
    let shown = shows(&caller, "stale", |it| it["center"]["state"] == "stale").await?;
    assert!(shown["center"]["lastSuccess"].is_null(), "{shown}");
    let ready = Client::once(caller.admin, "GET", "/readyz", "").await?;
    assert_eq!(ready.status, 200, "{}", ready.text());

    let kie = Kie::imitated(port)?;
    let labels = [("app", "default"), ("environment", "")];
    kie.set(&labels, "cse.flowcontrol.Consumer.qps.limit.orders", "1000000")?;
    until_answered_by(&caller, "one").await?;
    kie.set_down(true);
    let shown = shows(&caller, "stale", |it| it["center"]["state"] == "stale").await?;
    assert!(shown["center"]["staleSeconds"].is_number(), "{shown}");
    assert_eq!(answered_by(&caller).await?, "one", "its last word");
    kie.set_down(false);
    shows(&caller, "connected", |it| it["center"]["state"] == "connected").await?;
    kie.remove(&labels, "cse.flowcontrol.Consumer.qps.limit.orders")?;
    until_answered_by(&caller, "429").await
}
