//! Messages that two readers could take for two different ones.
//!
//! hyper refuses what it cannot read (obs-fold, a space before a colon, different lengths, a
//! transfer coding that does not end in `chunked`) and writes every message anew: a length that
//! stood beside `chunked` is gone, a bare LF has become CR LF, equal lengths have become one. Here
//! is what it leaves to us. RFC 9112 §3.2 and §6, RFC 9110 §7.2.

use hyper::body::Incoming;
use hyper::header::{HOST, TRANSFER_ENCODING};
use hyper::{HeaderMap, Request, Version};

use super::refusal::Refusal;

/// Refuses a request that is not plainly one.
pub(crate) fn check(request: &Request<Incoming>) -> Result<(), Refusal> {
    check_head(request.version(), request.headers())
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

/// Whether a response's body was decoded whole: of its transfer codings hyper undoes `chunked`.
pub(crate) fn is_plain(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};
    use hyper::{HeaderMap, Version};

    use super::{check_head, is_plain};

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
    fn responses_of_other_codings_are_not_plain() {
        assert!(is_plain(&headers(&[("transfer-encoding", "chunked")])));
        assert!(is_plain(&headers(&[])));
        assert!(!is_plain(&headers(&[("transfer-encoding", "gzip, chunked")])));
    }
}
