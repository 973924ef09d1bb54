//! One call: whom, and with which headers.

use std::net::Ipv6Addr;

use hyper::header::{HeaderName, HeaderValue};

use crate::context;

/// The port of a call that names none: where this program listens if it is told nothing.
const DEFAULT_PORT: u16 = 8080;

/// A call as the URL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// A name or an address; an IPv6 address stands in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What `[name=value]` adds to the request, in this order.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why some text is no call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nothing where a host should be.
    #[error("no host: write HOST or HOST:PORT between the separators | and ,")]
    NoHost,
    /// A host that cannot be one.
    #[error("{0:?} is no host: letters, digits, '-', '_' and '.', or an IPv6 address in [ ]")]
    Host(String),
    /// A port that cannot be one.
    #[error("{0:?} is no port: a number from 1 to 65535")]
    Port(String),
    /// Brackets that hold no header.
    #[error("{0:?} is no header: write [NAME=VALUE]; the value holds no '/', '|', ',' and ']'")]
    Header(String),
    /// A header that is not the URL's to set.
    #[error("the header {0:?} belongs to the connection and cannot be set")]
    ReservedHeader(String),
}

impl Call {
    /// Reads one call, percent-decoded.
    pub(super) fn parse(text: &str) -> Result<Self, CallError> {
        let (host, rest) = host(text)?;
        let (port, headers) = match rest.strip_prefix(':') {
            Some(rest) => {
                let end = rest.find('[').unwrap_or(rest.len());
                (port(&rest[..end])?, &rest[end..])
            }
            None => (DEFAULT_PORT, rest),
        };
        Ok(Self { host: host.to_owned(), port, headers: read_headers(headers)? })
    }

    /// Host and port, as a URL has them.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// The host at the beginning, and what follows.
fn host(text: &str) -> Result<(&str, &str), CallError> {
    let wrong = || CallError::Host(text.to_owned());
    if let Some(inside) = text.strip_prefix('[') {
        let (address, _) = inside.split_once(']').ok_or_else(wrong)?;
        address.parse::<Ipv6Addr>().map_err(|_| wrong())?;
        let (host, rest) = text.split_at(address.len() + 2);
        return if rest.is_empty() || rest.starts_with([':', '[']) {
            Ok((host, rest))
        } else {
            Err(wrong())
        };
    }
    let (host, rest) = text.split_at(text.find([':', '[']).unwrap_or(text.len()));
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match host {
        "" => Err(CallError::NoHost),
        _ if host.bytes().all(allowed) => Ok((host, rest)),
        _ => Err(CallError::Host(host.to_owned())),
    }
}

fn port(text: &str) -> Result<u16, CallError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port @ 1..) if digits => Ok(port),
        _ => Err(CallError::Port(text.to_owned())),
    }
}

fn read_headers(mut text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, CallError> {
    let mut headers = Vec::new();
    while !text.is_empty() {
        let wrong = || CallError::Header(text.to_owned());
        let (header, rest) =
            text.strip_prefix('[').and_then(|text| text.split_once(']')).ok_or_else(wrong)?;
        let (name, value) = header.split_once('=').ok_or_else(wrong)?;
        let name: HeaderName = name.parse().map_err(|_| wrong())?;
        if context::is_reserved(&name) {
            return Err(CallError::ReservedHeader(name.to_string()));
        }
        headers.push((name, HeaderValue::from_str(value).map_err(|_| wrong())?));
        text = rest;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Result<String, CallError> {
        let call = Call::parse(text)?;
        let mut told = vec![call.authority()];
        told.extend(
            call.headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())),
        );
        Ok(told.join(" "))
    }

    #[test]
    fn calls() {
        let table = [
            ("a", "a:8080"),
            ("a.b_c-1:65535", "a.b_c-1:65535"),
            ("10.0.0.1:81", "10.0.0.1:81"),
            ("[::1]", "[::1]:8080"),
            ("[::1]:81[x=1]", "[::1]:81 x=1"),
            ("[::1][x=1]", "[::1]:8080 x=1"),
            ("a[end-user=jason]", "a:8080 end-user=jason"),
            ("a:81[X-Y=1][x-y=2][z=]", "a:81 x-y=1 x-y=2 z="),
            ("a[x=b=c:d [e]", "a:8080 x=b=c:d [e"),
        ];
        for (text, call) in table {
            assert_eq!(told(text).as_deref(), Ok(call), "{text}");
        }
    }

    #[test]
    fn what_is_none_says_why() {
        use CallError::{Header, Host, NoHost, Port, ReservedHeader};
        let table = [
            ("", NoHost),
            (":80", NoHost),
            ("a b", Host("a b".into())),
            ("user@a", Host("user@a".into())),
            ("ä", Host("ä".into())),
            ("[::1", Host("[::1".into())),
            ("[::g]", Host("[::g]".into())),
            ("[::1]x", Host("[::1]x".into())),
            ("a:", Port(String::new())),
            ("a:0", Port("0".into())),
            ("a:+1", Port("+1".into())),
            ("a:65536", Port("65536".into())),
            ("a[x]", Header("[x]".into())),
            ("a[x=1", Header("[x=1".into())),
            ("a[=1]", Header("[=1]".into())),
            ("a[x=1]y", Header("y".into())),
            ("a[x=\n]", Header("[x=\n]".into())),
            ("a[Transfer-Encoding=chunked]", ReservedHeader("transfer-encoding".into())),
            ("a[host=b]", ReservedHeader("host".into())),
        ];
        for (text, error) in table {
            assert_eq!(told(text), Err(error), "{text}");
        }
    }
}
