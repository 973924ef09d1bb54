//! Where we listen.

use std::net::{IpAddr, SocketAddr};

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
