//! Where services are learned of, and how that is spoken to.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where services are learned of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovery {
    /// ServiceComb service-center.
    ServiceCenter(ServiceCenter),
    /// Istio.
    Pilot(Pilot),
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
