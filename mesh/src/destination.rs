//! Whom a request is for.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Host and port as a URL or a Host header names them. The host is as written: service names have
/// case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    /// Without the brackets of an IPv6 address.
    pub host: &'a str,
    /// Where one was named.
    pub port: Option<u16>,
}

/// Why a text names no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadAuthority {
    /// There is no host.
    Empty,
    /// A host has a character that none may have, or is no address within its brackets.
    Host,
    /// The port is no number from 1 to 65535.
    Port,
    /// It carries a user: `user@host`.
    User,
}

impl fmt::Display for BadAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no host is named",
            Self::Host => "the host has a character that none may have",
            Self::Port => "the port is no number from 1 to 65535",
            Self::User => "a user stands before the host",
        })
    }
}

impl<'a> Authority<'a> {
    /// Reads `host`, `host:port`, `[address]` or `[address]:port`.
    ///
    /// ```
    /// use mesh::Authority;
    /// let authority = Authority::parse("ServiceB:8080").unwrap();
    /// assert_eq!((authority.host, authority.port), ("ServiceB", Some(8080)));
    /// assert_eq!(Authority::parse("[::1]").unwrap().host, "::1");
    /// assert!(Authority::parse("a b").is_err());
    /// ```
    pub fn parse(text: &'a str) -> Result<Self, BadAuthority> {
        if text.contains('@') {
            return Err(BadAuthority::User);
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or(BadAuthority::Host)?;
            host.parse::<Ipv6Addr>().map_err(|_| BadAuthority::Host)?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(BadAuthority::Host),
            }
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.is_empty() {
            return Err(BadAuthority::Empty);
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
        if !host.bytes().all(plain) {
            return Err(BadAuthority::Host);
        }
        let port = match port {
            // RFC 3986 allows a colon without a port.
            None | Some("") => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                let number = digits.parse().ok().filter(|n| *n > 0);
                Some(number.ok_or(BadAuthority::Port)?)
            }
            Some(_) => return Err(BadAuthority::Port),
        };
        Ok(Self { host, port })
    }

    /// Whether the host is an address rather than a name.
    pub fn is_address(&self) -> bool {
        self.host.parse::<Ipv4Addr>().is_ok() || self.host.parse::<Ipv6Addr>().is_ok()
    }
}

/// What goes on to where it says although no source claims it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Passthrough {
    /// Addresses and names with a dot: what lies outside of the mesh.
    #[default]
    External,
    /// Single words too: whatever the resolver knows.
    All,
    /// Nothing but what [`crate::Egress`] names.
    None,
}

/// What becomes of a host that no source claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unclaimed {
    /// It is sent where it says.
    PassThrough,
    /// It is taken for a service that has no instance.
    NoInstance,
    /// It is not let out.
    Denied,
}

/// Decides about a host that no source claims and no egress rule names. A name that a source has
/// ever claimed does not come here: it never leaves the mesh by accident.
pub fn ungoverned(authority: &Authority<'_>, policy: Passthrough) -> Unclaimed {
    let external = authority.is_address() || authority.host.contains('.');
    match policy {
        Passthrough::All => Unclaimed::PassThrough,
        Passthrough::External if external => Unclaimed::PassThrough,
        Passthrough::None if external => Unclaimed::Denied,
        Passthrough::External | Passthrough::None => Unclaimed::NoInstance,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Authority, BadAuthority, Passthrough, Unclaimed, ungoverned};

    #[test]
    fn authorities() {
        for (text, host, port) in [
            ("ServiceB", "ServiceB", None),
            ("a_b-c.d:1", "a_b-c.d", Some(1)),
            ("10.0.0.1:65535", "10.0.0.1", Some(65535)),
            ("[fe80::1]:80", "fe80::1", Some(80)),
            ("host:", "host", None),
        ] {
            assert_eq!(Authority::parse(text), Ok(Authority { host, port }), "{text}");
        }
        for (text, wrong) in [
            ("", BadAuthority::Empty),
            (":80", BadAuthority::Empty),
            ("a:0", BadAuthority::Port),
            ("a:65536", BadAuthority::Port),
            ("a:+1", BadAuthority::Port),
            ("a:1:2", BadAuthority::Port),
            ("u:p@a", BadAuthority::User),
            ("a/b", BadAuthority::Host),
            ("a%41", BadAuthority::Host),
            ("[::1", BadAuthority::Host),
            ("[::1]x", BadAuthority::Host),
            ("[a]", BadAuthority::Host),
            ("bücher", BadAuthority::Host),
        ] {
            assert_eq!(Authority::parse(text), Err(wrong), "{text}");
        }
    }

    #[test]
    fn what_no_source_claims() {
        use Passthrough::{All, External, None};
        use Unclaimed::{Denied, NoInstance, PassThrough};
        for (host, external, all, none) in [
            ("ServiceB", NoInstance, PassThrough, NoInstance),
            ("example.com", PassThrough, PassThrough, Denied),
            ("10.0.0.1", PassThrough, PassThrough, Denied),
            ("[::1]", PassThrough, PassThrough, Denied),
        ] {
            let authority = Authority::parse(host).unwrap();
            let found = [External, All, None].map(|policy| ungoverned(&authority, policy));
            assert_eq!(found, [external, all, none], "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_is_in_it(text in "\\PC{0,40}") {
            if let Ok(authority) = Authority::parse(&text) {
                prop_assert!(text.contains(authority.host) && !authority.host.is_empty());
            }
        }
    }
}
