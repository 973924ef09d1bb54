//! Putting the server together, and taking it apart.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certs::{Replica, Trust};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::accept::{Port, Service};
use super::budget::Budget;
use super::certificate;
use super::cluster::{self, ClusterState};
use super::connections::Connections;
use super::error::ServerError;
use super::healing;
use super::lifecycle::{Lifecycle, Phase, Signals};
use super::live::Live;
use super::metrics::{ConnectionCounters, Metrics};
use super::operations::{self, Operations};
use super::readiness::Readiness;
use super::reload;
use super::review::Reviews;
use super::workers::Workers;
use crate::config::{Config, Overrides, load_templates};

/// Connections to the operations port: probes and scrapers are few.
const OPERATIONS_CONNECTIONS: usize = 64;

/// Serves until SIGTERM or SIGINT, then finishes what is under way. `overrides` are what `config`
/// came from: both are resolved again when files change.
pub async fn run(config: Config, overrides: Overrides) -> Result<(), ServerError> {
    let mut signals = Signals::listen().map_err(ServerError::Signals)?;
    let templates = load_templates(config.templates.as_deref())?;
    let client = cluster::client(&config).await?;
    let namespace = cluster::own_namespace(&config, client.as_ref());
    let live = Arc::new(Live::new(config.clone(), templates, namespace.clone())?);
    let webhook = listen(config.webhook.listen, "webhook.listen").await?;
    let plain = listen(config.operations.listen, "operations.listen").await?;
    let webhook_address = webhook.local_addr().unwrap_or(config.webhook.listen);
    let plain_address = plain.local_addr().unwrap_or(config.operations.listen);

    let namespace = namespace.as_deref().unwrap_or("default");
    let election = cluster::stand(&config, namespace, client.as_ref());
    let (told, trust) = watch::channel(Trust::Unconfirmed);
    let replica = election.as_ref().map(|election| Replica { writes: election.leads(), trust });
    let serving = certificate::serving(&config, namespace, client.as_ref(), replica)?;
    let keeper =
        client.map(|client| cluster::keep(&config, client, &serving, election.as_ref(), told));
    let metrics = Arc::new(Metrics::new());
    let healing = match (&keeper, &election) {
        (Some(keeper), Some(election)) if healing::is_wanted(&config) => {
            Some(healing::start(&config, namespace, keeper, election, &live, &metrics).await?)
        }
        _ => None,
    };
    let cluster_state =
        keeper.as_ref().map(|keeper| ClusterState::of(keeper, election.as_ref(), healing.as_ref()));

    let limits = Arc::new(config.limits.clone());
    let budget = Budget::new(limits.in_flight, limits.memory.bytes());
    let lifecycle = Lifecycle::new();
    let connections = Connections::new(limits.connections);
    let reviews = Arc::new(Reviews {
        live: Arc::clone(&live),
        budget: Arc::clone(&budget),
        metrics: Arc::clone(&metrics),
        longest_body: limits.body.bytes(),
        longest_time: limits.request_timeout,
        longest_receiving: limits.body_timeout,
        decide: |pod, request, policy| crate::inject(pod, request, policy),
    });
    let workers = Arc::new(Workers::start().map_err(ServerError::Threads)?);
    let webhook_port = Port {
        service: Service::Webhook(reviews),
        tls: Some(TlsAcceptor::from(Arc::new(certs::server_config(serving.resolver())))),
        limits: Arc::clone(&limits),
        connections: Arc::clone(&connections),
        counters: metrics.connections.clone(),
        lifecycle: lifecycle.clone(),
        workers: Some(Arc::clone(&workers)),
    };
    let operations = Arc::new(Operations {
        readiness: Readiness::new(
            webhook_address,
            lifecycle.clone(),
            serving.status(),
            cluster_state.clone(),
        ),
        metrics: Arc::clone(&metrics),
        budget,
        connections: Arc::clone(&connections),
        live: Arc::clone(&live),
        certificate: serving.status(),
        cluster: cluster_state.clone(),
    });
    // It answers to the very end: a life of its own, which nothing closes.
    let operations_port = Port {
        service: Service::Operations(operations::routes(operations)),
        tls: None,
        limits,
        connections: Connections::new(OPERATIONS_CONNECTIONS),
        counters: ConnectionCounters::default(),
        lifecycle: Lifecycle::new(),
        workers: None,
    };

    let drain = config.drain.clone();
    let mut background = vec![
        tokio::spawn(operations_port.serve(plain)),
        tokio::spawn(reload::follow(overrides, config, Arc::clone(&live))),
    ];
    if let Some(cluster) = cluster_state {
        background.push(tokio::spawn(cluster::follow_version(cluster.api_server, live)));
    }
    let accepting = tokio::spawn(webhook_port.serve(webhook));
    tracing::info!(webhook = %webhook_address, operations = %plain_address, "serving");

    let signal = signals.next().await;
    tracing::info!(signal, delay = ?drain.delay, "leaving: not ready, still serving");
    lifecycle.enter(Phase::Leaving);
    drop(healing);
    // Another writes from now on; until the end this replica takes up what that one has written.
    let resigned = tokio::spawn(async move {
        if let Some(election) = election {
            election.resign().await;
        }
    });
    if !signals.wait(drain.delay).await {
        tracing::info!("another signal: no more waiting");
    }
    lifecycle.enter(Phase::Closing);
    let _ = accepting.await;
    finish(&connections, drain.deadline, &mut signals).await;
    workers.stop();
    background.iter().for_each(tokio::task::JoinHandle::abort);
    tokio::select! {
        _ = resigned => {}
        signal = signals.next() => tracing::info!(signal, "the Lease runs out by itself"),
    }
    if let Some(keeper) = keeper {
        keeper.stop().await;
    }
    serving.stop().await;
    Ok(())
}

/// Waits for the open connections to end, but not for ever, and not for somebody in a hurry.
async fn finish(connections: &Arc<Connections>, deadline: Duration, signals: &mut Signals) {
    let ended = tokio::select! {
        () = connections.all_closed() => true,
        _ = signals.wait(deadline) => false,
    };
    if ended {
        tracing::info!("everything finished");
    } else {
        let left = connections.count();
        tracing::warn!(left, "connections still open after drain.deadline are cut");
    }
}

async fn listen(address: SocketAddr, key: &'static str) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|source| ServerError::Listen { address, key, source })
}
