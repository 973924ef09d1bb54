//! What a client speaks, by its first bytes.

use std::io;

use crate::worker::Stream;

/// What HTTP/2 begins with; no method of HTTP/1 is called `PRI`.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// HTTP/1.0 or 1.1, or something that will be refused as such.
    Http1,
    /// HTTP/2 without having asked before.
    Http2,
}

/// Waits for the first bytes, without taking them. `None`: it ended before.
pub(crate) async fn detect(stream: &mut Stream) -> io::Result<Option<Spoken>> {
    let mut seen = [0; PREFACE.len()];
    let mut before = 0;
    loop {
        let count = stream.peek(&mut seen).await?;
        if let Some(spoken) = spoken(&seen[..count]) {
            return Ok(Some(spoken));
        }
        if count == before {
            // The end, or a client that stops in the middle of the preface. Peeking again would
            // find the same at once.
            return Ok(None);
        }
        before = count;
        // More is not told by readiness while these bytes lie there.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// The most that is looked at to tell what is spoken in a tunnel.
pub(crate) const LOOK: usize = PREFACE.len();

/// What is spoken in a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Requests.
    Http(Spoken),
    /// TLS, or what else there is.
    Other,
}

/// What begins with `seen`, of at most [`LOOK`] bytes. `None`: more is needed to tell. A request
/// is a method, a space and what can be asked for, so that `SSH-2.0-x y` or `NICK x` are none.
pub(crate) fn opening(seen: &[u8]) -> Option<Opening> {
    let whole = seen.len() >= LOOK;
    match spoken(seen) {
        Some(Spoken::Http2) => return Some(Opening::Http(Spoken::Http2)),
        None => return None,
        Some(Spoken::Http1) => {}
    }
    let undecided = if whole { Some(Opening::Other) } else { None };
    let method = seen.iter().take_while(|b| b.is_ascii_uppercase() || **b == b'-').count();
    match seen.get(method) {
        None => undecided,
        Some(b' ') if method > 0 => {
            let target = &seen[method + 1..];
            let could_be = |form: &[u8]| {
                let both = form.len().min(target.len());
                form[..both].eq_ignore_ascii_case(&target[..both])
            };
            let is = |form: &[u8]| could_be(form) && (whole || target.len() >= form.len());
            let forms = [&b"/"[..], b"*", b"http://"];
            if forms.iter().any(|form| is(form)) && !target.is_empty() {
                Some(Opening::Http(Spoken::Http1))
            } else if forms.iter().any(|form| could_be(form)) {
                undecided
            } else {
                Some(Opening::Other)
            }
        }
        Some(_) => Some(Opening::Other),
    }
}

/// `None`: it could still become either.
fn spoken(seen: &[u8]) -> Option<Spoken> {
    if seen.is_empty() {
        None
    } else if !PREFACE.starts_with(seen) {
        Some(Spoken::Http1)
    } else {
        (seen.len() == PREFACE.len()).then_some(Spoken::Http2)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LOOK, Opening, PREFACE, Spoken, opening, spoken};

    proptest! {
        /// However little comes at a time, what is found is what all of it together would be.
        #[test]
        fn what_is_decided_stays_decided(
            seen in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..=LOOK),
                "[A-Z-]{1,9} (/|\\*|http://|h|x)[ -~]{0,30}".prop_map(String::into_bytes),
                "PRI \\* HTTP/2.0\r\n\r\n.{0,9}".prop_map(String::into_bytes),
            ],
        ) {
            let seen = &seen[..seen.len().min(LOOK)];
            let mut found = None;
            for count in 0..=seen.len() {
                let now = opening(&seen[..count]);
                prop_assert!(found.is_none() || now == found, "{found:?}, then {now:?}");
                found = now;
            }
            prop_assert!(seen.len() < LOOK || found.is_some(), "all is there");
        }
    }

    #[test]
    fn a_request_in_a_tunnel_is_told_from_what_looks_like_one() {
        let (http1, http2) = (Opening::Http(Spoken::Http1), Opening::Http(Spoken::Http2));
        for (seen, expected) in [
            (&b""[..], None),
            (b"G", None),
            (b"GET ", None),
            (b"GET /", Some(http1)),
            (b"M-SEARCH * HTTP/1.1", Some(http1)),
            (b"OPTIONS h", None),
            (b"OPTIONS HTTP://a/", Some(http1)),
            (b"UPDATEREDIRECTREF http:/", Some(http1)),
            (b"GET key", Some(Opening::Other)),
            (b"NICK harry", Some(Opening::Other)),
            (b"SSH-2.0-OpenSSH_9.2 x", Some(Opening::Other)),
            (b"\x16\x03\x01", Some(Opening::Other)),
            (b"AAAAAAAAAAAAAAAAAAAAAAA", None),
            (b"AAAAAAAAAAAAAAAAAAAAAAAA", Some(Opening::Other)),
            (b"AAAAAAAAAAAAAAAAAAAAAAA ", Some(Opening::Other)),
            (b" /", Some(Opening::Other)),
            (b"PRI * HTTP/2.0\r\n", None),
            (PREFACE, Some(http2)),
        ] {
            assert!(seen.len() <= LOOK);
            assert_eq!(opening(seen), expected, "{:?}", String::from_utf8_lossy(seen));
        }
    }

    #[test]
    fn the_preface_tells_them_apart_as_soon_as_it_can() {
        for (seen, expected) in [
            (&b"GET / HTTP/1.1"[..], Some(Spoken::Http1)),
            (b"P", None),
            (b"PRI ", None),
            (b"PROPFIND / ", Some(Spoken::Http1)),
            (b"PRI * HTTP/1.1\r\n", Some(Spoken::Http1)),
            (PREFACE, Some(Spoken::Http2)),
            (b"", None),
            (b"\x16\x03\x01", Some(Spoken::Http1)),
        ] {
            assert_eq!(spoken(seen), expected, "{seen:?}");
        }
    }
}
