//! Putting the registry together, and taking it apart.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::accept::Port;
use super::connections::Connections;
use super::lifecycle::{Lifecycle, Phase, Signals};
use super::metrics::Metrics;
use super::tls::{self, Tls};
use crate::api;
use crate::error::Error;
use crate::journal;
use crate::live::{Live, fresh_id};
use crate::model::{Instance, ServiceName, Status, Tenant, service_id};
use crate::store::{Limits, Store};

/// Bytes of bodies that are read at the same time.
const BODIES: usize = 16 << 20;
/// How long what is under way may take to finish after a signal.
const GOODBYE: Duration = Duration::from_secs(5);

/// What a registry is to be.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The data file; `None`: memory only.
    pub data: Option<PathBuf>,
    /// Certificate and key; `None`: plain HTTP.
    pub tls: Option<Tls>,
    /// How much it may hold.
    pub limits: Limits,
    /// How many connections may be open.
    pub connections: usize,
    /// The longest body of a request.
    pub longest_body: usize,
    /// How long a request may take.
    pub longest_request: Duration,
    /// How long a connection may wait for its next request.
    pub idle: Duration,
    /// How often WebSockets are pinged.
    pub ping: Duration,
}

/// Serves until SIGTERM or SIGINT, then finishes what is under way.
pub async fn run(config: Config) -> Result<(), Error> {
    let mut signals = Signals::listen().map_err(Error::Signals)?;
    let tls = config.tls.as_ref().map(tls::serve);
    let (acceptor, serving) = tls.transpose()?.unzip();
    let (live, writer) = match &config.data {
        Some(path) => {
            let (live, writer) = journal::open(path, config.limits)?;
            (live, Some(writer))
        }
        None => (Arc::new(Live::new(Store::new(config.limits))), None),
    };
    let address = config.listen;
    let listener =
        TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
    let address = listener.local_addr().unwrap_or(address);

    let (metrics, lifecycle) = (Arc::new(Metrics::default()), Lifecycle::default());
    let connections = Connections::new(config.connections);
    let service = api::Service {
        live: Arc::clone(&live),
        metrics: Arc::clone(&metrics),
        lifecycle: lifecycle.clone(),
        bodies: Semaphore::new(BODIES),
        longest_body: config.longest_body,
        longest_request: config.longest_request,
        ping: config.ping,
        own: own(address),
        everywhere: address.ip().is_unspecified(),
    };
    let port = Port {
        router: api::routes(Arc::new(service)),
        tls: acceptor,
        idle: config.idle,
        connections: Arc::clone(&connections),
        metrics: Arc::clone(&metrics),
        lifecycle: lifecycle.clone(),
    };
    let expiring = tokio::spawn(Arc::clone(&live).expire(move |count| {
        metrics.expired(count);
        tracing::info!(count, "instances expired");
    }));
    let accepting = tokio::spawn(port.serve(listener));
    let data = config.data.as_ref().map_or("memory only".into(), |it| it.display().to_string());
    tracing::info!(%address, tls = config.tls.is_some(), data, "serving");

    let signal = signals.next().await;
    tracing::info!(signal, "stopping: no new connections, finishing what is under way");
    lifecycle.enter(Phase::Closing);
    let _ = accepting.await;
    tokio::select! {
        () = connections.all_closed() => {}
        () = tokio::time::sleep(GOODBYE) => {
            tracing::warn!(left = connections.count(), "connections still open are cut");
        }
        signal = signals.next() => tracing::info!(signal, "no more waiting"),
    }
    expiring.abort();
    // What was noted is written before we go.
    live.keep_no_more();
    if let Some(writer) = writer {
        let _ = tokio::task::spawn_blocking(|| writer.join()).await;
    }
    if let Some(serving) = serving {
        serving.stop().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// The record of this registry, by which clients that look for others of its kind find it.
fn own(address: SocketAddr) -> Instance {
    let name = ServiceName::new("", "default", "SERVICECENTER");
    let version = env!("CARGO_PKG_VERSION");
    let now = crate::live::now(std::time::Instant::now()).unix.to_string();
    Instance {
        instance_id: fresh_id(),
        service_id: service_id(&Tenant::standard(), &name, version),
        endpoints: vec![format!("rest://{address}/")],
        host_name: std::env::var("HOSTNAME").unwrap_or_else(|_| "localhost".into()),
        status: Some(Status::Up),
        timestamp: now.clone(),
        mod_timestamp: now,
        version: version.into(),
        ..Instance::default()
    }
}
