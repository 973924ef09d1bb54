//! Connections to a control plane.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint, Uri};

use super::error::Error;
use super::options::{Options, Security};

const CONNECT: Duration = Duration::from_secs(5);
/// istiod takes pings more often than every 15 s for an attack.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(10);

/// Connects. What the files say is read anew each time: roots and tokens are replaced in running
/// pods.
pub(super) async fn connect(options: &Options) -> Result<Channel, Error> {
    let address = &options.address;
    let wrong = |reason: String| Error::Address { address: address.clone(), reason };
    // TLS, where it is spoken, is ours: the library need not know.
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| wrong(error.to_string()))?
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(1 << 21);
    let connected = match &options.security {
        None => endpoint.connect().await,
        Some(security) => {
            let host = endpoint.uri().host().unwrap_or_default().to_owned();
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let name = ServerName::try_from(host).map_err(|error| wrong(error.to_string()))?;
            let connector = TlsConnector::from(Arc::new(config(security)?));
            let dial = tower::service_fn(move |uri: Uri| {
                let (connector, name) = (connector.clone(), name.clone());
                async move {
                    let host = uri.host().unwrap_or_default();
                    let port = uri.port_u16().unwrap_or(15012);
                    let host = host.trim_start_matches('[').trim_end_matches(']');
                    let tcp = TcpStream::connect((host, port)).await?;
                    tcp.set_nodelay(true)?;
                    let tls = connector.connect(name, tcp).await?;
                    Ok::<_, std::io::Error>(TokioIo::new(tls))
                }
            });
            endpoint.connect_with_connector(dial).await
        }
    };
    connected
        .map_err(|error| Error::Unreachable { address: address.clone(), reason: chain(&error) })
}

fn config(security: &Security) -> Result<ClientConfig, Error> {
    let path = &security.roots;
    let wrong = |reason: String| Error::File { path: path.clone(), reason };
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("holds no certificate".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// What says who we are, where there is a token. It is never shown.
pub(super) fn bearer(options: &Options) -> Option<MetadataValue<Ascii>> {
    let token = std::fs::read_to_string(&options.security.as_ref()?.token).ok()?;
    let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.trim()).parse().ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// An error with what caused it, as libraries hide the reason there.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
