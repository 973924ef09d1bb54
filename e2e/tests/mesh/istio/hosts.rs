//! What requests may be for: the names of a service, and what is none of it.

use anyhow::{Result, ensure};
use e2e::mesh::{Client, eventually};

use super::{HOST, Town};

/// A service with an address of its own; and one that speaks nothing but Istio's mutual TLS.
const MORE: &str = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ratings, namespace: shop}
spec:
  hosts: [ratings.shop.svc.cluster.local]
  addresses: [240.1.2.3]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {http: PORT}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: strict, namespace: shop}
spec:
  hosts: [strict.shop.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {http: PORT}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: strict, namespace: shop}
spec:
  host: strict.shop.svc.cluster.local
  trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}
";

#[tokio::test]
async fn a_service_is_called_by_each_of_its_names() -> Result<()> {
    let town = Town::start()?;
    let outside = town.mesh.mockserver("outside", &[])?;
    for name in ["reviews:8080", "reviews", "reviews.shop", "Reviews.Shop:8080", HOST] {
        let url = format!("http://{name}/");
        town.until_only(&url, &["v1", "v2", "v3"]).await?;
    }
    town.cluster.apply(&MORE.replace("PORT", &outside.port.to_string()))?;
    for url in ["http://240.1.2.3:9080/", "http://240.1.2.3/", "http://ratings/"] {
        town.until(url, "outside").await?;
    }

    // One that cannot be spoken to has nobody, and it is said why.
    eventually("strict refused", async || {
        let reply = town.caller.get("http://strict/").await?;
        let word = reply.header("x-mesher-error").unwrap_or_default();
        Ok(if word == "no_instance" { Ok(()) } else { Err(format!("{reply:?}")) })
    })
    .await?;
    let told = town.discovery().await?;
    let named = told["xds"]["unsupported"].as_array().cloned().unwrap_or_default();
    let strict = "outbound|80||strict.shop.svc.cluster.local";
    let strict = named.iter().find(|it| it["resource"] == strict);
    let strict = strict.map(|it| it["fields"].to_string()).unwrap_or_default();
    ensure!(strict.contains("ISTIO_MUTUAL"), "{told}");

    // Whatever is not in the mesh may be called, or nothing of it.
    let address = format!("http://127.0.0.1:{}/", outside.port);
    let word = format!("http://localhost:{}/", outside.port);
    for url in [&address, &word] {
        ensure!(town.caller.get(url).await?.status == 200, "{url}");
    }
    town.istiod.allow_any(false)?;
    eventually("nothing let out", async || {
        let reply = town.caller.get(&address).await?;
        let word = reply.header("x-mesher-error").unwrap_or_default();
        Ok(if word == "passthrough_denied" { Ok(()) } else { Err(format!("{reply:?}")) })
    })
    .await?;
    ensure!(town.caller.get(&word).await?.status == 502);
    town.until_only("http://reviews/", &["v1", "v2", "v3"]).await?;
    town.istiod.allow_any(true)?;
    town.until(&address, "outside").await
}

#[tokio::test]
async fn rules_of_files_hold_for_services_of_istio() -> Result<()> {
    let rules = "routeRule:\n  reviews:\n    - precedence: 2\n      match: {httpHeaders: {x-user: \
                 {exact: tester}}}\n      route: [{tags: {version: v3}, weight: 100}]\n    - \
                 precedence: 1\n      route: [{tags: {version: v1}, weight: 80}, {tags: {version: \
                 v2}, weight: 20}]\n";
    let town = Town::with(None, |setup| setup.file("router.yaml", rules))?;
    let url = "http://reviews:8080/";
    eventually("four fifths and one", async || {
        let shares = town.shares(url, 10).await;
        Ok(match shares {
            Ok(shares) if shares.values().eq(&[8, 2]) => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await?;
    let mut tester = Client::new(town.caller.consumer);
    for _ in 0..10 {
        let told = tester.get(url, &[("x-user", "tester")]).await?.json()?;
        ensure!(told["Instance"] == "v3", "{told}");
    }
    Ok(())
}
