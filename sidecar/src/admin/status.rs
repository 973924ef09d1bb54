//! `/v1/mesher/status`: who this is, and how it is, in one look.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::response::Json;
use serde::Serialize;

use super::configuration::Summary;
use super::discovery::Discovery;
use super::original;
use super::time::{rounded, seconds_since, timestamp};
use crate::lifecycle::Phase;
use crate::settings::Mode;
use crate::shared::Shared;
use crate::tls::tags::Use;

/// The proxy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    version: &'static str,
    /// RFC 3339.
    started_at: String,
    uptime_seconds: f64,
    /// `serving`, `draining`, `closing` or `closed`.
    phase: &'static str,
    /// `sidecar` or `per-host`.
    mode: &'static str,
    identity: Identity,
    /// As `/v1/mesher/health` has it: what is wrong with discovery or registration.
    #[serde(skip_serializing_if = "Option::is_none")]
    unwell: Option<String>,
    discovery: Discovery,
    configuration: Summary,
    listeners: Vec<Listener>,
    certificates: Vec<Certificate>,
}

/// The application beside it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    app: String,
    service: String,
    version: String,
    environment: String,
    host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<Pod>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pod {
    name: String,
    namespace: String,
    node: String,
}

/// An address that takes connections.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listener {
    /// `consumer`, `provider`, `admin` or `profiles`.
    side: &'static str,
    /// `http` or `grpc`.
    protocol: &'static str,
    address: SocketAddr,
    tls: bool,
}

/// What one tag of `tls.yaml` shows to peers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    /// Empty: bare keys.
    tag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    names: Vec<String>,
    /// RFC 3339; absent where the tag has no certificate of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// Negative where that is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_seconds: Option<f64>,
    /// Why the files on the disk are not in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

/// `/v1/mesher/status`
pub(super) async fn status(State(shared): State<Arc<Shared>>) -> Json<Status> {
    let settings = shared.settings();
    let identity = &settings.identity;
    let pod = identity.pod.as_ref().map(|pod| Pod {
        name: pod.name.clone(),
        namespace: pod.namespace.clone(),
        node: pod.node.clone(),
    });
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        started_at: timestamp(shared.started),
        uptime_seconds: rounded(shared.clock.now()),
        phase: match shared.lifecycle.phase() {
            Phase::Serving => "serving",
            Phase::Draining => "draining",
            Phase::Closing => "closing",
            Phase::Closed => "closed",
        },
        mode: match settings.mode {
            Mode::Sidecar => "sidecar",
            Mode::PerHost => "per-host",
        },
        identity: Identity {
            app: identity.app.clone(),
            service: identity.service.clone(),
            version: identity.version.clone(),
            environment: identity.environment.clone(),
            host: identity.host.clone(),
            pod,
        },
        unwell: original::unwell(&shared, &settings),
        discovery: Discovery::of(&shared),
        configuration: Summary::of(&shared),
        listeners: listeners(&shared),
        certificates: certificates(&shared),
    })
}

fn listeners(shared: &Shared) -> Vec<Listener> {
    let settings = shared.settings();
    let tls = |what| settings.tls_for(what).is_some();
    let (consumer, provider) = (tls(Use::ConsumerSide), tls(Use::ProviderSide));
    let at = &shared.addresses;
    let one = |side, protocol, tls| {
        move |address: &SocketAddr| Listener { side, protocol, address: *address, tls }
    };
    let mut all: Vec<_> = at.consumer.iter().map(one("consumer", "http", consumer)).collect();
    all.extend(at.consumer_grpc.iter().map(one("consumer", "grpc", consumer)));
    all.extend(at.provider.iter().map(one("provider", "http", provider)));
    all.extend(at.provider_grpc.iter().map(one("provider", "grpc", provider)));
    // The first is loopback, which never speaks TLS.
    all.extend(at.admin.iter().take(1).map(one("admin", "http", false)));
    all.extend(at.admin.iter().skip(1).map(one("admin", "http", tls(Use::Admin))));
    all.extend(at.profiles.iter().map(one("profiles", "http", false)));
    all
}

fn certificates(shared: &Shared) -> Vec<Certificate> {
    let now = SystemTime::now();
    let report = shared.tls.report().into_iter();
    let shown = report.map(|tag| {
        let ends = tag.ends.map(|ends: Duration| SystemTime::UNIX_EPOCH + ends);
        Certificate {
            tag: tag.tag,
            subject: tag.subject,
            names: tag.names,
            expires_at: ends.map(timestamp),
            expires_in_seconds: ends.map(|ends| -seconds_since(ends, now)),
            fault: tag.fault,
        }
    });
    shown.collect()
}
