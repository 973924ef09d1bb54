//! The certificate that a webhook serves, read off a TLS handshake.

use std::sync::Arc;
use std::time::Duration;

use certs::{AnyServer, Certificate};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
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
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        // Nothing is sent to that server, and whether the API server may trust it is decided
        // afterwards.
        .with_custom_certificate_verifier(AnyServer::new(provider))
        .with_no_client_auth();
    let handshake = async {
        let stream = TcpStream::connect((bare, uri.port_u16().unwrap_or(443))).await?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    let stream = match tokio::time::timeout(DEADLINE, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(format!("connecting to {url} from here: {error}")),
        Err(_) => {
            return Err(format!("connecting to {url} from here: nothing within {DEADLINE:?}"));
        }
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let parsed = chain.iter().map(|der| Certificate::from_der(der.clone(), url));
    parsed.collect::<Result<_, _>>().map_err(|error| error.to_string())
}
