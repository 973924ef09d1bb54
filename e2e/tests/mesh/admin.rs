//! The admin port: what a probe, Prometheus and an operator find there.

use anyhow::Result;
use e2e::mesh::{Client, Mesh};

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
    let health = at("/v1/mesher/health").await?.json()?;
    assert_eq!(health["serviceName"], "caller");
    assert_eq!(health["status"], "green");
    assert!(at("/v1/mesher/version").await?.json()?["version"].is_string());
    for path in ["/healthz", "/readyz"] {
        assert_eq!(at(path).await?.status, 200, "{path}");
    }
    // What the dashboards of the original ask for.
    let labels = r#"{service_name="orders",app="default",version="1.2"}"#;
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
    }

    // A provider's health is for all; what changes something is for its own machine.
    let outside = std::net::SocketAddr::new(orders.provider()?.ip(), orders.admin.port());
    assert_eq!(Client::once(outside, "GET", "/healthz", "").await?.status, 200);
    assert_eq!(Client::once(outside, "GET", "/readyz", "").await?.status, 200);
    Ok(())
}
