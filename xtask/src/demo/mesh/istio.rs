//! Istio in the registry's place: an API server without a node, and an istiod that reads there which
//! services there are.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use testbed::kubelet::Place;
use testbed::network::{Exit, Host};
use testbed::{Cluster, ClusterOptions, Guard, Istiod, IstiodOptions, Network};

use super::place::Asked;
use super::town::Member;
use crate::demo::Left;

/// What the injected manifests call istiod.
const CALLED: &str = "istiod.istio-system.svc:15010";
const PORT: u16 = 15010;
/// What is in a pod for TLS only, which is not spoken here: it takes a whole node.
pub(super) const FOR_TLS: [&str; 2] = ["mesher-istio-token", "mesher-istio-root"];
/// Where the manifests say what a service serves.
const SERVED: &str = "SERVICE_PORTS";

/// A control plane that runs on this machine.
#[derive(Debug)]
pub(super) struct Istio {
    istiod: Istiod,
    /// Where the pods have networks of their own: in one of these istiod has an address.
    reached: Option<(Host, Exit)>,
    // Last: the others end before it.
    cluster: Cluster,
}

impl Istio {
    /// Starts it. With a network, it has an address there.
    pub(super) fn start(
        guard: &Guard,
        testbed: &Path,
        network: Option<&Network<'_>>,
    ) -> Result<Self> {
        let cluster = Cluster::start(ClusterOptions::default())?;
        let istiod = Istiod::start(&cluster, IstiodOptions::default())?;
        let reached = match network {
            Some(network) => {
                let host = network.host("istiod")?;
                let exit = host.exit(guard, testbed, PORT, istiod.address())?;
                Some((host, exit))
            }
            None => None,
        };
        Ok(Self { istiod, reached, cluster })
    }

    /// Where pods ask.
    pub(super) fn asked(&self) -> Asked {
        let address = match &self.reached {
            Some((host, _)) => SocketAddr::new(host.address(), PORT),
            None => self.istiod.address(),
        };
        Asked { called: CALLED, address }
    }

    /// Writes down which services there are and where, as their endpoints would say in a cluster with
    /// nodes.
    pub(super) fn announce(&self, members: &[Member]) -> Result<()> {
        let mut services = BTreeMap::<&str, Vec<&Member>>::new();
        for member in members {
            services.entry(&member.pod.owner).or_default().push(member);
        }
        let mut entries = String::new();
        for (name, members) in &services {
            entries.push_str(&entry(name, members)?);
        }
        self.cluster.apply(&entries)?;
        Ok(())
    }

    /// Leaves it running.
    pub(super) fn leave(self) -> Result<Left> {
        if let Some((host, exit)) = self.reached {
            host.leave();
            exit.leave();
        }
        self.istiod.leave();
        Ok(Left { what: "Istio's control plane", supervisor: self.cluster.keep()? })
    }
}

/// The `ServiceEntry` of a service whose pods these are.
fn entry(name: &str, members: &[&Member]) -> Result<String> {
    let served = members.first().and_then(|member| member.sidecar());
    let served = served.and_then(|sidecar| sidecar.environment.iter().find(|one| one.0 == SERVED));
    let (_, served) = served.with_context(|| format!("{name} does not say what it serves"))?;
    let namespace = &members[0].pod.namespace;
    let mut entry = format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
         metadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
         hosts: [{name}.{namespace}.svc.cluster.local]\n  location: MESH_INTERNAL\n  \
         resolution: STATIC\n  ports:\n"
    );
    for (port, number) in ports(served) {
        writeln!(entry, "  - {{name: http-{port}, number: {number}, protocol: HTTP}}")?;
    }
    entry.push_str("  endpoints:\n");
    for member in members {
        let address = member.spot.address();
        writeln!(entry, "  - {{address: {address}, labels: {{app: {name}}}}}")?;
    }
    Ok(entry)
}

/// `rest:8080,rest-more:8081` → the names with their numbers.
fn ports(served: &str) -> impl Iterator<Item = (&str, &str)> {
    served.split(',').filter_map(|port| port.split_once(':'))
}

#[cfg(test)]
mod tests {
    use super::ports;

    #[test]
    fn ports_are_read() {
        let read: Vec<_> = ports("rest:8080,rest-more:8081").collect();
        assert_eq!(read, [("rest", "8080"), ("rest-more", "8081")]);
    }
}
