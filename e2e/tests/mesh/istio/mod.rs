//! Istio as the source: a real istiod over a real API server says where requests go. Services are
//! ServiceEntries, as Kubernetes has no Services on loopback.

mod changes;
mod governance;
mod hosts;
mod peers;
mod rules;
mod secured;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::mesh::{Application, Client, Mesh, Setup, Sidecar, eventually};
use serde_json::Value;
use testbed::{Cluster, ClusterOptions, Istiod, IstiodOptions};

/// A cluster of its own, istiod, three versions of one service and a caller of them.
struct Town {
    caller: Sidecar,
    istiod: Istiod,
    versions: Vec<Application>,
    mesh: Mesh,
    cluster: Cluster,
}

const HOST: &str = "reviews.shop.svc.cluster.local";

/// What a service of the town is called in all of the mesh.
fn host(name: &str) -> String {
    format!("{name}.shop.svc.cluster.local")
}

impl Town {
    fn start() -> Result<Self> {
        Self::with(None, |setup| setup)
    }

    /// One whose istiod ends each stream after a while, and whose caller is set up otherwise.
    fn with(
        longest_stream: Option<Duration>,
        set_up: impl FnOnce(Setup<'_>) -> Setup<'_>,
    ) -> Result<Self> {
        let cluster = Cluster::start(ClusterOptions::default())?;
        cluster.run(&["create", "namespace", "shop"])?;
        let options = IstiodOptions { longest_stream, ..IstiodOptions::default() };
        let istiod = Istiod::start(&cluster, options)?;
        let mesh = Mesh::start()?;
        let versions = ["v1", "v2", "v3"].map(|name| mesh.mockserver(name, &[]));
        let versions = versions.into_iter().collect::<Result<Vec<_>>>()?;
        let caller = set_up(caller(&mesh, "caller", &istiod)).start()?;
        let town = Self { caller, istiod, versions, mesh, cluster };
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
        let subsets = "  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - {name: v3, labels: {version: v3}}
";
        self.apply_destination("reviews", &endpoints.concat(), subsets)
    }

    /// A service of the town with these endpoints, and the rest of its DestinationRule.
    fn apply_destination(&self, name: &str, endpoints: &str, rule: &str) -> Result<()> {
        let host = host(name);
        self.cluster.apply(&format!(
            "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: [{host}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 8080, name: http, protocol: HTTP}}]
  endpoints:
{endpoints}---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: shop}}
spec:
  host: {host}
{rule}"
        ))?;
        Ok(())
    }

    /// The rules of the service with the versions.
    fn apply_rules(&self, http: &str) -> Result<()> {
        self.apply_virtual_service("reviews", http)
    }

    /// The rules of a service: `http` of its VirtualService.
    fn apply_virtual_service(&self, name: &str, http: &str) -> Result<()> {
        let host = host(name);
        self.cluster.apply(&format!(
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: [{host}]
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

    /// Waits until exactly these versions answer.
    async fn until_only(&self, url: &str, wanted: &[&str]) -> Result<()> {
        eventually(&format!("{url} answered by {wanted:?}"), async || {
            let shares = self.shares(url, 6).await;
            Ok(match shares {
                Ok(shares) if shares.keys().eq(wanted) => Ok(()),
                other => Err(format!("{other:?}")),
            })
        })
        .await
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
        Client::once(self.caller.admin, "GET", &url, "").await?.json()
    }
}

fn caller<'a>(mesh: &'a Mesh, name: &str, istiod: &Istiod) -> Setup<'a> {
    mesh.sidecar(name)
        .variable("DISCOVERY_TYPE", "pilot")
        .variable("ISTIO_PILOT_ADDR", &istiod.address().to_string())
        .variable("POD_NAME", "caller-0")
        .variable("POD_NAMESPACE", "shop")
        .key("admin.enable", "true")
}

/// A rule that sends everything to one version.
fn all_to(version: &str) -> String {
    format!("  - route: [{{destination: {{host: {HOST}, subset: {version}}}}}]\n")
}
