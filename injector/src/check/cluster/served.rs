//! The certificate that a webhook serves, read off a TLS handshake.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use certs::Certificate;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Connecting and shaking hands take no longer.
const DEADLINE: Duration = Duration::from_secs(5);

/// The chain that `url` serves; the error says why there is none to be had.
pub(super) async fn chain(url: &str) -> Result<Vec<Certificate>, String> {
    let uri: hyper::Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
    let host = uri.host().ok_or_else(|| format!("{url} has no host"))?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(|e| format!("{url}: {e}"))?;
    let seen = Arc::new(Seen::new());
    let config = ClientConfig::builder_with_provider(Arc::clone(&seen.provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&seen) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let handshake = async {
        let stream = TcpStream::connect((bare, uri.port_u16().unwrap_or(443))).await?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    match tokio::time::timeout(DEADLINE, handshake).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(format!("connecting to {url} from here: {error}")),
        Err(_) => {
            return Err(format!("connecting to {url} from here: nothing within {DEADLINE:?}"));
        }
    }
    let chain = seen.chain.lock().unwrap_or_else(PoisonError::into_inner);
    let parsed = chain.iter().map(|der| Certificate::from_der(der.clone(), url));
    parsed.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// Takes down what a server presents, whatever it is: nothing is sent to that server, and whether
/// the API server may trust it is decided afterwards.
#[derive(Debug)]
struct Seen {
    provider: Arc<CryptoProvider>,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl Seen {
    fn new() -> Self {
        Self { provider: Arc::new(aws_lc_rs::default_provider()), chain: Mutex::default() }
    }
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(leaf).chain(between).map(|der| der.clone().into_owned());
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = all.collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
