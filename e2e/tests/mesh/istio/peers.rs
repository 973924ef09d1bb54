//! Endpoints that have a proxy of ours beside them.

use anyhow::{Result, ensure};
use e2e::mesh::Client;

use super::Town;

/// Where a proxy is looked for.
const PORT: u16 = 30101;

#[tokio::test]
async fn an_endpoint_with_a_proxy_of_ours_is_reached_through_it() -> Result<()> {
    let town = Town::start()?;
    let application = town.mesh.mockserver("behind", &[])?;
    let provider = super::caller(&town.mesh, "provider", &town.istiod)
        .serving("details", application.port)
        // Nobody else of this machine is there.
        .key("servicecomb.protocols.http.listenAddress", &format!("127.0.9.1:{PORT}"))
        .start_at(PORT)?;
    let pod = provider.provider()?.ip();
    // The application itself listens on 127.0.0.1 only, so nobody is at the pod's own port.
    town.cluster.apply(&format!(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: details, namespace: shop}}
spec:
  hosts: [details.shop.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: {pod}, ports: {{http: {}}}}}]
",
        application.port
    ))?;
    town.until("http://details/", "behind").await?;
    let seen = town.caller.get("http://details/").await?.text().to_ascii_lowercase();
    ensure!(seen.contains("x-forwarded-host"), "what a provider's side says: {seen}");
    ensure!(!seen.contains("x-mesher-via"), "between proxies only: {seen}");

    // It was called itself before: either way has series of its own.
    let metrics = Client::new(town.caller.admin).get("/metrics", &[]).await?.text();
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    let mut series: Vec<_> = samples.filter_map(|line| line.rsplit_once(' ')).collect();
    let ways = series.iter().filter(|(series, _)| {
        series.starts_with("mesher_instance_attempts_total") && series.contains("details")
    });
    ensure!(ways.count() == 2, "{metrics}");
    series.sort_unstable();
    let twice = series.windows(2).find(|two| two[0].0 == two[1].0);
    ensure!(twice.is_none(), "{twice:?}");

    // Others of the same service are called themselves.
    let reviews = town.caller.get("http://reviews:8080/").await?;
    let seen = reviews.text().to_ascii_lowercase();
    ensure!(reviews.status == 200 && !seen.contains("x-mesher-via"), "{seen}");
    ensure!(!seen.contains("x-forwarded-port"), "{seen}");
    ensure!(provider.server.is_running());
    Ok(())
}
