//! What the proxy is told, as typed values. Files, environment and flags are read once, at the
//! edge, and become this; nothing deeper knows that they exist.

mod application;
mod center;
mod discovery;
mod governance;
mod limits;
mod listeners;
mod logs;
mod reload;
mod tls;
mod tracing;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;

use mesh::{Egress, Passthrough};

pub use self::application::{HealthCheck, Identity, LocalPorts, Pod, ServicePort};
pub use self::center::{Center, CenterKind};
pub use self::discovery::{Account, DataCenter, Discovery, Pilot, ServiceCenter};
pub use self::governance::{Balancing, Fallback, Governance, LimitGroup, Mark, Terms, Zone};
pub use self::limits::Limits;
pub use self::listeners::{Admin, Listeners};
pub use self::logs::{AccessLog, Log, LogLevel, LogTarget};
pub use self::tls::{Tls, TlsVersion};
pub use self::tracing::{Export, SpanProtocol, Tracing};

/// Everything that is settled before the first listener opens.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Beside one application, or one for all of a host.
    pub mode: Mode,
    /// Who the application is.
    pub identity: Identity,
    /// Where requests are taken.
    pub listeners: Listeners,
    /// Which local ports the application serves.
    pub local: LocalPorts,
    /// What becomes of hosts that no source claims.
    pub passthrough: Passthrough,
    /// Hosts that may be called all the same.
    pub egress: Egress,
    /// What one request or connection may take.
    pub limits: Limits,
    /// Where services are learned of.
    pub discovery: Discovery,
    /// Where keys come from besides files; they win over files.
    pub center: Option<Center>,
    /// What TLS is made with, by the tags of `tls.yaml`; "" is what bare keys say. Who looks at
    /// which: [`crate::tls::tags`].
    pub tls: BTreeMap<String, Tls>,
    /// Whether the application is well; each turns the instance DOWN and UP.
    pub health_checks: Vec<HealthCheck>,
    /// The page and what it needs.
    pub admin: Admin,
    /// How header names are written to HTTP/1 peers.
    pub header_case: HeaderCase,
    /// Threads that carry traffic; `None`: by the CPU quota, one to four, two without one.
    pub workers: Option<NonZeroUsize>,
    /// How requests are governed.
    pub governance: Governance,
    /// What `router.yaml` says of services, by their names, as it is shown on the admin port.
    pub route_rules: BTreeMap<String, RouteRules>,
    /// Which requests are traced; `None`: none.
    pub tracing: Option<Tracing>,
    /// What is written to standard error.
    pub log: Log,
    /// What is written of each request, if anything.
    pub access_log: AccessLog,
}

/// The rules of one service in the order written, as `router.yaml` spells them.
pub type RouteRules = Vec<serde_json::Value>;

/// `--mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Consumer side on loopback, provider side on the pod's addresses.
    #[default]
    Sidecar,
    /// One listener, consumer side only, for everybody on the host.
    PerHost,
}

/// `headerCase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeaderCase {
    /// As HTTP/2 and Envoy have them.
    #[default]
    Lower,
    /// `Title-Case`, for peers that take case seriously.
    Title,
}

/// The HTTP port of the provider side where no consumer side names one.
const HTTP: u16 = 30101;

impl Settings {
    /// Where others reach the application through us; none where only requests are made. An
    /// address that is the consumer side's can't be the provider side's too.
    pub fn provider_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let port = self.listeners.http.map_or(HTTP, |address| address.port());
        self.beside(self.listeners.http, port)
    }

    /// The same for gRPC; none where that is off.
    pub fn grpc_provider_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let consumer = self.listeners.grpc;
        consumer.into_iter().flat_map(move |address| self.beside(consumer, address.port()))
    }

    fn beside(
        &self,
        consumer: Option<SocketAddr>,
        port: u16,
    ) -> impl Iterator<Item = SocketAddr> + use<'_> {
        let sidecar = self.mode == Mode::Sidecar;
        let taken = consumer.map(|address| address.ip());
        let others = self.listeners.addresses.iter();
        let others = others.filter(move |ip| sidecar && Some(**ip) != taken);
        others.map(move |ip| SocketAddr::new(*ip, port))
    }
}

impl Default for Settings {
    /// What `mesher` does without any file: consumer side only, service-center on this host.
    fn default() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            mode: Mode::Sidecar,
            identity: Identity {
                app: "default".to_owned(),
                service: "mesher".to_owned(),
                version: "0.0.1".to_owned(),
                environment: String::new(),
                host: String::new(),
                pod: None,
                instance_properties: BTreeMap::new(),
                service_properties: BTreeMap::new(),
            },
            listeners: Listeners {
                http: Some(SocketAddr::new(loopback, 30101)),
                grpc: Some(SocketAddr::new(loopback, 40101)),
                addresses: Vec::new(),
                advertise_http: None,
                advertise_grpc: None,
                admin_port: 30102,
            },
            local: LocalPorts::default(),
            passthrough: Passthrough::default(),
            egress: Egress::default(),
            limits: Limits::default(),
            discovery: Discovery::ServiceCenter(ServiceCenter::default()),
            center: None,
            tls: BTreeMap::new(),
            health_checks: Vec::new(),
            admin: Admin::default(),
            header_case: HeaderCase::default(),
            workers: None,
            governance: Governance::default(),
            route_rules: BTreeMap::new(),
            tracing: None,
            log: Log::default(),
            access_log: AccessLog::default(),
        }
    }
}
