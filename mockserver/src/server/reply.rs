//! The answer to a request, as JSON.
//!
//! The first four fields and the texts in them are those of the program that this one follows; what
//! comes after them is ours.

use hyper::body::Bytes;
use hyper::header::{HOST, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Uri, Version};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// How far the members of a [`Forward`] are indented in a [`Reply`]; what is nested there stands as
/// much farther to the right.
const NESTED: &str = "\n\t\t\t\t\t";

/// An answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Reply {
    /// When the request came, RFC 3339 with nanoseconds.
    pub(super) received_date: String,
    pub(super) message: String,
    /// One for each group of calls, in the order of the URL; `null` when it asked for none.
    pub(super) parallel_forwards: Option<Vec<Group>>,
    /// Request line, host and headers as they came.
    pub(super) request_info: Vec<String>,
    pub(super) service: String,
    pub(super) instance: String,
    /// The length of the request's body, if it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body_bytes: Option<u64>,
    /// Why the request was refused or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Problem>,
}

/// Why a request was refused or failed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Problem {
    pub(super) code: &'static str,
    pub(super) reason: String,
}

/// Calls that were made one after the other.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Group {
    pub(super) sequential_forwards: Vec<Forward>,
}

/// One call and what came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Forward {
    pub(super) url: String,
    pub(super) result: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    pub(super) duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// What the callee said: JSON as it is, other text as a string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response: Option<Box<RawValue>>,
    /// Why `response` is missing although there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_left_out: Option<String>,
}

impl Reply {
    /// The answer's bytes, indented with tabs.
    pub(super) fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(1024);
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        if let Err(error) = self.serialize(&mut serializer) {
            // Strings, numbers and JSON that was read before: it cannot fail.
            tracing::error!(%error, "an answer could not be written");
        }
        bytes.push(b'\n');
        bytes.into()
    }
}

/// What a callee said, to be nested in our own answer; the error says why it cannot be.
pub(super) fn nest(body: &[u8]) -> Result<Option<Box<RawValue>>, String> {
    if body.is_empty() {
        return Ok(None);
    }
    let Ok(text) = str::from_utf8(body) else {
        return Err(format!("{} bytes that are no text", body.len()));
    };
    let nested = match serde_json::from_str::<&RawValue>(text) {
        // In JSON, line breaks stand between values only, never in a string.
        Ok(json) => RawValue::from_string(json.get().replace('\n', NESTED)),
        Err(_) => to_raw_value(text),
    };
    nested.map(Some).map_err(|error| error.to_string())
}

/// A request as its first lines say it.
pub(super) fn request_info(parts: &Parts) -> Vec<String> {
    let Parts { method, uri, version, headers, .. } = parts;
    let mut lines = vec![request_line(method, uri, *version)];
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
    if let Some(host) = headers.get(HOST).map(HeaderValue::as_bytes).or(authority) {
        lines.push(format!("Host: {}", String::from_utf8_lossy(host)));
    }
    lines.extend(header_lines(headers));
    lines
}

fn request_line(method: &Method, uri: &Uri, version: Version) -> String {
    // An absolute URI is what a proxy gets on HTTP/1, and the usual thing on HTTP/2.
    if version == Version::HTTP_2 {
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        return format!("{method} {target} HTTP/2.0");
    }
    format!("{method} {uri} {version:?}")
}

fn header_lines(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers
        .iter()
        .filter(|(name, _)| *name != HOST)
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(response: Option<Box<RawValue>>) -> Reply {
        let forward = Forward {
            url: "http://a:8080/".into(),
            result: "success".into(),
            status: Some(200),
            duration_ms: 1.5,
            error: None,
            response,
            response_left_out: None,
        };
        Reply {
            received_date: "2020-01-01T00:00:00Z".into(),
            message: "m".into(),
            parallel_forwards: Some(vec![Group { sequential_forwards: vec![forward] }]),
            request_info: vec!["GET / HTTP/1.1".into()],
            service: "s".into(),
            instance: "i".into(),
            body_bytes: None,
            error: None,
        }
    }

    /// A tree of answers reads like one document, however deep it is.
    #[test]
    fn nested_answers_are_indented_as_if_written_at_once() {
        let mut body = reply(None).to_bytes();
        for _ in 0..20 {
            body = reply(nest(&body).unwrap()).to_bytes();
        }
        let text = str::from_utf8(&body).unwrap();
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let mut at_once = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        value
            .serialize(&mut serde_json::Serializer::with_formatter(&mut at_once, formatter))
            .unwrap();
        assert_eq!(text.trim_end(), str::from_utf8(&at_once).unwrap());
    }

    #[test]
    fn what_is_no_json_is_a_string() {
        let text = |body: &[u8]| nest(body).unwrap().map(|raw| raw.get().to_owned());
        assert_eq!(text(b""), None);
        assert_eq!(text(b"hello\n\"you\"").as_deref(), Some(r#""hello\n\"you\"""#));
        assert_eq!(text(b"{\"a\":1e400}\n").as_deref(), Some("{\"a\":1e400}"));
        assert_eq!(nest(&[0xff, 0]).unwrap_err(), "2 bytes that are no text");
    }

    /// A callee's nesting is copied, not followed: no stack can run out.
    #[test]
    fn hostile_nesting_is_harmless() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(nest(deep.as_bytes()).unwrap().is_some());
    }
}
