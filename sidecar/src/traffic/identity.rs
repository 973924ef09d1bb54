//! The question of another proxy whether one of ours is here.

use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};

use super::Here;
use super::response::ResponseBody;
use crate::listener::Side;

/// Names us; in a question it says whom it is for.
const IDENTITY: HeaderName = HeaderName::from_static("x-mesher-identity");

/// The answer to `OPTIONS *` with our header, on the provider side; `None`: it is no such question.
/// An application that gets it, as no proxy is here, can do nothing wrong (RFC 9110 §9.3.7).
pub(super) fn answer(here: &Here<'_>, head: &Parts) -> Option<Response<ResponseBody>> {
    let asked = head.method == Method::OPTIONS
        && here.port.side == Side::Provider
        && head.uri.path() == "*"
        && head.headers.contains_key(IDENTITY);
    asked.then(|| {
        let mut response = Response::new(ResponseBody::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let ours = HeaderValue::from_static(concat!("mesher/", env!("CARGO_PKG_VERSION")));
        response.headers_mut().insert(IDENTITY, ours);
        response
    })
}
