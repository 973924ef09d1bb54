//! `/v1/mesher/connections`: what each worker has open.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use serde::Serialize;

use crate::shared::Shared;
use crate::worker::Counts;

/// All workers, each as it was at its last look, a second ago at the most.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connections {
    /// The most connections from clients, of all workers.
    most_clients: usize,
    total: Open,
    workers: Vec<Worker>,
}

/// One worker.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Worker {
    worker: usize,
    #[serde(flatten)]
    open: Open,
}

/// What is open.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Open {
    /// Connections from clients.
    clients: usize,
    /// Those of them without a request.
    clients_idle: usize,
    /// Those of them that speak HTTP/2.
    clients_http2: usize,
    /// Those of them that have become tunnels.
    tunnels: usize,
    /// Requests under way, and tunnels.
    in_flight: usize,
    /// HTTP/1.1 connections to instances that wait in the pool for a request.
    upstream_idle: usize,
    /// HTTP/2 connections to instances.
    upstream_http2: usize,
    /// Requests under way on those.
    upstream_http2_streams: usize,
}

/// `/v1/mesher/connections`
pub(super) async fn connections(State(shared): State<Arc<Shared>>) -> Json<Connections> {
    let workers = shared.censuses.get().map(Vec::as_slice).unwrap_or_default();
    let counts: Vec<Counts> = workers.iter().map(|census| census.read()).collect();
    let mut total = Open::default();
    for counts in &counts {
        total.add(*counts);
    }
    let worker = |(worker, counts)| {
        let mut open = Open::default();
        open.add(counts);
        Worker { worker, open }
    };
    let workers = counts.into_iter().enumerate().map(worker).collect();
    Json(Connections { most_clients: shared.settings().limits.connections, total, workers })
}

impl Open {
    fn add(&mut self, counts: Counts) {
        self.clients += counts.clients;
        self.clients_idle += counts.idle_clients;
        self.clients_http2 += counts.http2_clients;
        self.tunnels += counts.tunnels;
        self.in_flight += counts.in_flight;
        self.upstream_idle += counts.idle_upstream;
        self.upstream_http2 += counts.shared_upstream;
        self.upstream_http2_streams += counts.shared_streams;
    }
}
