//! One running copy of a service, and where it can be reached.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::service::Tags;
use crate::version::Version;

/// What an instance is called by its source; the same as long as it lives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub Arc<str>);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.1; `rest` in service-center.
    Rest,
    /// gRPC, over HTTP/2.
    Grpc,
}

impl Protocol {
    /// The word service-center knows it by, the scheme of an endpoint.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Grpc => "grpc",
        }
    }
}

/// What an instance says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Status {
    /// Takes requests. service-center's status can be lost; then it counts as this.
    #[default]
    Up,
    /// Says that it takes none.
    Down,
    /// Not yet.
    Starting,
    /// For testers.
    Testing,
    /// Taken out by an operator.
    OutOfService,
}

impl Status {
    /// Whether requests may go there.
    pub const fn serves(self) -> bool {
        matches!(self, Self::Up | Self::Testing)
    }

    /// The word service-center knows it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "UP",
            Self::Down => "DOWN",
            Self::Starting => "STARTING",
            Self::Testing => "TESTING",
            Self::OutOfService => "OUTOFSERVICE",
        }
    }
}

/// Where an instance takes requests of one protocol.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// What is spoken there.
    pub protocol: Protocol,
    /// Where; sources give addresses, never names to be looked up.
    pub address: SocketAddr,
    /// Whether TLS is spoken below it (`?sslEnabled=true` in service-center).
    pub tls: bool,
    /// The port of the service it belongs to, where a service's ports have endpoints of their own
    /// (Istio); `None` where the port travels with the request instead (service-center).
    pub service_port: Option<u16>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.protocol.as_str(), self.address)?;
        if self.tls { f.write_str("?sslEnabled=true") } else { Ok(()) }
    }
}

/// One running copy of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name in the source.
    pub id: InstanceId,
    /// Its version; a source's unreadable one counts as 0.
    pub version: Version,
    /// What it says of itself.
    pub status: Status,
    /// Where it takes requests, in the source's order.
    pub endpoints: Vec<Endpoint>,
    /// What rules select by: properties of service and instance, labels of a pod.
    pub tags: Tags,
}
