//! The paths of the webhook port.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{Method, Request};
use axum::response::{IntoResponse, Response};
use hyper::body::Body;

use super::refusal::Refusal;
use super::review::{Reviews, review};

/// `POST /mutate`, and the path that the original injector was called by.
pub(super) async fn webhook<B>(reviews: &Arc<Reviews>, request: Request<B>) -> Response
where
    B: Body<Data = Bytes> + Unpin,
{
    match (request.uri().path(), request.method()) {
        ("/mutate" | "/webhookmutation", &Method::POST) => review(reviews, request).await,
        ("/mutate" | "/webhookmutation", _) => Refusal::Method.into_response(),
        _ => Refusal::NoSuchPath.into_response(),
    }
}
