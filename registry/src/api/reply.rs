//! Answers that are not about a success.

use std::time::Duration;

use axum::Json;
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::store::{Code, Refusal};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=UTF-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// What a handler gives back.
pub(super) type Answer = Result<Response, Refusal>;

/// 200 with a body.
pub(super) fn json(body: &impl Serialize) -> Response {
    Json(body).into_response().with(CONTENT_TYPE, JSON)
}

/// 200 without a body.
pub(super) fn done() -> Response {
    (StatusCode::OK, [(CONTENT_TYPE, TEXT)]).into_response()
}

/// Sets one header.
pub(super) trait With {
    /// Sets one header.
    fn with(self, name: HeaderName, value: HeaderValue) -> Self;
}

impl With for Response {
    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers_mut().insert(name, value);
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        // A service-center's codes have their HTTP status in front.
        let status = u16::try_from(self.code.number() / 1000).unwrap_or(500);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answer = json(&self.body());
        *answer.status_mut() = status;
        answer
    }
}

/// A plain sentence.
pub(super) fn text(status: StatusCode, words: &'static str) -> Response {
    let answer = (status, format!("{words}\n")).into_response();
    answer.with(CONTENT_TYPE, PLAIN).with(X_CONTENT_TYPE_OPTIONS, NOSNIFF)
}

/// A path that there is none of.
pub(super) async fn no_such_path() -> Response {
    text(StatusCode::NOT_FOUND, "404 page not found")
}

/// A method that the path does not take; which it does take is added behind us.
pub(super) async fn no_such_method() -> Response {
    text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

/// A request that took too long, most likely to arrive.
pub(super) fn too_slow(limit: Duration) -> Response {
    refused(StatusCode::REQUEST_TIMEOUT, format!("the request took longer than {limit:?}"))
}

/// A request that is refused for its shape, by an HTTP status of its own.
pub(super) fn refused(status: StatusCode, detail: String) -> Response {
    let mut answer = Refusal::new(Code::InvalidParameters, detail).into_response();
    *answer.status_mut() = status;
    answer
}
