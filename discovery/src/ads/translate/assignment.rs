//! Endpoints (EDS).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::{
    HealthStatus, Locality as WireLocality, SocketAddress, address::Address as WireAddress,
    socket_address::PortSpecifier,
};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, LbEndpoint, lb_endpoint::HostIdentifier,
};
use mesh::{Locality, Status};

use super::{Invalid, Unsupported, text};

/// Which endpoints a cluster has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// What clusters call it.
    pub cluster: Arc<str>,
    /// In the order of the resource, which tells nothing.
    pub peers: Vec<Peer>,
    /// What has no place in the model.
    pub unsupported: Vec<Arc<str>>,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Where it is.
    pub address: Address,
    /// Whether it takes requests.
    pub status: Status,
    /// Its share, at least 1.
    pub weight: u32,
    /// Of the group it is in; a lower one is preferred.
    pub priority: u32,
    /// Where it runs.
    pub locality: Arc<Locality>,
    /// `name;namespace;service;revision;cluster`, as Istio describes a workload.
    pub workload: Option<Arc<str>>,
    /// Whether it speaks Istio's mutual TLS.
    pub mutual_tls: bool,
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// At an address.
    Known(SocketAddr),
    /// Wherever the resolver says; only in clusters that say so.
    Name(Arc<str>, u16),
}

impl Assignment {
    /// Reads a resource.
    pub fn of(message: &ClusterLoadAssignment) -> Result<Self, Invalid> {
        if message.cluster_name.is_empty() {
            return Err(Invalid::new("cluster_name", "is empty"));
        }
        Self::peers(message)
    }

    /// The same within a cluster, where it needs no name.
    pub(super) fn peers(message: &ClusterLoadAssignment) -> Result<Self, Invalid> {
        let mut unsupported = Unsupported::default();
        let drops = message.policy.as_ref().is_some_and(|policy| !policy.drop_overloads.is_empty());
        unsupported.note_if(drops, "policy.drop_overloads");
        let mut peers = Vec::new();
        for (at, group) in message.endpoints.iter().enumerate() {
            unsupported.note_if(group.lb_config.is_some(), "endpoints.lb_config");
            let locality = locality(group.locality.as_ref());
            for (index, endpoint) in group.lb_endpoints.iter().enumerate() {
                let field = || format!("endpoints[{at}].lb_endpoints[{index}]");
                let address = address(endpoint, &mut unsupported)
                    .map_err(|invalid| invalid.within(&field()))?;
                let Some(address) = address else { continue };
                peers.push(Peer {
                    address,
                    status: status(endpoint),
                    weight: endpoint.load_balancing_weight.map_or(1, |weight| weight.value).max(1),
                    priority: group.priority,
                    locality: Arc::clone(&locality),
                    workload: metadata(endpoint, "istio", "workload").map(Into::into),
                    mutual_tls: metadata(endpoint, "envoy.transport_socket_match", "tlsMode")
                        == Some("istio"),
                });
            }
        }
        Ok(Self {
            cluster: message.cluster_name.as_str().into(),
            peers,
            unsupported: unsupported.0,
        })
    }
}

fn locality(wire: Option<&WireLocality>) -> Arc<Locality> {
    let text = |of: fn(&WireLocality) -> &String| wire.map(of).map_or("", String::as_str).into();
    Arc::new(Locality {
        region: text(|wire| &wire.region),
        zone: text(|wire| &wire.zone),
        sub_zone: text(|wire| &wire.sub_zone),
    })
}

/// What the control plane says of its health; where it says nothing, it is well.
fn status(endpoint: &LbEndpoint) -> Status {
    match endpoint.health_status() {
        HealthStatus::Unknown | HealthStatus::Healthy | HealthStatus::Degraded => Status::Up,
        HealthStatus::Draining => Status::OutOfService,
        HealthStatus::Unhealthy | HealthStatus::Timeout => Status::Down,
    }
}

fn metadata<'a>(endpoint: &'a LbEndpoint, filter: &str, name: &str) -> Option<&'a str> {
    text(endpoint.metadata.as_ref()?.filter_metadata.get(filter)?, name)
}

/// Where it is; `None` where that is nowhere a connection could be made to from here.
fn address(
    endpoint: &LbEndpoint,
    unsupported: &mut Unsupported,
) -> Result<Option<Address>, Invalid> {
    let endpoint = match &endpoint.host_identifier {
        Some(HostIdentifier::Endpoint(endpoint)) => endpoint,
        Some(HostIdentifier::EndpointName(_)) => {
            unsupported.note("endpoints.endpoint_name");
            return Ok(None);
        }
        None => return Err(Invalid::new("endpoint", "is missing")),
    };
    let address = endpoint.address.as_ref().and_then(|address| address.address.as_ref());
    match address {
        Some(WireAddress::SocketAddress(socket)) => socket_address(socket).map(Some),
        Some(WireAddress::Pipe(_)) => {
            unsupported.note("endpoint.address.pipe");
            Ok(None)
        }
        Some(WireAddress::EnvoyInternalAddress(_)) => {
            unsupported.note("endpoint.address.envoy_internal_address");
            Ok(None)
        }
        None => Err(Invalid::new("endpoint.address", "is missing")),
    }
}

fn socket_address(socket: &SocketAddress) -> Result<Address, Invalid> {
    let port = match &socket.port_specifier {
        Some(PortSpecifier::PortValue(port)) => u16::try_from(*port).ok().filter(|port| *port > 0),
        Some(PortSpecifier::NamedPort(_)) | None => None,
    };
    let wrong = |field: &str, reason| {
        Err(Invalid::new(format!("endpoint.address.socket_address.{field}"), reason))
    };
    let Some(port) = port else { return wrong("port_value", "is no port from 1 to 65535") };
    match socket.address.parse::<IpAddr>() {
        Ok(ip) => Ok(Address::Known(SocketAddr::new(ip, port))),
        Err(_) if socket.address.is_empty() => wrong("address", "is empty"),
        Err(_) => Ok(Address::Name(socket.address.as_str().into(), port)),
    }
}
