//! The API on the wire: `/v4/{project}/registry/…`, the older `/registry/v3/…`, and what people
//! and machines ask beside it.
//!
//! Each path is one line in [`routes`]; each handler reads what was sent, runs one command of the
//! store and writes its answer. Success is always 200, and every refusal of the store is 400 with
//! its code in the body; 404 and 405 are for paths and methods that there are none of.

mod body;
mod client;
mod dependencies;
mod find;
mod govern;
mod heartbeat_socket;
mod instances;
mod reply;
mod schemas;
mod services;
mod system;
mod tags;
mod watch;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post, put};
use tokio::sync::Semaphore;

use crate::live::Live;
use crate::server::Lifecycle;
use crate::server::Metrics;

/// What handlers share.
#[derive(Debug)]
pub struct Service {
    /// The store.
    pub live: Arc<Live>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Sockets end when the server closes.
    pub lifecycle: Lifecycle,
    /// Bytes of bodies that may be in memory at a time; read, each takes up to forty times as much.
    pub bodies: Semaphore,
    /// The longest body.
    pub longest_body: usize,
    /// How long a request may take, sockets aside.
    pub longest_request: Duration,
    /// How often sockets are pinged.
    pub ping: Duration,
    /// This registry, as it answers `/health`.
    pub own: crate::model::Instance,
    /// Whether it listens on all addresses, so that `own` has none to tell.
    pub everywhere: bool,
}

type Shared = State<Arc<Service>>;

/// All paths.
pub fn routes(service: Arc<Service>) -> Router {
    Router::new()
        .nest("/v4/{project}/registry", registry())
        .nest("/registry/v3", registry())
        .route("/v4/{project}/registry/version", get(system::version_v4))
        .route("/v4/{project}/registry/health", get(system::health))
        .route("/v4/{project}/govern/apps", get(govern::apps))
        .route("/v4/{project}/govern/statistics", get(govern::statistics))
        .route("/v4/{project}/govern/microservices", get(govern::list))
        .route("/v4/{project}/govern/microservices/{service}", get(govern::one))
        .route("/version", get(system::version))
        .route("/health", get(system::health))
        .route("/metrics", get(system::metrics))
        .fallback(reply::no_such_path)
        .method_not_allowed_fallback(reply::no_such_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&service), observe))
        .with_state(service)
}

fn registry() -> Router<Arc<Service>> {
    const SERVICE: &str = "/microservices/{service}";
    const INSTANCE: &str = "/microservices/{service}/instances/{instance}";
    let of_service = |path: &str| format!("{SERVICE}{path}");
    let of_instance = |path: &str| format!("{INSTANCE}{path}");
    Router::new()
        .route("/existence", get(services::exists))
        .route(
            "/microservices",
            get(services::list).post(services::register).delete(services::delete_many),
        )
        .route(SERVICE, get(services::one).delete(services::delete))
        .route(&of_service("/properties"), put(services::set_properties))
        .route(&of_service("/tags"), get(tags::list).post(tags::add))
        .route(&of_service("/tags/{key}"), put(tags::update).delete(tags::delete))
        .route(&of_service("/schemas"), get(schemas::list).post(schemas::put_many))
        .route(
            &of_service("/schemas/{schema}"),
            get(schemas::one).put(schemas::put).delete(schemas::delete),
        )
        .route(&of_service("/providers"), get(dependencies::providers))
        .route(&of_service("/consumers"), get(dependencies::consumers))
        .route("/dependencies", put(dependencies::replace).post(dependencies::add))
        .route(&of_service("/watcher"), get(watch::watch))
        .route(&of_service("/instances"), get(find::list).post(instances::register))
        .route(INSTANCE, get(find::one).delete(instances::delete))
        .route(&of_instance("/heartbeat"), put(instances::heartbeat).get(heartbeat_socket::connect))
        .route(&of_instance("/status"), put(instances::set_status))
        .route(&of_instance("/properties"), put(instances::set_properties))
        .route("/heartbeats", put(instances::heartbeats))
        .route("/instances", get(find::find))
        .route("/instances/action", post(find::find_many))
        .route("/instances/status", put(instances::set_many_statuses))
}

/// Counts every request, and gives none of them for ever.
async fn observe(State(service): Shared, request: Request, next: Next) -> Response {
    let began = std::time::Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let answer = match tokio::time::timeout(service.longest_request, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => reply::too_slow(service.longest_request),
    };
    let took = began.elapsed();
    let status = answer.status().as_u16();
    service.metrics.answered(status, took);
    tracing::debug!(%method, path, status, ?took, "answered");
    answer
}
