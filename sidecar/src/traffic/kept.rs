//! What is kept of a request's head, for another attempt.
//!
//! It is a copy of the bytes. Names and values that were cloned would be views of the buffer they
//! were read into, which could then not be used for what comes next; and of a thousand heads hardly
//! one is ever needed again.

use std::io::Write;

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::Extensions;
use hyper::http::request::{self, Parts};
use hyper::http::uri::Uri;
use hyper::{HeaderMap, Method, Request, Version};

/// Enough for the heads of most requests.
const USUAL: usize = 512;

/// A head that was sent.
#[derive(Debug)]
pub(super) struct Kept {
    method: Method,
    version: Version,
    extensions: Extensions,
    fields: usize,
    /// The URL's bytes, and then those of each field's name and value.
    text: Vec<u8>,
    /// Bytes of the URL.
    uri: usize,
}

/// What stands before a field: the lengths of its name and of its value, and whether the value is
/// nobody else's business.
type Before = [u8; 7];

impl Kept {
    pub(super) fn of(head: &Parts) -> Self {
        let mut text = Vec::with_capacity(USUAL);
        match head.uri.path_and_query() {
            Some(path) if head.uri.authority().is_none() => {
                text.extend_from_slice(path.as_str().as_bytes());
            }
            // A vector takes whatever is written.
            _ => drop(write!(text, "{}", head.uri)),
        }
        let uri = text.len();
        for (name, value) in &head.headers {
            let (name, secret) = (name.as_str().as_bytes(), value.is_sensitive());
            text.extend_from_slice(&before(name.len(), value.len(), secret));
            text.extend_from_slice(name);
            text.extend_from_slice(value.as_bytes());
        }
        Self {
            method: head.method.clone(),
            version: head.version,
            extensions: head.extensions.clone(),
            fields: head.headers.len(),
            text,
            uri,
        }
    }

    /// The head as it was. `None`: never, as it was one.
    pub(super) fn head(self) -> Option<Parts> {
        let mut text = Bytes::from(self.text);
        let uri = text.split_to(self.uri);
        let mut headers = HeaderMap::with_capacity(self.fields);
        while let Some((before, _)) = text.split_first_chunk::<7>() {
            let (name, value, secret) = lengths(*before);
            let _ = text.split_to(size_of::<Before>());
            let name = HeaderName::from_bytes(&text.split_to(name)).ok()?;
            let mut value = HeaderValue::from_maybe_shared(text.split_to(value)).ok()?;
            value.set_sensitive(secret);
            headers.append(name, value);
        }
        let (mut head, ()): (request::Parts, ()) = Request::new(()).into_parts();
        head.method = self.method;
        head.uri = Uri::from_maybe_shared(uri).ok()?;
        head.version = self.version;
        head.headers = headers;
        head.extensions = self.extensions;
        Some(head)
    }
}

fn before(name: usize, value: usize, secret: bool) -> Before {
    // A head is far shorter than either can count: a name's longest is what two bytes hold.
    let name = u16::try_from(name).unwrap_or(u16::MAX).to_be_bytes();
    let value = u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes();
    [name[0], name[1], value[0], value[1], value[2], value[3], u8::from(secret)]
}

fn lengths(before: Before) -> (usize, usize, bool) {
    let [name @ .., _, _, _, _, _] = before;
    let [_, _, value @ .., secret] = before;
    let name = u16::from_be_bytes(name).into();
    let value = u32::from_be_bytes(value);
    (name, usize::try_from(value).unwrap_or(usize::MAX), secret == 1)
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use hyper::header::HeaderValue;
    use hyper::http::request::Parts;

    use super::Kept;

    fn head(uri: &str) -> Parts {
        let mut secret = HeaderValue::from_static("swordfish");
        secret.set_sensitive(true);
        let request = Request::builder()
            .method("PURGE")
            .uri(uri)
            .header("host", "b")
            .header("cookie", "a=1")
            .header("x-empty", "")
            .header("authorization", secret)
            .header("cookie", HeaderValue::from_bytes(b"b=\xff").unwrap())
            .extension(7_u8);
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_head_comes_back_as_it_was() {
        for uri in ["/", "/a/b?c=d&e=%20", "*", "http://b:80/a?b", "b:80"] {
            let given = head(uri);
            let back = Kept::of(&given).head().expect(uri);
            assert_eq!((&back.method, &back.uri), (&given.method, &given.uri));
            assert_eq!((back.version, &back.headers), (given.version, &given.headers));
            let names = |head: &Parts| head.headers.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&back), names(&given), "in the same order");
            assert!(back.headers["authorization"].is_sensitive());
            assert!(!back.headers["host"].is_sensitive());
            assert_eq!(back.extensions.get::<u8>(), Some(&7));
        }
    }
}
