//! Health, metrics, drain, and what can be seen of the proxy, on the admin port.
//!
//! Health and metrics answer on every address of the pod, as kubelet and Prometheus come from
//! outside. What changes something or tells more answers on loopback, or everywhere where the
//! settings say so, and to no other web site ([`guard`]).

mod center;
mod configuration;
mod connections;
mod contact;
mod discovery;
mod guard;
mod index;
mod original;
mod page;
mod services;
mod status;
mod time;
mod xds;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use self::index::Seen;
use crate::error::Error;
use crate::lifecycle::{GOODBYE, Phase};
use crate::listener::bind;
use crate::metrics;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::tls::tags::Use;
use crate::tls::{self, Refused};

/// TLS sessions that are being made at once.
const HANDSHAKES: usize = 64;
/// How long to wait when there is no file descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// Who can get at a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The containers of the pod, on loopback.
    Pod,
    /// Everybody, on an address of the pod.
    Everybody,
}

/// Opens the admin port, on loopback and on the pod's addresses.
pub(crate) fn listen(settings: &Settings) -> Result<Vec<(TcpListener, Reach)>, Error> {
    let port = settings.listeners.admin_port;
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let others = settings.listeners.addresses.iter().copied().filter(|ip| *ip != loopback);
    let others = others.map(|ip| (ip, Reach::Everybody));
    let all = std::iter::once((loopback, Reach::Pod)).chain(others);
    let open = |(ip, reach)| {
        bind(SocketAddr::new(ip, port), "health and metrics").map(|listener| (listener, reach))
    };
    all.map(open).collect()
}

/// Serves one address until the program ends. To others with TLS, where a tag says so; on loopback
/// `mesher drain` is to find it however that is.
pub(crate) async fn serve(listener: TcpListener, reach: Reach, shared: Arc<Shared>) {
    let address = listener.local_addr();
    let trusted = reach == Reach::Pod || shared.settings().admin.public;
    let secured = reach == Reach::Everybody && shared.tls.server(Use::Admin).is_some();
    let router = router(Arc::clone(&shared), trusted, reach);
    let served = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) if secured => serve_secured(listener, router, shared).await,
        Ok(listener) => axum::serve(listener, router).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::error!(%error, ?address, "the admin port is gone");
    }
}

/// Each connection makes its session by itself: one that is slow holds up no other.
async fn serve_secured(
    listener: tokio::net::TcpListener,
    router: Router,
    shared: Arc<Shared>,
) -> io::Result<()> {
    let turns = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                tracing::debug!(%error, "no connection to the admin port can be taken");
                sleep(EXHAUSTED).await;
                continue;
            }
        };
        let (router, shared, turns) = (router.clone(), Arc::clone(&shared), Arc::clone(&turns));
        tokio::spawn(async move {
            let Some(config) = shared.tls.server(Use::Admin) else { return };
            let limit = shared.settings().limits.handshake_timeout;
            let made = timeout(limit, async {
                let _turn = turns.acquire().await;
                tls::accept(config, tcp).await
            });
            let made = made.await.unwrap_or(Err(Refused::TimedOut));
            shared.tls.accepted(made.as_ref().err());
            let session = match made {
                Ok(session) => session,
                Err(reason) => return tracing::debug!(%reason, "no TLS session on the admin port"),
            };
            let mut http = auto::Builder::new(TokioExecutor::new());
            http.http1().timer(TokioTimer::new());
            let service = TowerToHyperService::new(router);
            if let Err(error) = http.serve_connection(TokioIo::new(session), service).await {
                tracing::debug!(error, "a connection to the admin port ended");
            }
        });
    }
}

fn router(shared: Arc<Shared>, trusted: bool, reach: Reach) -> Router {
    let open = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .route("/v1/mesher/metrics", get(metrics_text));
    let seen = Seen { all: trusted };
    let list = move |State(shared): State<Arc<Shared>>, headers: HeaderMap| async move {
        index::list(seen, &shared, &headers)
    };
    let router = if trusted {
        let guarded = Router::new()
            .route("/", get(index::root))
            .route("/debug", get(list))
            .route("/v1/mesher/status", get(status::status))
            .route("/v1/mesher/services", get(services::list))
            .route("/v1/mesher/services/{app}/{service}", get(services::one))
            .route("/v1/mesher/connections", get(connections::connections))
            .route("/v1/mesher/discovery", get(discovery::discovery))
            .route("/v1/mesher/config", get(configuration::configuration))
            .route("/v1/mesher/health", get(original::health))
            .route("/v1/mesher/version", get(original::version))
            .route("/v1/mesher/routeRule/{service}", get(original::route_rules))
            .route("/drain", post(drain))
            .layer(from_fn_with_state(reach, guard::check));
        open.merge(guarded)
    } else {
        open.route("/", get(list)).route("/debug", get(list))
    };
    router
        .fallback(move |request: Request| async move { index::missing(seen, &request) })
        .method_not_allowed_fallback(index::wrong_method)
        .layer(from_fn(guard::mark))
        .with_state(shared)
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

/// In the format that is asked for.
async fn metrics_text(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = metrics::Format::accepted(accept);
    let kind = [(CONTENT_TYPE, format.content_type())];
    match metrics::text(&shared, format) {
        Ok(text) => (kind, text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Answers when others have had the time to learn that the instance goes: what a preStop hook
/// waits for.
async fn drain(State(shared): State<Arc<Shared>>) -> &'static str {
    tracing::info!("draining, as it was asked for on the admin port");
    shared.lifecycle.enter(Phase::Draining);
    sleep(GOODBYE).await;
    "drained\n"
}
