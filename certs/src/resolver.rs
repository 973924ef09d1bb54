//! Serving a certificate that may change at any time.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use crate::identity::Identity;

/// Hands rustls the newest identity: the next handshake gets it, connections live on.
#[derive(Debug, Default)]
pub struct Resolver(ArcSwapOption<CertifiedKey>);

impl Resolver {
    /// A resolver without an identity: every handshake fails until [`Self::publish`].
    pub fn empty() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Serves `identity` from the next handshake on.
    pub fn publish(&self, identity: &Identity) {
        self.0.store(Some(identity.certified_key()));
    }

    /// Whether there is an identity to serve.
    pub fn is_ready(&self) -> bool {
        self.0.load().is_some()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// A server's TLS configuration: aws-lc-rs, TLS 1.2 and 1.3, ALPN `h2` and `http/1.1`.
///
/// Sessions are not resumed: a resumed session would go on under the certificate it began with,
/// and clients of a webhook keep their connections instead.
pub fn server_config(resolver: Arc<Resolver>) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("aws-lc-rs has cipher suites for TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}
