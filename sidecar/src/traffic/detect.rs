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
    use super::{PREFACE, Spoken, spoken};

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
