//! `servicePorts`: which of the pod's ports serve which protocol.

use std::collections::BTreeSet;
use std::fmt;

/// Ports the sidecar listens on: HTTP, gRPC, admin.
pub const SIDECAR_PORTS: [u16; 3] = [30101, 40101, 30102];

/// The value of `sidecar.mesher.io/servicePorts`, in the order written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePorts(Vec<(String, u16)>);

impl ServicePorts {
    /// Reads `proto[-suffix]:port[,…]` with proto `rest`, `http` or `grpc`.
    ///
    /// ```
    /// use injector::ports::ServicePorts;
    /// let ports = ServicePorts::parse("rest:8080, grpc-internal:9000").unwrap();
    /// assert_eq!(ports.to_string(), "rest:8080,grpc-internal:9000");
    /// assert!(ServicePorts::parse("rest").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut ports = Vec::new();
        let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
        for item in text.split(',').map(str::trim) {
            let Some((name, number)) = item.split_once(':') else {
                return Err(format!("\"{item}\" is not of the form protocol:port"));
            };
            let (protocol, suffix) = name.split_once('-').unwrap_or((name, "x"));
            if !matches!(protocol, "rest" | "http" | "grpc") {
                return Err(format!("\"{protocol}\" is not a protocol: use rest, http or grpc"));
            }
            if suffix.is_empty() || !suffix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            {
                return Err(format!("\"{name}\": a suffix has letters, digits and hyphens"));
            }
            let digits = number.bytes().all(|b| b.is_ascii_digit());
            let port = match number.parse::<u16>() {
                Ok(port) if port > 0 && digits => port,
                _ => return Err(format!("\"{number}\" is not a port: use 1 to 65535")),
            };
            if SIDECAR_PORTS.contains(&port) {
                return Err(format!("port {port} is the sidecar's own"));
            }
            if !names.insert(name.to_owned()) {
                return Err(format!("\"{name}\" stands twice: add a suffix, as in {name}-admin"));
            }
            if !numbers.insert(port) {
                return Err(format!("port {port} stands twice"));
            }
            ports.push((name.to_owned(), port));
        }
        Ok(Self(ports))
    }
}

impl fmt::Display for ServicePorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, port)) in self.0.iter().enumerate() {
            write!(f, "{}{name}:{port}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::ServicePorts;

    #[test]
    fn accepts_the_seed_and_normalises_blanks() {
        for (text, normal) in [
            ("rest:9999", "rest:9999"),
            (" rest:8080 ,rest-admin:8081, grpc:9000", "rest:8080,rest-admin:8081,grpc:9000"),
            ("http:3000", "http:3000"),
        ] {
            assert_eq!(ServicePorts::parse(text).unwrap().to_string(), normal);
        }
    }

    #[test]
    fn refuses_with_the_reason() {
        for (text, reason) in [
            ("", "form protocol:port"),
            ("rest", "form protocol:port"),
            ("rest:", "not a port"),
            ("rest:0", "not a port"),
            ("rest:65536", "not a port"),
            ("rest:+80", "not a port"),
            ("rest:80:90", "not a port"),
            ("tcp:80", "use rest, http or grpc"),
            ("Rest:80", "use rest, http or grpc"),
            ("rest-:80", "a suffix"),
            ("rest-a b:80", "a suffix"),
            ("rest:80,rest:81", "stands twice: add a suffix"),
            ("rest:80,http:80", "port 80 stands twice"),
            ("rest:80,", "form protocol:port"),
            ("rest:30101", "the sidecar's own"),
        ] {
            let found = ServicePorts::parse(text).unwrap_err();
            assert!(found.contains(reason), "{text}: {found}");
        }
    }
}
