//! What services and tenants are called.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

/// A registry of its own: a domain and a project in it. They see nothing of each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tenant {
    /// From the header `X-Domain-Name`; `default` without it.
    pub domain: String,
    /// From the path.
    pub project: String,
}

impl Tenant {
    /// The tenant of clients that name none.
    pub fn standard() -> Self {
        Self { domain: "default".into(), project: "default".into() }
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.domain, self.project)
    }
}

/// What all versions of a service share, within a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceName {
    /// The environment, often empty.
    pub environment: String,
    /// The application.
    pub app: String,
    /// The service.
    pub service: String,
}

impl ServiceName {
    /// A name of its parts.
    pub fn new(environment: &str, app: &str, service: &str) -> Self {
        Self { environment: environment.into(), app: app.into(), service: service.into() }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.environment, self.app, self.service)
    }
}

/// The id of a service whose client did not choose one. It depends on the name and version alone,
/// so that a client finds its service again in an empty registry. The bytes that are hashed are
/// those that make the ids of recorded exchanges.
pub fn service_id(tenant: &Tenant, name: &ServiceName, version: &str) -> String {
    hex(&Sha1::digest(format!("/cse-sr/ms/indexes/{tenant}/{name}/{version}")))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_that_were_recorded() {
        let tenant =
            |domain: &str, project: &str| Tenant { domain: domain.into(), project: project.into() };
        let orders = ServiceName::new("", "shop", "orders");
        let production = ServiceName::new("production", "shop", "orders");
        for (tenant, name, id) in [
            (Tenant::standard(), &orders, "dd895697fd75473f399b8e1183141c345afbaa62"),
            (Tenant::standard(), &production, "d5ee65f38e5bac58b1de83e9d0392e133ff09830"),
            (tenant("default", "other"), &orders, "232eb67e8b7dfc5e017a294d6bdc723aad6744ec"),
            (tenant("other", "default"), &orders, "b09b6ffb693867fcbb7e98907303118377672c61"),
        ] {
            assert_eq!(service_id(&tenant, name, "1.0.0"), id, "{tenant} {name}");
        }
    }
}
