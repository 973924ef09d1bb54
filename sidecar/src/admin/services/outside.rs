//! What is no service of the mesh: the application behind the proxy, and hosts outside.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mesh::{Passthrough, Protocol};
use serde::Serialize;

use super::View;
use super::counted::Counted;
use super::one::{Breaker, Load};
use crate::listener::Side;
use crate::plan::{Endpoint, PoolId, Route};

/// The most hosts and rules that are shown.
const MOST: usize = 200;

/// The application behind the proxy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Application {
    key: String,
    /// What the settings say that it serves.
    ports: Vec<Port>,
    /// Where it was asked so far.
    endpoints: Vec<Place>,
    breaker: Breaker,
    counters: Counted,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    /// As in `SERVICE_PORTS`; absent: the pod declares it, and no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    port: u16,
}

/// An address that is no instance's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    protocol: &'static str,
    /// A name or an IP address, with the port.
    address: String,
    #[serde(flatten)]
    load: Load,
}

/// Hosts outside of the mesh.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outside {
    /// `external`, `all` or `none`.
    passthrough: &'static str,
    counters: Counted,
    /// Those that were called lately, in the order of their names; of too many, the busiest.
    hosts: Vec<Place>,
    hosts_truncated: bool,
    /// Hosts that rules name, in the order of their names.
    egress: Vec<Rule>,
    egress_truncated: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    /// A name, or a star and what names end in.
    host: String,
    /// None: any.
    ports: Vec<u16>,
}

impl Application {
    pub(super) fn of(view: &View<'_>) -> Option<Self> {
        let settings = view.shared.settings();
        settings.provider_addresses().next()?;
        let local = &view.shared.local;
        let named = settings.local.service.iter();
        let named = named.map(|port| Port { name: Some(port.name.clone()), port: port.port });
        let declared = settings.local.app.iter();
        let declared = declared
            .filter(|port| !settings.local.service.iter().any(|named| named.port == **port))
            .map(|port| Port { name: None, port: *port });
        let routes = local.routes();
        // The first address is the one that is used, unless it refuses.
        let endpoints = routes.iter().flat_map(|(.., route)| &route.endpoints);
        let asked = endpoints
            .filter(|it| it.connections.load(Ordering::Relaxed) > 0 || is_first(&routes, it));
        Some(Self {
            key: local.state().key.to_string(),
            ports: named.chain(declared).collect(),
            endpoints: asked.take(MOST).map(|it| Place::of(view, it)).collect(),
            breaker: Breaker::of(view, local.state(), &settings.governance.provider.breaker),
            counters: Counted::of(view.shared.plans.registry(), local.state(), Side::Provider),
        })
    }
}

fn is_first(routes: &[(Protocol, u16, Arc<Route>)], endpoint: &Endpoint) -> bool {
    let mut firsts = routes.iter().filter_map(|(.., route)| route.endpoints.first());
    firsts.any(|first| first.pool == endpoint.pool)
}

impl Outside {
    pub(super) fn of(view: &View<'_>) -> Self {
        let shared = view.shared;
        let settings = shared.settings();
        let routes = shared.local.routes();
        let local = routes.iter().flat_map(|(.., route)| &route.endpoints);
        let local: HashSet<PoolId> = local.map(|endpoint| endpoint.pool).collect();
        let mut hosts = shared.plans.registry().unnamed();
        hosts.retain(|endpoint| !local.contains(&endpoint.pool));
        let hosts_truncated = hosts.len() > MOST;
        hosts.sort_by_key(|endpoint| Reverse(endpoint.connections.load(Ordering::Relaxed)));
        hosts.truncate(MOST);
        let mut hosts: Vec<_> = hosts.iter().map(|it| Place::of(view, it)).collect();
        hosts.sort_by(|a, b| (&a.address, a.protocol).cmp(&(&b.address, b.protocol)));
        let rules = settings.egress.hosts();
        Self {
            passthrough: match settings.passthrough {
                Passthrough::External => "external",
                Passthrough::All => "all",
                Passthrough::None => "none",
            },
            counters: Counted::of(
                shared.plans.registry(),
                shared.plans.outside_state(),
                Side::Consumer,
            ),
            hosts,
            hosts_truncated,
            egress_truncated: rules.len() > MOST,
            egress: rules
                .into_iter()
                .take(MOST)
                .map(|(host, ports)| Rule {
                    host,
                    ports: ports.iter().map(|port| port.number).collect(),
                })
                .collect(),
        }
    }
}

impl Place {
    fn of(view: &View<'_>, endpoint: &Endpoint) -> Self {
        let protocol = endpoint.id.protocol.as_str();
        let address = endpoint.id.address.to_string();
        Self { protocol, address, load: Load::of(endpoint, view.now) }
    }
}
