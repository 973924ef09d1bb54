//! The admin port: what a probe, Prometheus and an operator find there.

use anyhow::Result;
use e2e::mesh::{Client, Mesh, eventually};
use serde_json::json;
use testbed::free_ports;

#[tokio::test]
async fn health_version_and_metrics() -> Result<()> {
    let mesh = Mesh::start()?;
    let application = mesh.mockserver("orders", &[])?;
    let orders = mesh.sidecar("orders").serving("orders", application.port).start()?;
    let caller = mesh
        .sidecar("caller")
        .variable("SERVICE_NAME", "caller")
        .variable("VERSION", "1.2")
        .start()?;
    mesh.registry.wait_for("orders", &["UP"]).await?;
    for (url, status) in
        [("http://orders/", 200), ("http://orders/", 200), ("http://orders:1/", 403)]
    {
        assert_eq!(caller.get(url).await?.status, status);
    }
    let at = async |path: &str| Client::once(caller.admin, "GET", path, "").await;
    let health = eventually("green", async || {
        let health = at("/v1/mesher/health").await?;
        Ok(if health.status == 200 { Ok(health) } else { Err(health.text()) })
    });
    let health = health.await?.json()?;
    assert_eq!(health["serviceName"], "caller");
    assert_eq!(health["version"], "1.2");
    assert_eq!(health["status"], "green");
    assert_eq!(health["connectedMonitoring"], false);
    assert!(health.get("error").is_none(), "{health}");
    let version = at("/v1/mesher/version").await?.json()?;
    assert!(version["version"].is_string());
    assert!(version.get("Go-Chassis").is_none(), "it is not in here: {version}");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(at(path).await?.status, 200, "{path}");
    }
    // What the dashboards of the original ask for.
    let labels = r#"{service_name="orders",app="default",version="1.2"}"#;
    let rest = r#"version="1.2"}"#;
    for path in ["/metrics", "/v1/mesher/metrics"] {
        let metrics = at(path).await?.text();
        for line in [
            format!("requests_total{labels} 3"),
            format!("successes_total{labels} 2"),
            format!("failures_total{labels} 1"),
            format!("status_4xx{labels} 1"),
            format!("status_5xx{labels} 0"),
            format!("request_latency_seconds_count{labels} 3"),
        ] {
            assert!(metrics.lines().any(|found| found == line), "{line} is not in {metrics}");
        }
        let since = format!(r#"start_time_seconds{{service_name="caller",app="default",{rest} "#);
        assert!(
            metrics.lines().any(|line| line.starts_with(&since)),
            "{since} is not in {metrics}"
        );
        assert!(metrics.contains(&format!("request_latency_seconds_sum{labels}")), "{metrics}");
    }

    // A provider's health is for all; what changes something is for its own machine.
    let outside = std::net::SocketAddr::new(orders.provider()?.ip(), orders.admin.port());
    assert_eq!(Client::once(outside, "GET", "/healthz", "").await?.status, 200);
    assert_eq!(Client::once(outside, "GET", "/readyz", "").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn health_is_red_where_nobody_finds_the_application() -> Result<()> {
    let mesh = Mesh::start()?;
    let [nobody] = free_ports()?;
    let lost = mesh
        .sidecar("lost")
        .in_a_pod("orders")
        .key("servicecomb.registry.address", &format!("http://127.0.0.1:{nobody}"))
        .start()?;
    let health = Client::once(lost.admin, "GET", "/v1/mesher/health", "").await?;
    assert_eq!(health.status, 500, "{}", health.text());
    let health = health.json()?;
    assert_eq!(health["status"], "red");
    assert_eq!(health["serviceName"], "orders");
    let error = health["error"].as_str().unwrap_or_default();
    assert!(error.contains("the service is not registered"), "{health}");
    // No application is kept from starting by that.
    assert_eq!(Client::once(lost.admin, "GET", "/readyz", "").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn route_rules_are_shown_as_they_are_in_force() -> Result<()> {
    let mesh = Mesh::start()?;
    let first = "routeRule:\n  orders:\n    - precedence: 2\n      route: [{tags: {version: 1.10}, weight: 80}]\n";
    let caller = mesh.sidecar("caller").file("router.yaml", first).start()?;
    let rules = async |service: &str| {
        let path = format!("/v1/mesher/routeRule/{service}");
        Client::once(caller.admin, "GET", &path, "").await
    };
    let found = rules("orders").await?;
    assert_eq!((found.status, found.header("content-type")), (200, Some("text/vnd.yaml")));
    let route = json!([{"tags": {"version": "1.10"}, "weight": 80}]);
    assert_eq!(found.json()?, json!([{"precedence": 2, "route": route}]));
    let missing = rules("stock").await?;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.json()?, json!("stock routeRule not found"));

    // The second generation: a text for each service.
    let second = "servicecomb:\n  routeRule:\n    stock.v1: |\n      - precedence: 1\n        match: {headers: {x: {exact: a, caseInsensitive: yes}}}\n";
    std::fs::write(mesh.guard().folder().join("conf-caller/router.yaml"), second)?;
    let shown = eventually("shown", async || {
        let reply = rules("stock.v1").await?;
        Ok(if reply.status == 200 { Ok(reply) } else { Err(reply.text()) })
    });
    let match_all = json!({"headers": {"x": {"exact": "a", "caseInsensitive": true}}});
    assert_eq!(shown.await?.json()?, json!([{"precedence": 1, "match": match_all}]));
    assert_eq!(rules("orders").await?.status, 404);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_in_a_terminal() -> Result<()> {
    let mesh = Mesh::start()?;
    let application = mesh.mockserver("orders", &[])?;
    let _orders = mesh.sidecar("orders").serving("orders", application.port).start()?;
    let caller = mesh.sidecar("caller").variable("SERVICE_NAME", "front").start()?;
    mesh.registry.wait_for("orders", &["UP"]).await?;
    assert_eq!(caller.get("http://orders/").await?.status, 200);
    assert_eq!(caller.get("http://nobody/").await?.status, 502);
    let run = |arguments: &[&str]| {
        let output = tokio::task::block_in_place(|| caller.beside(arguments))?;
        let text = String::from_utf8(output.stdout)?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok::<_, anyhow::Error>(text)
    };
    let text = run(&["status"])?;
    for part in ["front 0.0.1 of default: serving", "sc connected, 1 services, 1 instances"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let row = text.lines().find(|line| line.starts_with("default/orders"));
    let cells: Vec<_> = row.unwrap_or_default().split("  ").map(str::trim).collect();
    assert!(cells.contains(&"1 of 1") && cells.contains(&"1"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&run(&["status", "-o", "json"])?)?;
    assert_eq!(json["status"]["phase"], "serving");
    assert_eq!(json["services"]["services"][0]["key"], "default/orders");
    let none = run(&["status", "--search", "no such"])?;
    assert!(!none.contains("default/orders"), "{none}");
    Ok(())
}
