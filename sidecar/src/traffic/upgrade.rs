//! `Upgrade`: a request that asks to go on in another protocol, such as WebSocket, on its own
//! connection (RFC 9110 §7.8). Where the endpoint switches, so do we, and both connections become
//! the two ends of a [tunnel](super::tunnel); what it answers otherwise is a response like any.
//!
//! Such a request gets a connection of its own to the endpoint, which never goes into the pool. So
//! it is sent again only if nobody has seen it: no connection came about, or a peer declined.

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, TE, UPGRADE};
use hyper::http::request;
use hyper::{Response, Version};

use super::Here;
use super::choose::Choice;
use super::headers::{ERROR, remove_hop_by_hop};
use super::response::ResponseBody;
use super::tunnel::{Far, Handover};
use crate::plan::{Kind, Route};
use crate::worker::Stream;

/// The value of `Connection` that makes `Upgrade` one.
const WORD: HeaderValue = HeaderValue::from_static("upgrade");

/// The protocols that a client would like to go on in. `None`: it did not ask, or for `h2c` only:
/// that names how HTTP/2 begins on this connection, and nobody does it that way any more
/// (RFC 9113 §3.1). A server may always act as if it had not been asked.
pub(crate) fn asked(head: &request::Parts) -> Option<HeaderValue> {
    let headers = &head.headers;
    headers.get(UPGRADE)?;
    if head.version != Version::HTTP_11 || !has_word(headers.get_all(CONNECTION), b"upgrade") {
        return None;
    }
    let mut kept = Vec::new();
    for protocol in words(headers.get_all(UPGRADE)).filter(|word| !is_h2c(word)) {
        if !kept.is_empty() {
            kept.extend_from_slice(b", ");
        }
        kept.extend_from_slice(protocol);
    }
    (!kept.is_empty()).then(|| HeaderValue::from_maybe_shared(bytes::Bytes::from(kept)).ok())?
}

/// Asks the endpoint, in a head that has been made one for the next connection.
pub(crate) fn ask(head: &mut request::Parts, protocols: HeaderValue) {
    let headers = &mut head.headers;
    // There are no trailers behind a 101, and some servers want to see this word alone.
    headers.remove(TE);
    headers.insert(CONNECTION, WORD);
    headers.insert(UPGRADE, protocols);
}

/// The endpoint switches: tells the client so, and says what becomes of the connections.
pub(crate) fn switch(
    here: &Here<'_>,
    route: &Route,
    choice: Choice,
    response: Response<Incoming>,
    stream: Stream,
) -> Response<ResponseBody> {
    let (mut head, _) = response.into_parts();
    let headers = &mut head.headers;
    let protocols = headers.get(UPGRADE).cloned();
    remove_hop_by_hop(headers);
    if route.kind != Kind::Service {
        headers.remove(ERROR);
    }
    headers.insert(CONNECTION, WORD);
    if let Some(protocols) = protocols {
        headers.insert(UPGRADE, protocols);
    }
    head.version = Version::HTTP_11;
    here.connection.hand_over(Handover::Tunnel(Far { stream, choice }));
    Response::from_parts(head, ResponseBody::empty())
}

/// The members of a list, over all its lines.
fn words<'a>(lines: impl IntoIterator<Item = &'a HeaderValue>) -> impl Iterator<Item = &'a [u8]> {
    let members = lines.into_iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    members.map(<[u8]>::trim_ascii).filter(|word| !word.is_empty())
}

fn has_word<'a>(lines: impl IntoIterator<Item = &'a HeaderValue>, wanted: &[u8]) -> bool {
    words(lines).any(|word| word.eq_ignore_ascii_case(wanted))
}

fn is_h2c(protocol: &[u8]) -> bool {
    protocol.eq_ignore_ascii_case(b"h2c")
}

#[cfg(test)]
mod tests {
    use hyper::{Request, Version};

    use super::asked;

    #[test]
    fn what_is_asked_for() {
        let http11 = Version::HTTP_11;
        for (version, lines, expected) in [
            (http11, vec![("connection", "Upgrade"), ("upgrade", "websocket")], Some("websocket")),
            (
                http11,
                vec![("connection", "keep-alive, UPGRADE"), ("upgrade", "a/1"), ("upgrade", "b")],
                Some("a/1, b"),
            ),
            (http11, vec![("upgrade", "websocket")], None),
            (http11, vec![("connection", "close"), ("upgrade", "websocket")], None),
            (http11, vec![("connection", "upgrade")], None),
            (http11, vec![("connection", "upgrade"), ("upgrade", "")], None),
            (http11, vec![("connection", "upgrade, http2-settings"), ("upgrade", "h2c")], None),
            (http11, vec![("connection", "upgrade"), ("upgrade", "H2C, tcp")], Some("tcp")),
            (Version::HTTP_10, vec![("connection", "upgrade"), ("upgrade", "websocket")], None),
        ] {
            let mut request = Request::builder().version(version);
            for (name, value) in &lines {
                request = request.header(*name, *value);
            }
            let (head, ()) = request.body(()).expect("a request").into_parts();
            let found = asked(&head);
            assert_eq!(found.as_ref().map(|v| v.to_str().expect("text")), expected, "{lines:?}");
        }
    }
}
