//! What was asked, taken down when it was: the head of a request changes on its way.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::header::{HOST, HeaderName, USER_AGENT};
use hyper::{HeaderMap, Request, Version};

use mesh::trace::TraceId;

use super::Begun;
use crate::plan::Endpoint;

/// Of a million draws; more than any sample.
const MILLION: u64 = 1_000_000;
/// Sheets that a worker keeps.
const KEPT: usize = 256;
/// Bytes of any text; what is longer is cut.
const LONGEST: usize = 2048;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const B3_TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
const B3: HeaderName = HeaderName::from_static("b3");

/// What a request asked.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Whether it is logged however it ends.
    pub(crate) sampled: bool,
    pub(super) client: SocketAddr,
    pub(super) version: Version,
    pub(super) method: String,
    pub(super) authority: String,
    /// With the query, where that is to be logged.
    pub(super) path: String,
    pub(super) user_agent: String,
    pub(super) request_id: String,
    /// As the client sent it, in whichever of the formats.
    pub(super) trace_id: String,
    /// Who was chosen to answer it, last.
    pub(super) instance: RefCell<Option<Arc<Endpoint>>>,
}

/// A worker's sheets that are not in use, and its dice.
#[derive(Debug)]
pub(crate) struct Sheets {
    #[expect(clippy::vec_box, reason = "a request takes the box along")]
    unused: RefCell<Vec<Box<Asked>>>,
    dice: Cell<u64>,
}

impl Sheets {
    /// `seed`: another one for each worker.
    pub(crate) fn new(seed: u64) -> Self {
        // Never 0, of which nothing else would come.
        Self { unused: RefCell::default(), dice: Cell::new(seed | 1 << 63) }
    }

    /// A number below a million, each as likely as any (xorshift64*, by Sebastiano Vigna).
    pub(super) fn draw(&self) -> u32 {
        let mut dice = self.dice.get();
        dice ^= dice >> 12;
        dice ^= dice << 25;
        dice ^= dice >> 27;
        self.dice.set(dice);
        // The upper bits are the better ones.
        ((dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % MILLION) as u32
    }

    /// Takes down a request.
    pub(crate) fn fill<B>(
        &self,
        begun: Begun,
        client: SocketAddr,
        request: &Request<B>,
    ) -> Box<Asked> {
        let unused = self.unused.borrow_mut().pop();
        let mut asked = unused.unwrap_or_else(|| Box::new(Asked::blank(client)));
        asked.fill(begun, client, request);
        asked
    }

    /// Keeps a sheet that was not needed.
    pub(crate) fn put(&self, asked: Box<Asked>) {
        asked.instance.replace(None);
        let mut unused = self.unused.borrow_mut();
        if unused.len() < KEPT {
            unused.push(asked);
        }
    }
}

impl Asked {
    fn blank(client: SocketAddr) -> Self {
        Self {
            sampled: false,
            client,
            version: Version::HTTP_11,
            method: String::new(),
            authority: String::new(),
            path: String::new(),
            user_agent: String::new(),
            request_id: String::new(),
            trace_id: String::new(),
            instance: RefCell::default(),
        }
    }

    fn fill<B>(&mut self, begun: Begun, client: SocketAddr, request: &Request<B>) {
        let (uri, headers) = (request.uri(), request.headers());
        self.sampled = begun.sampled;
        self.client = client;
        self.version = request.version();
        put(&mut self.method, request.method().as_str().as_bytes());
        let host = || headers.get(HOST).map_or(&b""[..], |host| host.as_bytes());
        let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
        put(&mut self.authority, authority.unwrap_or_else(host));
        let whole = uri.path_and_query().filter(|_| begun.query);
        put(&mut self.path, whole.map_or(uri.path(), |whole| whole.as_str()).as_bytes());
        let field = |name: HeaderName| headers.get(name).map_or(&b""[..], |value| value.as_bytes());
        put(&mut self.user_agent, field(USER_AGENT));
        put(&mut self.request_id, field(REQUEST_ID));
        put(&mut self.trace_id, trace_id(headers));
    }

    /// This is its trace.
    pub(crate) fn belongs_to(&mut self, trace: TraceId) {
        self.trace_id = trace.to_string();
    }

    /// This one is to answer it.
    pub(crate) fn chosen(&self, endpoint: &Arc<Endpoint>) {
        self.instance.replace(Some(Arc::clone(endpoint)));
    }
}

/// Replaces what a text says, in the room that it has.
fn put(text: &mut String, bytes: &[u8]) {
    text.clear();
    for chunk in bytes[..bytes.len().min(LONGEST)].utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Of W3C's `traceparent`, which is `version-trace-span-flags`, or of either form of B3.
fn trace_id(headers: &HeaderMap) -> &[u8] {
    let value = |name| headers.get(name).map(|value: &hyper::header::HeaderValue| value.as_bytes());
    let nth = |value: &'_ [u8], n| -> Option<std::ops::Range<usize>> {
        let part = value.split(|byte| *byte == b'-').nth(n)?;
        let start = part.as_ptr() as usize - value.as_ptr() as usize;
        Some(start..start + part.len())
    };
    let part = |name, n| value(name).and_then(|value| Some(&value[nth(value, n)?]));
    part(TRACE_PARENT, 1).or_else(|| value(B3_TRACE)).or_else(|| part(B3, 0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use hyper::Request;

    use super::{LONGEST, Sheets};
    use crate::access_log::Begun;

    #[test]
    fn draws_are_spread_evenly() {
        for seed in [0, 1, u64::MAX] {
            let sheets = Sheets::new(seed);
            let below = (0..10_000).filter(|_| sheets.draw() < 250_000).count();
            assert!((2_200..2_800).contains(&below), "{below} of 10000 with seed {seed}");
        }
    }

    #[test]
    fn a_sheet_that_is_used_again_says_nothing_of_before() {
        let sheets = Sheets::new(1);
        let client = SocketAddr::from(([127, 0, 0, 1], 1));
        let begun = Begun { sampled: true, query: true };
        let long = format!("/{}?x", "a".repeat(3000));
        let first = Request::get(long).header("user-agent", "u").header("x-request-id", "i");
        let asked = sheets.fill(begun, client, &first.body(()).unwrap());
        assert!(asked.path.len() <= LONGEST, "{}", asked.path.len());
        sheets.put(asked);
        let asked = sheets.fill(begun, client, &Request::get("/b").body(()).unwrap());
        assert_eq!((asked.path.as_str(), asked.user_agent.as_str()), ("/b", ""));
        assert_eq!((asked.request_id.as_str(), asked.trace_id.as_str()), ("", ""));
    }
}
