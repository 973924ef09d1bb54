//! Messages that two readers could take for two different ones.
//!
//! hyper refuses what it cannot read (obs-fold, a space before a colon, different lengths, a
//! transfer coding that does not end in `chunked`) and writes every message anew: a length that
//! stood beside `chunked` is gone, a bare LF has become CR LF, equal lengths have become one. Here
//! is what it leaves to us. RFC 9112 §3.2 and §6, RFC 9110 §7.2; for HTTP/2 RFC 9113 §8.3.1.

use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use hyper::http::Uri;
use hyper::{HeaderMap, Request, Version};

use super::refusal::Refusal;

/// Refuses a request that is not plainly one, or has more than `most` header fields.
pub(crate) fn check(request: &Request<Incoming>, most: usize) -> Result<(), Refusal> {
    match request.version() {
        Version::HTTP_2 => check_http2(request.uri(), request.headers(), most),
        version => check_head(version, request.headers()),
    }
}

/// The library refuses what concerns one connection only, and bodies of another length than was
/// announced.
fn check_http2(uri: &Uri, headers: &HeaderMap, most: usize) -> Result<(), Refusal> {
    if headers.len() > most {
        return Err(Refusal::TooManyFields);
    }
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Refusal::Malformed("more than one Content-Length header"));
    }
    let mut hosts = headers.get_all(HOST).iter();
    match (uri.authority(), hosts.next(), hosts.next()) {
        (_, _, Some(_)) => Err(Refusal::Malformed("more than one Host header")),
        (None, None, _) => Err(Refusal::Malformed("neither :authority nor Host")),
        (Some(authority), Some(host), None)
            if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
        {
            Err(Refusal::Malformed(":authority and Host differ"))
        }
        _ => Ok(()),
    }
}

fn check_head(version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(Refusal::Malformed("more than one Host header")),
        (None, _) if version == Version::HTTP_11 => {
            return Err(Refusal::Malformed("no Host header"));
        }
        _ => {}
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        // The body would go on decoded by one coding and still encoded by another.
        _ => Err(Refusal::UnknownCoding),
    }
}

/// Whether a response's body was decoded whole: of its transfer codings hyper undoes `chunked`,
/// once.
pub(crate) fn is_plain(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};
    use hyper::http::Uri;
    use hyper::{HeaderMap, Version};

    use super::{check_head, check_http2, is_plain};

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn one_host_and_one_coding() {
        let (te, host) = ("transfer-encoding", ("host", "a"));
        for (version, lines, fine) in [
            (Version::HTTP_11, vec![host], true),
            (Version::HTTP_11, vec![], false),
            (Version::HTTP_10, vec![], true),
            (Version::HTTP_10, vec![host, host], false),
            (Version::HTTP_11, vec![host, ("host", "b")], false),
            (Version::HTTP_11, vec![host, (te, "Chunked")], true),
            (Version::HTTP_11, vec![host, (te, "gzip, chunked")], false),
            (Version::HTTP_11, vec![host, (te, "chunked"), (te, "chunked")], false),
            (Version::HTTP_11, vec![host, (te, "chunked ; x")], false),
        ] {
            assert_eq!(check_head(version, &headers(&lines)).is_ok(), fine, "{lines:?}");
        }
    }

    #[test]
    fn http2_names_its_host_once() {
        let (host, other, length) = (("host", "A:80"), ("host", "b"), ("content-length", "1"));
        for (uri, lines, fine) in [
            ("http://a:80/", vec![], true),
            ("http://a:80/", vec![host], true),
            ("/", vec![host], true),
            ("/", vec![], false),
            ("http://a:80/", vec![other], false),
            ("http://a:80/", vec![host, host], false),
            ("http://a:80/", vec![length], true),
            ("http://a:80/", vec![length, length], false),
            ("http://a:80/", vec![("x", "1"), ("x", "2"), ("x", "3")], false),
        ] {
            let uri = Uri::from_static(uri);
            assert_eq!(check_http2(&uri, &headers(&lines), 2).is_ok(), fine, "{uri} {lines:?}");
        }
    }

    #[test]
    fn responses_of_other_codings_are_not_plain() {
        assert!(is_plain(&headers(&[("transfer-encoding", "chunked")])));
        assert!(is_plain(&headers(&[])));
        assert!(!is_plain(&headers(&[("transfer-encoding", "gzip, chunked")])));
        assert!(!is_plain(&headers(&[("transfer-encoding", "chunked"); 2])));
    }
}
