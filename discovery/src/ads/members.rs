//! From endpoints as a control plane tells them to the members of a cluster of the model.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mesh::{
    Cluster, Endpoint, Instance, InstanceId, Locality, Member, Security, ServiceKey, Status, Tags,
    Version,
};

use super::translate::{Address, Assignment, ClusterSpec, Found, Peer};

/// How often a host is looked up that is reached as asked for.
const REFRESH: Duration = Duration::from_secs(30);
/// What Istio puts between the parts of a workload's description, and what they are.
const PARTS: [&str; 5] = ["workload", "namespace", "app", "version", "cluster"];

/// A name to be looked up, and the port that goes with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name {
    pub(super) host: Arc<str>,
    pub(super) port: u16,
}

/// What a service is called: its namespace, as its host says it or, where that is no host of
/// Kubernetes, as its cluster does; and its host.
pub(super) fn key(host: &str, namespace: &str) -> ServiceKey {
    let mut parts = host.splitn(3, '.');
    let in_cluster = match (parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(namespace), Some(rest)) if rest.starts_with("svc.") => Some(namespace),
        _ => None,
    };
    ServiceKey::new(in_cluster.unwrap_or(namespace), host)
}

/// The names that a cluster's endpoints are looked up by.
pub(super) fn names(spec: &ClusterSpec) -> impl Iterator<Item = Name> {
    let as_asked = match &spec.found {
        Found::AsAsked => own_name(spec),
        _ => None,
    };
    let peers = match &spec.found {
        Found::LookedUp { names, .. } => names.peers.as_slice(),
        _ => &[],
    };
    let listed = peers.iter().filter_map(|peer| match &peer.address {
        Address::Name(host, port) => Some(Name { host: Arc::clone(host), port: *port }),
        Address::Known(_) => None,
    });
    as_asked.into_iter().chain(listed)
}

fn own_name(spec: &ClusterSpec) -> Option<Name> {
    let place = spec.place.as_ref()?;
    Some(Name { host: Arc::clone(&place.host), port: place.port })
}

/// How often those names are looked up.
pub(super) fn refresh(spec: &ClusterSpec) -> Duration {
    match &spec.found {
        Found::LookedUp { refresh, .. } => *refresh,
        _ => REFRESH,
    }
}

/// What of a cluster's security can't be spoken from here, in the words of its resource.
pub(super) const fn unspoken(security: &Security) -> Option<&'static str> {
    match security {
        Security::Plain | Security::Automatic => None,
        Security::IstioMutual => Some("transport_socket.ISTIO_MUTUAL"),
        Security::Tls { .. } => Some("transport_socket.tls"),
    }
}

/// The members that `peers` are; `None` while one of their names has not been looked up.
pub(super) fn of_peers<'a>(
    spec: &ClusterSpec,
    peers: &Assignment,
    resolved: impl Fn(&Name) -> Option<&'a Vec<SocketAddr>>,
) -> Option<Vec<Member>> {
    let one = matches!(spec.found, Found::LookedUp { one: true, .. });
    let mut members = Vec::new();
    for peer in &peers.peers {
        match &peer.address {
            Address::Known(address) => members.push(member(spec, peer, *address)),
            Address::Name(host, port) => {
                let addresses = resolved(&Name { host: Arc::clone(host), port: *port });
                // Told by address alone: a name among them is nowhere.
                let told = matches!(spec.found, Found::Told(_));
                let addresses = match addresses {
                    Some(addresses) => addresses.as_slice(),
                    None if told => &[],
                    None => return None,
                };
                let taken = if one { addresses.len().min(1) } else { addresses.len() };
                members.extend(addresses[..taken].iter().map(|at| member(spec, peer, *at)));
            }
        }
    }
    Some(members)
}

/// The members of a cluster whose clients say where to go: as their host is looked up.
pub(super) fn as_asked<'a>(
    spec: &ClusterSpec,
    resolved: impl Fn(&Name) -> Option<&'a Vec<SocketAddr>>,
) -> Option<Vec<Member>> {
    // One without a host of its own, as that for all the rest, is not for a service.
    let Some(name) = own_name(spec) else { return Some(Vec::new()) };
    let peer = Peer {
        address: Address::Name(Arc::clone(&name.host), name.port),
        status: Status::Up,
        weight: 1,
        priority: 0,
        locality: Arc::new(Locality::default()),
        workload: None,
        mutual_tls: false,
    };
    Some(resolved(&name)?.iter().map(|at| member(spec, &peer, *at)).collect())
}

/// A cluster of the model. One that can't be spoken to has nobody.
pub(super) fn cluster(spec: &ClusterSpec, mut members: Vec<Member>) -> Cluster {
    if unspoken(&spec.terms.security).is_some() {
        members.clear();
    }
    members.sort_by(|a, b| a.instance.id.cmp(&b.instance.id));
    let place = spec.place.as_ref();
    Cluster {
        name: Arc::clone(&spec.name),
        service: key(place.map_or(&spec.name, |place| &place.host), &spec.namespace),
        label: place.map_or_else(|| "".into(), |place| Arc::clone(&place.label)),
        port: place.map_or(0, |place| place.port),
        members,
        terms: Arc::clone(&spec.terms),
    }
}

fn member(spec: &ClusterSpec, peer: &Peer, address: SocketAddr) -> Member {
    let endpoint = Endpoint {
        protocol: spec.protocol,
        address: SocketAddr::new(IpAddr::to_canonical(&address.ip()), address.port()),
        tls: false,
        service_port: spec.place.as_ref().map(|place| place.port),
    };
    let tags = tags(peer);
    let instance = Instance {
        id: InstanceId(address.to_string().into()),
        version: tags.get("version").map_or_else(Version::default, |text| version(text)),
        status: peer.status,
        endpoints: vec![endpoint],
        tags,
    };
    Member {
        instance: Arc::new(instance),
        weight: peer.weight,
        priority: peer.priority,
        locality: Arc::clone(&peer.locality),
    }
}

/// What Istio says of the workload, as tags that rules select by; and where it runs.
fn tags(peer: &Peer) -> Tags {
    let mut tags = Tags::new();
    for (name, value) in PARTS.into_iter().zip(peer.workload.iter().flat_map(|it| it.split(';'))) {
        if !value.is_empty() {
            tags.insert(name.into(), value.into());
        }
    }
    for (name, value) in [("region", &peer.locality.region), ("zone", &peer.locality.zone)] {
        if !value.is_empty() {
            tags.insert(name.into(), Arc::clone(value));
        }
    }
    tags
}

/// `v2` is version 2; what is no number is 0.
fn version(text: &str) -> Version {
    text.trim_start_matches(|c: char| c.is_ascii_alphabetic()).parse().unwrap_or_default()
}
