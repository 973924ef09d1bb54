//! Which headers go on, and what is added to them.

use std::cell::RefCell;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request;
use hyper::{HeaderMap, Version};

use super::Here;
use super::context;
use super::destination::Destination;
use crate::plan::{Address, Endpoint, Kind, Route};

/// The port of the application that the client asked for; only a proxy sets it.
pub(crate) const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
/// The host that the client asked for.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Which proxies a request has been through, so that none sees it twice.
pub(crate) const VIA: HeaderName = HeaderName::from_static("x-mesher-via");
/// What went wrong in a proxy, in one word.
pub(crate) const ERROR: HeaderName = HeaderName::from_static("x-mesher-error");

const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// The port that was written last: nearly always it is the next one too.
#[derive(Debug, Default)]
pub(crate) struct Ports(RefCell<Option<(u16, HeaderValue)>>);

impl Ports {
    fn text(&self, port: u16) -> HeaderValue {
        let mut last = self.0.borrow_mut();
        match &*last {
            Some((same, text)) if *same == port => text.clone(),
            _ => last.insert((port, HeaderValue::from(port))).1.clone(),
        }
    }
}

/// What an instance of a service, or a host outside of the mesh, is told.
pub(crate) fn for_instance(
    here: &Here<'_>,
    head: &mut request::Parts,
    route: &Route,
    destination: &Destination,
) {
    let marks = &here.worker.shared.marks;
    let present = Present::of(&head.headers);
    of_our_version(head, present);
    let headers = &mut head.headers;
    one_hop_on(headers, present);
    // Credentials for us are for nobody else.
    present.remove(headers, &[Watched::ProxyAuthorization, Watched::ForwardedPort]);
    // Where rules of the source decide, the next in line may be the application itself, which has no
    // use for what only a proxy of ours reads: see `for_peer`.
    if route.kind == Kind::Service && route.ruled.is_none() {
        context::write(headers, marks);
        headers.append(VIA, marks.via.clone());
        if let Some(port) = destination.port() {
            headers.insert(FORWARDED_PORT, here.worker.ports.text(port));
        }
    }
}

/// What a proxy of ours is told besides that was found beside an endpoint.
pub(crate) fn for_peer(here: &Here<'_>, head: &mut request::Parts, endpoint: &Endpoint) {
    let marks = &here.worker.shared.marks;
    context::write(&mut head.headers, marks);
    head.headers.append(VIA, marks.via.clone());
    if let Address::Known(address) = &endpoint.id.address {
        head.headers.insert(FORWARDED_PORT, here.worker.ports.text(address.port()));
    }
}

/// What the application behind us is told.
pub(crate) fn for_application(head: &mut request::Parts) {
    let present = Present::of(&head.headers);
    of_our_version(head, present);
    let headers = &mut head.headers;
    one_hop_on(headers, present);
    present.remove(headers, &[Watched::Via]);
    if !headers.contains_key(FORWARDED_HOST)
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(FORWARDED_HOST, host);
    }
}

/// Whatever version the client speaks, we speak ours (RFC 9110 §6.2), which has to name a host. Of
/// HTTP/1.0, the next in line would close after each answer, and take `TE` for a riddle.
fn of_our_version(head: &mut request::Parts, present: Present) {
    head.version = Version::HTTP_11;
    // RFC 9112 §3.2: where there is none to be named, it is empty.
    if !present.has(Watched::Host) {
        head.headers.insert(HOST, HeaderValue::from_static(""));
    }
}

/// Makes the headers of a request those of the next connection (RFC 9110 §7.6.1).
fn one_hop_on(headers: &mut HeaderMap, present: Present) {
    let chunked = present.has(Watched::TransferEncoding);
    present.remove_hop_by_hop(headers);
    if present.has(Watched::Trailer) {
        announce_plain_trailers(headers);
    }
    // Answered by us, on the first look at the body (RFC 9110 §10.1.1).
    present.remove(headers, &[Watched::Expect]);
    // RFC 9110 §10.1.4: who sends TE says that it is for this connection only.
    headers.insert(TE, TRAILERS);
    headers.insert(CONNECTION, HeaderValue::from_static("te"));
    if chunked {
        // A GET with a body says so; without this, hyper would take it for one without.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Takes out of `Trailer` what no trailer may be: it is not sent as one, and some take the
/// announcement alone for an attack (RFC 9110 §6.5.1).
fn announce_plain_trailers(headers: &mut HeaderMap) {
    let forbidden = [CONTENT_LENGTH, TRANSFER_ENCODING, HOST, TRAILER, TE, CONNECTION];
    let is_plain =
        |word: &&[u8]| HeaderName::from_bytes(word).is_ok_and(|name| !forbidden.contains(&name));
    let lists: Vec<_> = headers.get_all(TRAILER).iter().cloned().collect();
    let words = lists.iter().flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    let names: Vec<&[u8]> = words.map(<[u8]>::trim_ascii).filter(is_plain).collect();
    headers.remove(TRAILER);
    if let Ok(value) = HeaderValue::from_bytes(&names.join(&b", "[..]))
        && !names.is_empty()
    {
        headers.insert(TRAILER, value);
    }
}

/// Removes what concerns one connection only, and what `Connection` names besides.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    Present::of(headers).remove_hop_by_hop(headers);
}

/// Headers that something is done about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watched {
    Host,
    Connection,
    KeepAlive,
    ProxyConnection,
    Te,
    TransferEncoding,
    Upgrade,
    Trailer,
    Expect,
    ProxyAuthorization,
    ForwardedPort,
    Via,
}

impl Watched {
    fn read(name: &str) -> Option<Self> {
        Some(match name {
            "host" => Self::Host,
            "connection" => Self::Connection,
            "keep-alive" => Self::KeepAlive,
            "proxy-connection" => Self::ProxyConnection,
            "te" => Self::Te,
            "transfer-encoding" => Self::TransferEncoding,
            "upgrade" => Self::Upgrade,
            "trailer" => Self::Trailer,
            "expect" => Self::Expect,
            "proxy-authorization" => Self::ProxyAuthorization,
            "x-forwarded-port" => Self::ForwardedPort,
            "x-mesher-via" => Self::Via,
            _ => return None,
        })
    }

    fn name(self) -> HeaderName {
        match self {
            Self::Host => HOST,
            Self::Connection => CONNECTION,
            Self::KeepAlive => HeaderName::from_static("keep-alive"),
            Self::ProxyConnection => HeaderName::from_static("proxy-connection"),
            Self::Te => TE,
            Self::TransferEncoding => TRANSFER_ENCODING,
            Self::Upgrade => UPGRADE,
            Self::Trailer => TRAILER,
            Self::Expect => EXPECT,
            Self::ProxyAuthorization => PROXY_AUTHORIZATION,
            Self::ForwardedPort => FORWARDED_PORT,
            Self::Via => VIA,
        }
    }
}

/// Which of them a head had, a bit for each. One look at the few names that are there costs less
/// than to ask the map for each of those that hardly ever are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Present(u16);

impl Present {
    fn of(headers: &HeaderMap) -> Self {
        let watched = headers.keys().filter_map(|name| Watched::read(name.as_str()));
        Self(watched.fold(0, |all, one| all | 1 << one as u16))
    }

    fn has(self, one: Watched) -> bool {
        self.0 & 1 << one as u16 != 0
    }

    /// Removes those of `these` that were there.
    fn remove(self, headers: &mut HeaderMap, these: &[Watched]) {
        for one in these.iter().filter(|one| self.has(**one)) {
            headers.remove(one.name());
        }
    }

    fn remove_hop_by_hop(self, headers: &mut HeaderMap) {
        if self.has(Watched::Connection) {
            // Nearly always one of these, which name no header.
            let plain = |value: &HeaderValue| {
                let words = [&b"keep-alive"[..], b"close"];
                words.iter().any(|word| value.as_bytes().eq_ignore_ascii_case(word))
            };
            if !headers.get_all(CONNECTION).iter().all(plain) {
                remove_listed(headers);
            }
        }
        self.remove(
            headers,
            &[
                Watched::Connection,
                Watched::KeepAlive,
                Watched::ProxyConnection,
                Watched::Te,
                Watched::TransferEncoding,
                Watched::Upgrade,
            ],
        );
    }
}

fn remove_listed(headers: &mut HeaderMap) {
    let lists: Vec<_> = headers.get_all(CONNECTION).iter().cloned().collect();
    for name in lists.iter().flat_map(|list| list.as_bytes().split(|byte| *byte == b',')) {
        let Ok(name) = HeaderName::from_bytes(name.trim_ascii()) else { continue };
        // Without these a message is another message; no sender may ask for that.
        if ![HOST, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING].contains(&name) {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::header::{HeaderName, HeaderValue};

    use super::{Present, Watched, announce_plain_trailers, one_hop_on, remove_hop_by_hop};

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_is_watched_is_seen() {
        let all = [
            "host",
            "connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "transfer-encoding",
            "upgrade",
            "trailer",
            "expect",
            "proxy-authorization",
            "x-forwarded-port",
            "x-mesher-via",
        ];
        for (place, name) in all.into_iter().enumerate() {
            let watched = Watched::read(name).expect(name);
            assert_eq!((watched as usize, watched.name().as_str()), (place, name));
            let mut head = headers(&[("accept", "*/*"), (name, "x"), ("x-other", "1")]);
            let present = Present::of(&head);
            assert_eq!(present, Present(1 << place), "{name}");
            present.remove(&mut head, &[watched]);
            assert_eq!(Present::of(&head), Present(0), "{name}");
        }
    }

    #[test]
    fn what_concerns_one_connection_stays_there() {
        let mut given = headers(&[
            ("host", "b"),
            ("connection", "Keep-Alive, X-Secret , host, content-length"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("x-secret", "1"),
            ("content-length", "3"),
            ("cookie", "a"),
            ("cookie", "b"),
        ]);
        remove_hop_by_hop(&mut given);
        let kept = [("host", "b"), ("content-length", "3"), ("cookie", "a"), ("cookie", "b")];
        assert_eq!(given, headers(&kept));
    }

    #[test]
    fn what_can_be_no_trailer_is_not_announced() {
        let mut given = headers(&[("trailer", "X-Sum , content-length"), ("trailer", "host,x-b")]);
        announce_plain_trailers(&mut given);
        assert_eq!(given, headers(&[("trailer", "X-Sum, x-b")]));
        let mut given = headers(&[("trailer", "transfer-encoding"), ("x-a", "1")]);
        announce_plain_trailers(&mut given);
        assert_eq!(given, headers(&[("x-a", "1")]));
    }

    #[test]
    fn every_connection_header_counts() {
        let mut given = headers(&[("connection", "close"), ("connection", "x-a"), ("x-a", "1")]);
        remove_hop_by_hop(&mut given);
        assert_eq!(given, headers(&[]));
    }

    #[test]
    fn a_body_stays_announced_and_trailers_are_wanted() {
        let mut given = headers(&[("transfer-encoding", "chunked"), ("expect", "100-continue")]);
        let present = Present::of(&given);
        one_hop_on(&mut given, present);
        let wanted = [("te", "trailers"), ("connection", "te"), ("transfer-encoding", "chunked")];
        assert_eq!(given, headers(&wanted));
    }
}
