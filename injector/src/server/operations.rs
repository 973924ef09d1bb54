//! The plain port for people and machines that look after the injector.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::sync::watch;

use super::budget::Budget;
use super::cluster::ClusterState;
use super::connections::Connections;
use super::healing;
use super::live::Live;
use super::metrics::Metrics;
use super::readiness::Readiness;
use crate::kubernetes::{Leadership, State as CaBundleState};

/// What the operations port tells about.
#[derive(Debug)]
pub(super) struct Operations {
    pub(super) readiness: Readiness,
    pub(super) metrics: Arc<Metrics>,
    pub(super) budget: Arc<Budget>,
    pub(super) connections: Arc<Connections>,
    pub(super) live: Arc<Live>,
    pub(super) certificate: watch::Receiver<certs::Status>,
    pub(super) cluster: Option<ClusterState>,
}

/// `/healthz`, `/readyz`, `/status` and `/metrics`.
pub(super) fn routes(operations: Arc<Operations>) -> Router {
    Router::new()
        // That this answers is what it says: the process runs and takes connections.
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .with_state(operations)
}

async fn readyz(State(operations): State<Arc<Operations>>) -> Response {
    let parts = operations.readiness.parts().await;
    let ready = parts.iter().all(|part| part.ready);
    operations.metrics.gauges.ready.set(ready.into());
    let mut lines: Vec<_> = parts
        .iter()
        .map(|part| format!("{}: {}", part.name, part.problem.as_deref().unwrap_or("ok")))
        .collect();
    lines.push(if ready { "ready\n".into() } else { "not ready\n".into() });
    let text = lines.join("\n");
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, text).into_response()
}

async fn status(State(operations): State<Arc<Operations>>) -> Response {
    let parts = operations.readiness.parts().await;
    let reloads = operations.live.reloads();
    let certificate = operations.certificate.borrow().clone();
    let policy = operations.live.policy();
    axum::Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": parts.iter().all(|part| part.ready),
        "parts": parts,
        "configuration": {
            "generation": reloads.generation,
            "since": seconds(reloads.since),
            "error": reloads.error,
            "restartNeeded": reloads.restart_needed,
            "templates": policy.templates.keys().collect::<Vec<_>>(),
            "nativeByDefault": policy.native_by_default,
        },
        "certificate": {
            "subject": certificate.leaf.as_ref().map(certs::Certificate::subject),
            "serial": certificate.leaf.as_ref().map(certs::Certificate::serial),
            "names": certificate.leaf.as_ref().map(certs::Certificate::names),
            "notAfter": certificate.leaf.as_ref().map(|leaf| seconds(leaf.not_after())),
            "generation": certificate.generation,
            "error": certificate.error,
        },
        "cluster": operations.cluster.as_ref().map(cluster_status),
    }))
    .into_response()
}

fn cluster_status(cluster: &ClusterState) -> serde_json::Value {
    let (server, bundle) = (cluster.api_server.borrow(), cluster.ca_bundle.borrow());
    json!({
        "version": server.version.map(|(major, minor)| format!("{major}.{minor}")),
        "versionError": server.error,
        "lease": cluster.leadership.as_ref().map(|leadership| leadership_status(&leadership.borrow())),
        "healing": healing::status(cluster.healing.as_ref()),
        "caBundle": bundle.state.as_str(),
        "caBundleSince": seconds(bundle.since),
        "caBundleError": match &bundle.state {
            CaBundleState::Error { message } => Some(message),
            _ => None,
        },
    })
}

fn leadership_status(leadership: &Leadership) -> serde_json::Value {
    json!({
        "leading": leadership.leading,
        "since": seconds(leadership.since),
        "holder": leadership.holder,
        "error": leadership.error,
    })
}

async fn metrics(State(operations): State<Arc<Operations>>) -> Response {
    operations.refresh();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], operations.metrics.text()).into_response()
}

impl Operations {
    /// Sets the gauges to how things stand now.
    fn refresh(&self) {
        let gauges = &self.metrics.gauges;
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        gauges.in_flight.set(count(self.budget.in_flight()));
        gauges.memory.set(count(self.budget.memory_in_use()));
        gauges.connections.set(count(self.connections.count()));
        let reloads = self.live.reloads();
        gauges.generation.set(i64::try_from(reloads.generation).unwrap_or(i64::MAX));
        gauges.reload_failed.set(reloads.error.is_some().into());
        let expiry = self.certificate.borrow().leaf.as_ref().map(|leaf| seconds(leaf.not_after()));
        gauges.certificate_expiry.set(expiry.unwrap_or_default());
        gauges.native.set(self.live.policy().native_by_default.into());
        if let Some(cluster) = &self.cluster {
            gauges.version_known.set(cluster.api_server.borrow().version.is_some().into());
            // Who shares with nobody writes.
            let leads = cluster.leadership.as_ref().is_none_or(|state| state.borrow().leading);
            gauges.leader.set(leads.into());
            gauges.ca_bundle(&cluster.ca_bundle.borrow().state);
            if let Some(healing) = &cluster.healing {
                self.metrics.healing.show(&healing.borrow());
            }
        }
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
