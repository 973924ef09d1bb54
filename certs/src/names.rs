//! The names a server's certificate carries.

use std::net::IpAddr;

use rcgen::SanType;
use rustls::pki_types::ServerName;

use crate::error::Error;

/// DNS names and IP addresses for `subjectAltName`, in order, without repetition.
///
/// ```
/// let names = certs::Names::of_service("sidecar-injector", "mesher-system")?
///     .with_url("https://127.0.0.1:9443/mutate")?;
/// assert_eq!(
///     names.to_vec(),
///     [
///         "sidecar-injector",
///         "sidecar-injector.mesher-system",
///         "sidecar-injector.mesher-system.svc",
///         "sidecar-injector.mesher-system.svc.cluster.local",
///         "127.0.0.1",
///     ]
/// );
/// # Ok::<(), certs::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names(Vec<ServerName<'static>>);

impl Names {
    /// The names under which a Service is reached inside a cluster. The API server asks for
    /// `<service>.<namespace>.svc`.
    pub fn of_service(service: &str, namespace: &str) -> Result<Self, Error> {
        Self::default()
            .with(service)?
            .with(&format!("{service}.{namespace}"))?
            .with(&format!("{service}.{namespace}.svc"))?
            .with(&format!("{service}.{namespace}.svc.cluster.local"))
    }

    /// Adds a DNS name or an IP address.
    pub fn with(mut self, name: &str) -> Result<Self, Error> {
        let parsed = ServerName::try_from(name.to_owned())
            .map_err(|_| Error::Name { name: name.to_owned() })?;
        if !self.0.contains(&parsed) {
            self.0.push(parsed);
        }
        Ok(self)
    }

    /// Adds the host of a URL such as `https://127.0.0.1:9443/mutate`.
    pub fn with_url(self, url: &str) -> Result<Self, Error> {
        self.with(host(url))
    }

    /// The names as text.
    pub fn to_vec(&self) -> Vec<String> {
        self.0.iter().map(|name| name.to_str().into_owned()).collect()
    }

    /// Whether there is no name at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, typed.
    pub fn iter(&self) -> impl Iterator<Item = &ServerName<'static>> {
        self.0.iter()
    }

    pub(crate) fn to_san(&self) -> Result<Vec<SanType>, Error> {
        self.0
            .iter()
            .map(|name| {
                Ok(match name {
                    ServerName::IpAddress(ip) => SanType::IpAddress(IpAddr::from(*ip)),
                    other => SanType::DnsName(other.to_str().as_ref().try_into()?),
                })
            })
            .collect()
    }
}

/// The host of `url`: what lies between `//` (and a user's name) and port, path, query or end.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((ipv6, _)) => ipv6,
        None => host.split_once(':').map_or(host, |(host, _)| host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url() {
        for (url, expected) in [
            ("https://127.0.0.1:9443/mutate", "127.0.0.1"),
            ("https://[::1]:9443/mutate", "::1"),
            ("https://injector.example:443?x=/y", "injector.example"),
            ("https://user@injector.example", "injector.example"),
            ("injector.example", "injector.example"),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
    }

    #[test]
    fn an_address_becomes_an_ip_san() {
        let san = Names::default().with("127.0.0.1").and_then(|n| n.with("::1"));
        let san = san.and_then(|n| n.with("a.b")).and_then(|n| n.to_san()).expect("names");
        assert!(matches!(
            san.as_slice(),
            [
                SanType::IpAddress(IpAddr::V4(_)),
                SanType::IpAddress(IpAddr::V6(_)),
                SanType::DnsName(_)
            ]
        ));
    }

    #[test]
    fn names_are_checked_and_not_repeated() {
        assert!(Names::default().with("not a name").is_err());
        assert!(Names::default().with_url("https:///mutate").is_err());
        let twice = Names::default().with("a.b").and_then(|n| n.with("a.b")).expect("names");
        assert_eq!(twice.to_vec(), ["a.b"]);
    }
}
