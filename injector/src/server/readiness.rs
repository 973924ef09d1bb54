//! Whether the API server should call this replica, and if not, which part is missing.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use certs::AnyServer;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, watch};
use tokio_rustls::TlsConnector;

use super::cluster::ClusterState;
use super::lifecycle::{Lifecycle, Phase};

/// How long the answer to a real connection holds.
const FRESH: Duration = Duration::from_secs(1);
/// A listener that takes longer does not accept.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `/readyz` looks at.
#[derive(Debug)]
pub(super) struct Readiness {
    listener: SocketAddr,
    connector: TlsClient,
    lifecycle: Lifecycle,
    certificate: watch::Receiver<certs::Status>,
    /// `None`: there is no cluster to ask.
    cluster: Option<ClusterState>,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

/// One part of being ready.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
}

impl Readiness {
    pub(super) fn new(
        listener: SocketAddr,
        lifecycle: Lifecycle,
        certificate: watch::Receiver<certs::Status>,
        cluster: Option<ClusterState>,
    ) -> Self {
        Self {
            listener: reachable(listener),
            connector: TlsClient::new(),
            lifecycle,
            certificate,
            cluster,
            last: Mutex::new(None),
        }
    }

    /// Every part; ready is who has no problem with any. Configuration and templates are not
    /// among them: without usable ones the server does not start, and later keeps the last good.
    pub(super) async fn parts(&self) -> Vec<Part> {
        let part = |name, state: Result<(), String>| Part {
            name,
            ready: state.is_ok(),
            problem: state.err(),
        };
        vec![
            part("serving", self.serving()),
            part("certificate", self.certificate()),
            part("listener", self.listener().await),
            part("apiServerVersion", self.version()),
        ]
    }

    fn serving(&self) -> Result<(), String> {
        match self.lifecycle.phase() {
            Phase::Serving => Ok(()),
            Phase::Leaving | Phase::Closing => Err("shutting down".into()),
        }
    }

    fn certificate(&self) -> Result<(), String> {
        let status = self.certificate.borrow();
        match (&status.leaf, &status.error) {
            (Some(_), _) => Ok(()),
            (None, Some(error)) => Err(format!("{error}{}", self.leader())),
            (None, None) => Err(format!("not loaded yet{}", self.leader())),
        }
    }

    /// Who is to write the certificate that is missing, where it is not this replica.
    fn leader(&self) -> String {
        let leadership = self.cluster.as_ref().and_then(|cluster| cluster.leadership.as_ref());
        let Some(leadership) = leadership.map(watch::Receiver::borrow) else {
            return String::new();
        };
        match (&leadership.error, &leadership.holder) {
            _ if leadership.leading => String::new(),
            (Some(error), _) => format!("; nobody is known to lead: {error}"),
            (None, Some(holder)) => format!("; {holder} leads"),
            (None, None) => "; nobody leads yet".into(),
        }
    }

    /// Connects as the API server would. Probes may come often; one connection a second tells
    /// enough.
    async fn listener(&self) -> Result<(), String> {
        let mut last = self.last.lock().await;
        if let Some((at, result)) = &*last
            && at.elapsed() < FRESH
            && result.is_ok()
        {
            return result.clone();
        }
        let result = tokio::time::timeout(PATIENCE, self.connector.connect(self.listener))
            .await
            .unwrap_or_else(|_| Err(format!("no TLS session within {PATIENCE:?}")));
        *last = Some((Instant::now(), result.clone()));
        result
    }

    fn version(&self) -> Result<(), String> {
        if let Some(cluster) = &self.cluster
            && !cluster.api_server.borrow().settled
        {
            return Err("the API server has not told its version yet".into());
        }
        Ok(())
    }
}

/// The address by which a listener is reached from the same host.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let mut address = listener;
    if listener.ip().is_unspecified() {
        address.set_ip(match listener {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// A client for our own listener, which it knows by address: which name the certificate carries
/// does not matter to it, that the server holds its key does.
struct TlsClient(TlsConnector);

impl std::fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsClient")
    }
}

impl TlsClient {
    fn new() -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("aws-lc-rs has cipher suites for TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(AnyServer::new(provider))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(TlsConnector::from(Arc::new(config)))
    }

    async fn connect(&self, address: SocketAddr) -> Result<(), String> {
        let tcp = TcpStream::connect(address).await.map_err(|e| format!("{address}: {e}"))?;
        let name = ServerName::IpAddress(address.ip().into());
        self.0.connect(name, tcp).await.map_err(|e| format!("{address}: TLS: {e}"))?;
        Ok(())
    }
}
