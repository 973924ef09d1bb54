//! Health, metrics and drain, on the admin port.
//!
//! Health and metrics answer on every address of the pod, as kubelet and Prometheus come from
//! outside. What changes something answers on loopback, or everywhere where the settings say so.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json};
use axum::routing::{get, post};
use serde_json::json;
use tokio::time::sleep;

use crate::lifecycle::{GOODBYE, Phase};
use crate::metrics;
use crate::proxy::Shared;

/// Serves one address until the program ends.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let address = listener.local_addr();
    let loopback = address.as_ref().is_ok_and(|address: &SocketAddr| address.ip().is_loopback());
    let trusted = loopback || shared.settings().admin.public;
    let served = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => axum::serve(listener, router(shared, trusted)).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::error!(%error, ?address, "the admin port is gone");
    }
}

fn router(shared: Arc<Shared>, trusted: bool) -> Router {
    let open = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .route("/v1/mesher/metrics", get(metrics_text));
    let guarded = Router::new()
        .route("/v1/mesher/health", get(health))
        .route("/v1/mesher/version", get(version))
        .route("/drain", post(drain));
    let router = if trusted { open.merge(guarded) } else { open };
    router.with_state(shared)
}

/// The listeners are bound before anything is served here.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Never depends on discovery: a dead registry must not keep applications from starting.
async fn readyz(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    match shared.lifecycle.phase() {
        Phase::Serving => (StatusCode::OK, "ok\n"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn metrics_text(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let kind = [("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    match metrics::text(&shared) {
        Ok(text) => (kind, text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// As the original answers; its `red` meant what `/metrics` says of discovery.
async fn health(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let settings = shared.settings();
    let identity = &settings.identity;
    Json(json!({
        "serviceName": identity.service,
        "version": identity.version,
        "status": "green",
        "connectedMonitoring": false,
    }))
}

async fn version() -> impl IntoResponse {
    Json(json!({ "version": env!("CARGO_PKG_VERSION") }))
}

/// Answers when others have had the time to learn that the instance goes: what a preStop hook
/// waits for.
async fn drain(State(shared): State<Arc<Shared>>) -> &'static str {
    tracing::info!("draining, as it was asked for on the admin port");
    shared.lifecycle.enter(Phase::Draining);
    sleep(GOODBYE).await;
    "drained\n"
}
