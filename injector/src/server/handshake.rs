//! Why a connection did not come to a TLS session.

use std::io;

/// Whose fault it was, as far as this side can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The peer said no: it does not trust our certificate, or it misses what it wants.
    Rejected,
    /// There is no certificate to show yet.
    NoCertificate,
    /// What the peer sent is not TLS, or none that is spoken here.
    Protocol,
    /// The peer went away.
    Closed,
    /// It took longer than `limits.handshakeTimeout`.
    Timeout,
}

impl Failure {
    /// All of them, in the order of the variants.
    pub(super) const ALL: [Self; 5] =
        [Self::Rejected, Self::NoCertificate, Self::Protocol, Self::Closed, Self::Timeout];

    /// The word for the metric.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::NoCertificate => "no_certificate",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
        }
    }

    /// What `error` of a handshake means.
    pub(super) fn of(error: &io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            None => Self::Closed,
            Some(rustls::Error::AlertReceived(_)) => Self::Rejected,
            // The resolver had nothing: rustls has no variant of its own for that.
            Some(rustls::Error::General(_)) => Self::NoCertificate,
            Some(_) => Self::Protocol,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use certs::{Authority, Bundle, Names, Resolver, Terms};
    use rustls::ClientConfig;
    use rustls::pki_types::ServerName;
    use tokio::io::AsyncWriteExt;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    /// What the server makes of a client that trusts `bundle`, or that sends `bytes`.
    async fn meet(resolver: Arc<Resolver>, client: Result<&Bundle, &[u8]>) -> Failure {
        let acceptor = TlsAcceptor::from(Arc::new(certs::server_config(resolver)));
        let (near, mut far) = tokio::io::duplex(64 << 10);
        let server = tokio::spawn(async move { acceptor.accept(near).await.map(drop) });
        match client {
            Ok(bundle) => {
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let config = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .unwrap()
                    .with_root_certificates(bundle.roots().unwrap())
                    .with_no_client_auth();
                let name = ServerName::try_from("web.default.svc").unwrap();
                let _ = TlsConnector::from(Arc::new(config)).connect(name, far).await;
            }
            Err(bytes) => {
                far.write_all(bytes).await.unwrap();
                drop(far);
            }
        }
        Failure::of(&server.await.unwrap().unwrap_err())
    }

    #[tokio::test]
    async fn each_failure_has_its_word() {
        let terms = Terms::default();
        let now = std::time::SystemTime::now();
        let ca = |name| Authority::generate(name, &terms, now).unwrap();
        let (ours, theirs) = (ca("ours"), ca("theirs"));
        let names = Names::of_service("web", "default").unwrap();
        let resolver = Resolver::empty();
        let bundle = Bundle::of(theirs.certificate().clone());
        assert_eq!(meet(Arc::clone(&resolver), Ok(&bundle)).await, Failure::NoCertificate);
        resolver.publish(&ours.issue(&names, &terms, now).unwrap());
        assert_eq!(meet(Arc::clone(&resolver), Ok(&bundle)).await, Failure::Rejected);
        let plain = b"GET / HTTP/1.1\r\nhost: web\r\n\r\n";
        assert_eq!(meet(Arc::clone(&resolver), Err(plain)).await, Failure::Protocol);
        assert_eq!(meet(resolver, Err(&[])).await, Failure::Closed);
    }

    #[test]
    fn all_are_in_order() {
        for (at, failure) in Failure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, at, "counters are indexed by the variant");
        }
    }
}
