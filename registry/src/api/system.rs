//! The registry about itself.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Shared;
use super::reply;

fn about(api: &str) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "buildTag": "service-registry",
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "apiVersion": api,
    })
}

pub(super) async fn version() -> Response {
    reply::json(&about("3.0.0"))
}

pub(super) async fn version_v4() -> Response {
    reply::json(&about("4.0.0"))
}

/// The registries there are, which clients may use instead of each other: just this one. Where it
/// listens on all addresses, it is where the client found it.
pub(super) async fn health(State(service): Shared, headers: HeaderMap) -> Response {
    let mut own = service.own.clone();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if let (true, Some(host)) = (service.everywhere, host) {
        own.endpoints = vec![format!("rest://{host}/")];
    }
    reply::json(&json!({"instances": [own]}))
}

pub(super) async fn metrics(State(service): Shared) -> Response {
    let usage = service.live.read(crate::store::Store::usage);
    service.metrics.show(usage, service.live.watchers());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], service.metrics.text()).into_response()
}
