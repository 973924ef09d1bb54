//! How it goes with a control plane: what is subscribed to, and what of it was taken.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use discovery::ads::{Ads, Report};
use mesh::virtual_host::{Action, HashKey, RouteRule};
use mesh::{Cluster, Snapshot};
use serde::Serialize;

use super::time::timestamp;

/// The client, as `/v1/mesher/discovery` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Xds {
    /// Who we are to the control plane.
    node: String,
    /// `delta` or `state_of_the_world`.
    variant: &'static str,
    /// Since when there is a stream, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_since: Option<String>,
    /// Streams so far.
    streams: u64,
    clusters: usize,
    /// Clusters whose endpoints are followed.
    assignments: usize,
    hosts: usize,
    subscriptions: Vec<Subscription>,
    /// What resources in use ask for that `mesher` does not do.
    unsupported: Vec<Unsupported>,
}

/// The subscription to one kind of resources.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Subscription {
    /// `CDS`, `EDS`, `RDS`.
    kind: &'static str,
    /// Names that are asked for; 0 where everything is.
    names: usize,
    /// That was last acknowledged.
    version: String,
    responses: u64,
    refusals: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_ack: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_nack: Option<String>,
    /// Why that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    nack_reason: Option<String>,
}

/// What one resource asks for in vain.
#[derive(Debug, Serialize)]
struct Unsupported {
    resource: String,
    fields: Vec<String>,
}

/// Resources that are named; of thousands, people look at some.
const MOST: usize = 200;

impl Xds {
    pub(super) fn of(client: &Ads, snapshot: &Snapshot) -> Self {
        let Report {
            node,
            variant,
            connected_since,
            streams,
            subscriptions,
            clusters,
            assignments,
            hosts,
            unsupported,
        } = client.report();
        let time = |at: Option<SystemTime>| at.map(timestamp);
        let subscriptions = subscriptions.into_iter().map(|(kind, standing)| Subscription {
            kind: kind.word(),
            names: standing.names,
            version: standing.version,
            responses: standing.responses,
            refusals: standing.refusals,
            last_ack: time(standing.acknowledged_at),
            last_nack: time(standing.refused_at),
            nack_reason: standing.refused_for,
        });
        let mut all = not_done(snapshot);
        for (resource, fields) in unsupported {
            let fields = fields.iter().map(ToString::to_string);
            all.entry(resource.to_string()).or_default().extend(fields);
        }
        let unsupported = all.into_iter().take(MOST).map(|(resource, fields)| Unsupported {
            resource,
            fields: fields.into_iter().collect(),
        });
        Self {
            node,
            variant: variant.word(),
            connected_since: time(connected_since),
            streams,
            clusters,
            assignments,
            hosts,
            subscriptions: subscriptions.collect(),
            unsupported: unsupported.collect(),
        }
    }
}

/// What the model has of services in use and `mesher` does not do yet, by the names of their hosts
/// and clusters.
fn not_done(snapshot: &Snapshot) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for service in snapshot.services() {
        let Some(routing) = &service.routing else { continue };
        for rule in routing.ports.iter().flat_map(|port| &*port.rules) {
            let fields = of_rule(rule).into_iter().map(ToOwned::to_owned);
            found.entry(service.key.name.to_string()).or_default().extend(fields);
        }
        for cluster in &routing.clusters {
            let fields = of_cluster(cluster).into_iter().map(ToOwned::to_owned);
            found.entry(cluster.name.to_string()).or_default().extend(fields);
        }
    }
    found.retain(|_, fields| !fields.is_empty());
    found
}

fn of_rule(rule: &RouteRule) -> Vec<&'static str> {
    let mut fields = Vec::new();
    if let Some(fault) = &rule.fault {
        fields.push((!fault.headers.is_empty(), "fault.headers"));
        fields.push((fault.abort.is_some_and(|it| it.grpc_status.is_some()), "fault.grpcStatus"));
    }
    if let Action::Forward(forward) = &rule.action {
        let made = |key: &HashKey| matches!(key, HashKey::Cookie { lifetime: Some(_), .. });
        fields.push((forward.hash.iter().any(made), "consistentHash.httpCookie.ttl"));
        fields.push((forward.hash.len() > 1, "consistentHash: all but the first"));
    }
    fields.into_iter().filter(|(asked, _)| *asked).map(|(_, name)| name).collect()
}

fn of_cluster(cluster: &Cluster) -> Vec<&'static str> {
    let limits = cluster.terms.limits;
    let fields = [
        (limits.connections.is_some(), "connectionPool.tcp.maxConnections"),
        (limits.pending.is_some(), "connectionPool.http.http1MaxPendingRequests"),
        (limits.retries.is_some(), "connectionPool.http.maxRetries"),
        (limits.requests_per_connection.is_some(), "connectionPool.http.maxRequestsPerConnection"),
    ];
    fields.into_iter().filter(|(asked, _)| *asked).map(|(_, name)| name).collect()
}
