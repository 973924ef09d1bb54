//! What the proxy is told, as typed values. Files, environment and flags are read once, at the
//! edge, and become this; nothing deeper knows that they exist.

mod governance;
mod tracing;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use discovery::center::ApiVersion;
use mesh::{Egress, Passthrough, Protocol};

pub use self::governance::{Balancing, Fallback, Governance, LimitGroup, Mark, Terms, Zone};
pub use self::tracing::{Export, SpanProtocol, Tracing};
use crate::tls::tags::Use;

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

/// Who the application is, to the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The application (`appId`) in service-center, the namespace in Kubernetes.
    pub app: String,
    /// The service's name, as it was given.
    pub service: String,
    /// Its version, as it was given.
    pub version: String,
    /// `development`, `testing`, `acceptance`, `production` or empty.
    pub environment: String,
    /// What the instance is called: the pod, or the host; empty where nobody said.
    pub host: String,
    /// The pod, where there is one.
    pub pod: Option<Pod>,
    /// `instance_properties` and what the environment adds to them.
    pub instance_properties: BTreeMap<String, String>,
    /// `properties` of the service.
    pub service_properties: BTreeMap<String, String>,
}

/// What the downward API says of the pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pod {
    /// `POD_NAME`.
    pub name: String,
    /// `POD_NAMESPACE`.
    pub namespace: String,
    /// `POD_UID`.
    pub uid: String,
    /// `NODE_NAME`, where known.
    pub node: String,
    /// `HOSTING_SERVER_IP`, where known.
    pub node_ip: String,
    /// `SERVICE_ACCOUNT`, where known.
    pub service_account: String,
    /// From `/etc/mesher/podinfo/labels`.
    pub labels: BTreeMap<String, String>,
}

/// Where requests are taken. Loopback is the consumer side; each other address the provider side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listeners {
    /// HTTP on loopback, for the application. `None`: provider only.
    pub http: Option<SocketAddr>,
    /// gRPC on loopback. `None`: off.
    pub grpc: Option<SocketAddr>,
    /// The addresses of the pod (`INSTANCE_IPS`), where the provider side listens and what is
    /// advertised. Empty: consumer only.
    pub addresses: Vec<IpAddr>,
    /// What is advertised for HTTP instead of `addresses` (`advertiseAddress`).
    pub advertise_http: Option<SocketAddr>,
    /// What is advertised for gRPC instead of `addresses`.
    pub advertise_grpc: Option<SocketAddr>,
    /// Health, metrics and admin: bound on each of `addresses` and on loopback.
    pub admin_port: u16,
}

/// One entry of `SERVICE_PORTS`: `protocol[-suffix]:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// What is spoken there; `http` is another word for `rest`.
    pub protocol: Protocol,
    /// The whole name, as in `rest-admin`.
    pub name: String,
    /// Where.
    pub port: u16,
}

/// The ports of the application.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalPorts {
    /// `SERVICE_PORTS`, in the order written.
    pub service: Vec<ServicePort>,
    /// `APP_PORTS`: what the pod declares.
    pub app: Vec<u16>,
}

/// What one request or connection may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head.
    pub header_bytes: usize,
    /// Header fields of a message.
    pub header_fields: usize,
    /// Bytes of a request body; `None`: any.
    pub body_bytes: Option<u64>,
    /// To read a request head, from its first byte.
    pub header_timeout: Duration,
    /// A kept-alive connection without a request, on either side.
    pub idle_timeout: Duration,
    /// To connect to an instance.
    pub connect_timeout: Duration,
    /// To make a TLS session, on either side.
    pub handshake_timeout: Duration,
    /// From a request, or what came last of its body, to the end of its response's head. A gRPC call
    /// has instead what its client says in `grpc-timeout`, to its very end.
    pub request_timeout: Duration,
    /// A response on its way, without a byte in either direction.
    pub body_timeout: Duration,
    /// A tunnel (CONNECT, or a connection that was upgraded) without a byte in either direction.
    pub tunnel_timeout: Duration,
    /// From SIGTERM to the end of what is in flight.
    pub drain_timeout: Duration,
    /// Downstream connections at once.
    pub connections: usize,
    /// Idle upstream connections for each endpoint and worker.
    pub idle_upstream: usize,
    /// Requests under way at once on each side, of all services together; `None`: any number.
    pub in_flight: Option<usize>,
    /// Requests that wait for room at once, at each bound of what is under way.
    pub queue: usize,
    /// How long one waits.
    pub queue_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 64 << 10,
            header_fields: 100,
            body_bytes: None,
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(5),
            connect_timeout: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_mins(5),
            tunnel_timeout: Duration::from_hours(1),
            drain_timeout: Duration::from_secs(30),
            connections: 16_384,
            idle_upstream: 512,
            in_flight: None,
            queue: 1024,
            queue_timeout: Duration::from_millis(100),
        }
    }
}

/// Where services are learned of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovery {
    /// ServiceComb service-center.
    ServiceCenter(ServiceCenter),
    /// Istio.
    Pilot(Pilot),
}

/// A configuration center.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Center {
    /// What it is.
    pub kind: CenterKind,
    /// Base URLs, `http` or `https`, tried in order.
    pub addresses: Vec<String>,
    /// Whether it is to answer as soon as something changes, where it can.
    pub waits: bool,
    /// Between two questions, or until it has to answer one.
    pub interval: Duration,
    /// The project in the path.
    pub project: String,
}

/// Which configuration center.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CenterKind {
    /// ServiceComb kie.
    Kie,
    /// The one of the first generation.
    ConfigCenter {
        /// Where its API is.
        api: ApiVersion,
        /// `X-Tenant-Name`
        tenant: String,
        /// What is asked for instead of `SERVICE@APP#VERSION`.
        dimension: Option<String>,
    },
}

/// How service-center is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceCenter {
    /// Base URLs, `http` or `https`, tried in order.
    pub addresses: Vec<String>,
    /// `X-Domain-Name`.
    pub tenant: String,
    /// The project in the path.
    pub project: String,
    /// How often what is tracked is asked for.
    pub refresh_interval: Duration,
    /// Whether changes are also listened for.
    pub watch: bool,
    /// How often the instance says that it lives.
    pub heartbeat_interval: Duration,
    /// Whether service and instance are registered at all.
    pub register: bool,
    /// Whether other applications may find us (`scope: full`).
    pub allow_cross_app: bool,
    /// `account.name` and `account.password`, for RBAC.
    pub account: Option<Account>,
    /// Where the instance runs; peers of the same zone are preferred by the filter `zoneaware`.
    pub data_center: Option<DataCenter>,
}

/// Who speaks to a service-center that asks for it. `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// `account.name`
    pub name: String,
    /// `account.password`
    pub password: String,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}

/// `region.*`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataCenter {
    /// `region.name`
    pub name: String,
    /// `region.region`
    pub region: String,
    /// `region.availableZone`
    pub zone: String,
}

/// How istiod is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pilot {
    /// `host:port`.
    pub address: String,
    /// Whether TLS is spoken (15012).
    pub tls: bool,
    /// The certificates that istiod has to prove itself to then, PEM.
    pub roots: PathBuf,
    /// The token it is shown then.
    pub token: PathBuf,
}

impl Pilot {
    /// One at `host:port`, with the files where the injector mounts them: the ConfigMap
    /// `istio-ca-root-cert`, and a token for the audience `istio-ca`.
    pub fn at(address: impl Into<String>, tls: bool) -> Self {
        Self {
            address: address.into(),
            tls,
            roots: "/var/run/secrets/istio/root-cert.pem".into(),
            token: "/var/run/secrets/tokens/istio-token".into(),
        }
    }
}

/// One tag of `tls.yaml`, with what the more general tags say where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// The chain that is shown.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The file with the key's password, where it has one.
    pub password: Option<PathBuf>,
    /// Whom to trust.
    pub ca: Option<PathBuf>,
    /// Whether the peer has to prove who it is; `None`: nobody said, see
    /// [`Self::verifies_clients`] and [`Self::verifies_servers`].
    pub verify_peer: Option<bool>,
    /// The name expected of a server, where it is not the service's.
    pub server_name: Option<String>,
    /// The oldest version that is spoken.
    pub oldest_version: TlsVersion,
    /// What TLS 1.2 may use, by the names of its registry; empty: all that are safe.
    pub cipher_suites: Vec<String>,
}

impl Tls {
    /// As the server: clients are asked for a certificate only where that was said.
    pub fn verifies_clients(&self) -> bool {
        self.verify_peer == Some(true)
    }

    /// As the client: where there is a CA to verify servers with, that is done unless it was said
    /// not to be.
    pub fn verifies_servers(&self) -> bool {
        self.verify_peer.unwrap_or(self.ca.is_some())
    }
}

/// `protocol` of `tls.yaml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TlsVersion {
    /// And TLS 1.3.
    #[default]
    Tls12,
    /// Only this one.
    Tls13,
}

/// One entry of `localHealthCheck`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The port of the application.
    pub port: u16,
    /// GET this path; `None`: connect, no more.
    pub path: Option<String>,
    /// How often.
    pub interval: Duration,
    /// The status wanted; `None`: any.
    pub status: Option<u16>,
    /// A regular expression the body has to match; `None`: any.
    pub body: Option<String>,
}

/// The admin listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Admin {
    /// `admin.enable`: health and metrics answer whatever it says.
    pub enabled: bool,
    /// Whether more than loopback may see the page, drain and debug endpoints.
    pub public: bool,
    /// Where profiles are served (`pprof.listen`), if they are.
    pub pprof: Option<SocketAddr>,
}

/// What is written to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Log {
    /// The least urgent level that is written.
    pub level: LogLevel,
    /// One JSON object a line, instead of text for people.
    pub json: bool,
}

/// `mesher.accessLog`: a line for each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// Where lines go.
    pub to: LogTarget,
    /// One JSON object a line, instead of text for people.
    pub json: bool,
    /// Of a million requests, so many are logged however they end.
    pub sample: u32,
    /// Whether those that failed are logged whatever `sample` says.
    pub errors: bool,
    /// Whether what follows the `?` of a URL is shown; it may be what nobody else should know.
    pub query: bool,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { to: LogTarget::Off, json: false, sample: 1_000_000, errors: true, query: false }
    }
}

/// Where lines of the access log go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogTarget {
    /// There are none.
    #[default]
    Off,
    /// To standard output; all else goes to standard error.
    Stdout,
    /// To the end of a file, which may be moved away at any time: another one is begun then.
    File(PathBuf),
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// Only what is broken.
    Error,
    /// And what may break.
    Warn,
    /// And what changes.
    #[default]
    Info,
    /// And connections.
    Debug,
    /// And what libraries do.
    Trace,
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

    /// These settings as a running proxy can take them over, where it runs with `running`: what is
    /// read at the start only stays as it is, and its names are returned if it differs.
    pub fn taken_over(mut self, running: &Self) -> (Self, Vec<&'static str>) {
        fn keep<T: Clone + PartialEq>(
            name: &'static str,
            new: &mut T,
            running: &T,
            kept: &mut Vec<&'static str>,
        ) {
            if new != running {
                kept.push(name);
                new.clone_from(running);
            }
        }
        let mut kept = Vec::new();
        keep("mode", &mut self.mode, &running.mode, &mut kept);
        keep("identity", &mut self.identity, &running.identity, &mut kept);
        keep("listeners", &mut self.listeners, &running.listeners, &mut kept);
        keep("local ports", &mut self.local, &running.local, &mut kept);
        keep("discovery", &mut self.discovery, &running.discovery, &mut kept);
        keep("configuration center", &mut self.center, &running.center, &mut kept);
        keep("admin", &mut self.admin, &running.admin, &mut kept);
        keep("workers", &mut self.workers, &running.workers, &mut kept);
        keep("log", &mut self.log, &running.log, &mut kept);
        // A collector goes on knowing us as others do.
        if let (Some(new), Some(old)) = (&mut self.tracing, &running.tracing)
            && kept.contains(&"identity")
        {
            new.export.service.clone_from(&old.export.service);
            new.export.attributes.clone_from(&old.export.attributes);
        }
        // Which files, what they hold and whom they make us trust may change; that there is TLS is
        // what others were told when we registered.
        let fixed = [
            Use::ConsumerSide,
            Use::ProviderSide,
            Use::Admin,
            Use::ServiceCenter,
            Use::ConfigurationCenter,
        ];
        let speaks = |settings: &Self| fixed.map(|what| settings.tls_for(what).is_some());
        if speaks(&self) != speaks(running) {
            kept.push("whether TLS is spoken");
            self.tls.clone_from(&running.tls);
        }
        (self, kept)
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

impl Default for ServiceCenter {
    fn default() -> Self {
        Self {
            addresses: vec!["http://127.0.0.1:30100".to_owned()],
            tenant: "default".to_owned(),
            project: "default".to_owned(),
            refresh_interval: Duration::from_secs(30),
            watch: true,
            heartbeat_interval: Duration::from_secs(30),
            register: true,
            allow_cross_app: false,
            account: None,
            data_center: None,
        }
    }
}
