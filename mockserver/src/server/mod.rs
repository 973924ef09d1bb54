//! The service: it answers requests, carries out the chains in their URLs, echoes TCP and UDP, and
//! ends as a program in a pod should.

mod accept;
mod echo;
mod fault;
mod forward;
mod grpc;
mod lifecycle;
mod listen;
mod reply;
mod request;

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderName;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Error;
use crate::chain::Bounds;
use crate::client::Client;
pub use fault::FailRate;
use lifecycle::{Closing, LINGER, Signals};
use request::Service;

/// What the command line decides.
#[derive(Debug)]
pub struct Settings {
    /// Where HTTP is served, `HOST:PORT` or `:PORT` each.
    pub listen: Vec<String>,
    /// Where TCP is echoed.
    pub echo_tcp: Vec<String>,
    /// Where UDP is echoed.
    pub echo_udp: Vec<String>,
    /// The name in the answers.
    pub service: String,
    /// The name of this one process; `None`: host name and port.
    pub instance: Option<String>,
    /// How an answer is given.
    pub answers: Answers,
    /// How calls are made.
    pub calls: Calls,
    /// How long to go on as before after SIGTERM.
    pub drain_delay: Duration,
    /// How long requests may still take once nothing new is accepted.
    pub grace_time: Duration,
}

/// How an answer is given.
#[derive(Debug)]
pub struct Answers {
    /// How long to wait before it, after the calls.
    pub delay: Duration,
    /// The status of good answers.
    pub status: StatusCode,
    /// Which requests fail.
    pub fail_rate: FailRate,
    /// The status of those.
    pub fail_status: StatusCode,
    /// Whether a failed call makes the answer a 502.
    pub fail_on_forward_error: bool,
}

/// How calls are made.
#[derive(Debug)]
pub struct Calls {
    /// Makes them.
    pub client: Client,
    /// How long one may take.
    pub timeout: Duration,
    /// How many a URL may ask for.
    pub bounds: Bounds,
    /// Headers to pass on, beside those of tracing.
    pub forward_headers: Vec<HeaderName>,
}

/// Serves until SIGTERM or SIGINT, then finishes what is under way.
pub async fn run(settings: Settings) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let mut listeners = Vec::new();
    for address in &settings.listen {
        listeners.push(listen::tcp("-listenAddress", address).await?);
    }
    let mut echo_listeners = Vec::new();
    for address in &settings.echo_tcp {
        echo_listeners.push(listen::tcp("-echoTCP", address).await?);
    }
    let mut echo_sockets = Vec::new();
    for address in &settings.echo_udp {
        echo_sockets.push(listen::udp("-echoUDP", address).await?);
    }

    let port = listeners.first().and_then(|listener| listener.local_addr().ok());
    let instance = settings.instance.clone().unwrap_or_else(|| {
        let port = port.map(|address| format!(":{}", address.port()));
        host_name() + &port.unwrap_or_default()
    });
    let Settings { service, answers, calls, drain_delay, grace_time, .. } = settings;
    let who = Arc::new(echo::Who { hostname: host_name(), service: service.clone() });
    let http = Arc::new(Service { name: service, instance, answers, calls });

    // Open connections hear of the end from `connections`, what listens from `closing`.
    let connections = Arc::new(GracefulShutdown::new());
    let (switch, closing) = Closing::new();
    let mut listening = JoinSet::new();
    for listener in listeners {
        let port = accept::Port { http: Arc::clone(&http), connections: Arc::clone(&connections) };
        listening.spawn(port.serve(listener, closing.clone()));
    }
    for listener in echo_listeners {
        listening.spawn(echo::tcp(listener, Arc::clone(&who), closing.clone()));
    }
    for socket in echo_sockets {
        listening.spawn(echo::udp(socket, Arc::clone(&who), closing.clone()));
    }

    let signal = signals.next().await;
    tracing::info!(signal, "ending: {}", lifecycle::plan(drain_delay, grace_time));
    if !drain_delay.is_zero() {
        signals.wait(drain_delay).await;
    }
    switch.send_replace(true);
    listening.join_all().await;
    // Only the ports held it beside us.
    let Some(connections) = Arc::into_inner(connections) else {
        unreachable!("a port has ended and still holds its connections");
    };
    let ended = async {
        let _ = timeout(LINGER, left(&connections)).await;
        connections.shutdown().await;
    };
    if signals.or(grace_time, ended).await {
        tracing::info!("ended, nothing was cut off");
    } else {
        tracing::warn!("ended, and cut off what was under way");
    }
    Ok(())
}

/// Returns when all clients have left by themselves.
async fn left(connections: &GracefulShutdown) {
    while connections.count() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
}

/// The name of this machine or pod.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}
