//! Istio as the source: a real istiod over a real API server says where requests go. Services are
//! ServiceEntries, as Kubernetes has no Services on loopback.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use e2e::mesh::{Application, Mesh, Sidecar, eventually};
use serde_json::Value;
use testbed::{Cluster, ClusterOptions, Istiod};

/// A cluster of its own, istiod, three versions of one service and a caller of them.
struct Town {
    caller: Sidecar,
    istiod: Istiod,
    versions: Vec<Application>,
    mesh: Mesh,
    cluster: Cluster,
}

const HOST: &str = "reviews.shop.svc.cluster.local";

impl Town {
    fn start() -> Result<Self> {
        let cluster = Cluster::start(ClusterOptions::default())?;
        cluster.run(&["create", "namespace", "shop"])?;
        let istiod = Istiod::start(&cluster)?;
        let mesh = Mesh::start()?;
        let versions = ["v1", "v2", "v3"].map(|name| mesh.mockserver(name, &[]));
        let versions = versions.into_iter().collect::<Result<Vec<_>>>()?;
        let town = Self { caller: caller(&mesh, &istiod)?, istiod, versions, mesh, cluster };
        town.apply_services(&["v1", "v2", "v3"])?;
        Ok(town)
    }

    /// The service with these versions, each a subset.
    fn apply_services(&self, versions: &[&str]) -> Result<()> {
        let endpoints: Vec<String> = (self.versions.iter().zip(["v1", "v2", "v3"]))
            .filter(|(_, version)| versions.contains(version))
            .map(|(application, version)| {
                let port = application.port;
                format!(
                    "  - {{address: 127.0.0.1, ports: {{http: {port}}}, \
                     labels: {{app: reviews, version: {version}}}}}\n"
                )
            })
            .collect();
        let endpoints = endpoints.concat();
        self.cluster.apply(&format!(
            "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: reviews, namespace: shop}}
spec:
  hosts: [{HOST}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 8080, name: http, protocol: HTTP}}]
  endpoints:
{endpoints}---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: reviews, namespace: shop}}
spec:
  host: {HOST}
  subsets:
  - {{name: v1, labels: {{version: v1}}}}
  - {{name: v2, labels: {{version: v2}}}}
  - {{name: v3, labels: {{version: v3}}}}
"
        ))?;
        Ok(())
    }

    /// The rules of the service: `http` of a VirtualService.
    fn apply_rules(&self, http: &str) -> Result<()> {
        self.cluster.apply(&format!(
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: reviews, namespace: shop}}
spec:
  hosts: [{HOST}]
  http:
{http}"
        ))?;
        Ok(())
    }

    /// Waits until a request is answered by that version.
    async fn until(&self, url: &str, wanted: &str) -> Result<()> {
        eventually(&format!("{url} answered by {wanted}"), async || {
            let found = self.version(url).await;
            Ok(match found {
                Ok(version) if version == wanted => Ok(()),
                other => Err(format!("{other:?}")),
            })
        })
        .await
    }

    /// Which version answers a request.
    async fn version(&self, url: &str) -> Result<String> {
        let reply = self.caller.get(url).await?;
        ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
        Ok(reply.json()?["Instance"].as_str().unwrap_or_default().to_owned())
    }

    /// How many of so many requests each version answers.
    async fn shares(&self, url: &str, requests: u32) -> Result<BTreeMap<String, u32>> {
        let mut shares = BTreeMap::new();
        for _ in 0..requests {
            *shares.entry(self.version(url).await?).or_default() += 1;
        }
        Ok(shares)
    }

    /// What the admin port says of discovery.
    async fn discovery(&self) -> Result<Value> {
        let url = format!("http://{}/v1/mesher/discovery", self.caller.admin);
        e2e::mesh::Client::once(self.caller.admin, "GET", &url, "").await?.json()
    }
}

fn caller(mesh: &Mesh, istiod: &Istiod) -> Result<Sidecar> {
    mesh.sidecar("caller")
        .variable("DISCOVERY_TYPE", "pilot")
        .variable("ISTIO_PILOT_ADDR", &istiod.address().to_string())
        .variable("POD_NAME", "caller-0")
        .variable("POD_NAMESPACE", "shop")
        .key("admin.enable", "true")
        .start()
}

const WEIGHTS: &str = "
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews.shop.svc.cluster.local, subset: v2}}]
  - match: [{uri: {exact: /teapot}}]
    directResponse: {status: 418, body: {string: short and stout}}
  - match: [{uri: {prefix: /elsewhere}}]
    redirect: {uri: /there, redirectCode: 302}
  - route:
    - {destination: {host: reviews.shop.svc.cluster.local, subset: v1}, weight: 25}
    - {destination: {host: reviews.shop.svc.cluster.local, subset: v2}, weight: 25}
    - {destination: {host: reviews.shop.svc.cluster.local, subset: v3}, weight: 50}
";

fn all_to(version: &str) -> String {
    format!("  - route: [{{destination: {{host: {HOST}, subset: {version}}}}}]\n")
}

#[tokio::test]
async fn a_virtual_service_decides_where_requests_go() -> Result<()> {
    let town = Town::start()?;
    // Before there are rules, everybody takes requests; by any name of the service.
    for name in ["reviews:8080", "reviews.shop:8080", &format!("{HOST}:8080"), "reviews"] {
        let url = format!("http://{name}/");
        let all = async || {
            let shares = town.shares(&url, 6).await;
            Ok(match shares {
                Ok(shares) if shares.len() == 3 => Ok(()),
                other => Err(format!("{other:?}")),
            })
        };
        eventually(&format!("three versions answering {url}"), all).await?;
    }

    // The main scenario: a quarter, a quarter, a half.
    town.apply_rules(&all_to("v1"))?;
    let url = "http://reviews:8080/";
    eventually("only v1 answering", async || {
        let shares = town.shares(url, 6).await;
        let only = |shares: &BTreeMap<String, u32>| shares.keys().eq(["v1"]);
        Ok(match shares {
            Ok(shares) if only(&shares) => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await?;
    town.apply_rules(WEIGHTS)?;
    eventually("v3 answering", async || {
        let shares = town.shares(url, 8).await;
        Ok(match shares {
            Ok(shares) if shares.contains_key("v3") => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await?;
    let shares = town.shares(url, 4_000).await?;
    for (version, expected) in [("v1", 1_000), ("v2", 1_000), ("v3", 2_000_u32)] {
        // Six standard deviations of a draw by chance: some 200. In turn, it is less.
        let taken = shares.get(version).copied().unwrap_or_default();
        ensure!(taken.abs_diff(expected) <= 200, "{version}: {taken} of 4000: {shares:?}");
    }

    // By a header; and without anybody.
    let mut jason = e2e::mesh::Client::new(town.caller.consumer);
    for _ in 0..20 {
        let reply = jason.get(url, &[("end-user", "jason")]).await?;
        let told = reply.json()?;
        ensure!(told["Instance"] == "v2", "{told}");
    }
    let reply = town.caller.get("http://reviews:8080/teapot").await?;
    ensure!((reply.status, reply.text().as_str()) == (418, "short and stout"), "{reply:?}");
    let reply = town.caller.get("http://reviews:8080/elsewhere/x?a=b").await?;
    let place = reply.header("location").unwrap_or_default().to_owned();
    ensure!((reply.status, place.as_str()) == (302, "http://reviews:8080/there?a=b"), "{reply:?}");

    let told = town.discovery().await?;
    ensure!(told["backend"] == "pilot" && told["state"] == "connected", "{told}");
    ensure!(told["xds"]["variant"] == "delta", "{told}");
    let kinds = told["xds"]["subscriptions"].as_array().cloned().unwrap_or_default();
    ensure!(kinds.len() == 3 && kinds.iter().all(|it| it["lastAck"].is_string()), "{told}");
    ensure!(kinds.iter().all(|it| it["refusals"] == 0), "{told}");
    Ok(())
}

#[tokio::test]
async fn endpoints_come_and_go_and_istiod_too() -> Result<()> {
    let mut town = Town::start()?;
    let url = "http://reviews:8080/";
    town.until(url, "v1").await?;
    town.apply_services(&["v2"])?;
    eventually("only v2 answering", async || {
        let shares = town.shares(url, 6).await;
        Ok(match shares {
            Ok(shares) if shares.keys().eq(["v2"]) => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await?;

    // While it is away nothing changes, and no request fails.
    let load = e2e::mesh::Load::start(town.caller.consumer, url, 4);
    load.more(500).await?;
    let Town { istiod, cluster, caller, mesh, versions } = town;
    let istiod = istiod.restart(&cluster)?;
    load.more(1_000).await?;
    town = Town { caller, istiod, versions, mesh, cluster };
    town.apply_services(&["v2", "v3"])?;
    town.until(url, "v3").await?;
    let tally = load.finish().await;
    ensure!(tally.failures.is_empty(), "{:?}", tally.failures);
    ensure!(town.istiod.server().is_running());
    ensure!(town.mesh.guard().folder().is_dir());
    Ok(())
}
