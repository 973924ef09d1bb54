//! One HTTP/2 connection over TLS, as the API server makes it.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Target;

/// What an answer takes, with room to spare; so the connection never waits for a window.
const WINDOW: u32 = 1 << 20;

/// Clones share the connection; it ends with the last of them, after what is under way.
#[derive(Debug, Clone)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    target: Arc<Target>,
}

impl Connection {
    /// A whole handshake, which trusts whom the target's CA file names now.
    pub async fn open(target: &Arc<Target>) -> Result<Self> {
        let tls = TlsConnector::from(Arc::new(trusting(target)?));
        let tcp = TcpStream::connect(target.address).await.context("cannot connect")?;
        tcp.set_nodelay(true)?;
        let name = ServerName::from(target.address.ip());
        let stream = tls.connect(name, tcp).await.context("TLS handshake")?;
        ensure!(stream.get_ref().1.alpn_protocol() == Some(b"h2"), "the server declined HTTP/2");
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(TokioIo::new(stream))
            .await
            .context("HTTP/2 handshake")?;
        // What ends it in disorder fails the reviews on it, which tell.
        tokio::spawn(connection);
        Ok(Self { sender, target: Arc::clone(target) })
    }

    /// Sends the target's review and reads the answer to its end.
    pub async fn review(&mut self) -> Result<()> {
        let target = &self.target;
        let request = Request::post(format!("https://{}{}", target.address, target.path))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, */*")
            .body(Full::new(target.body.clone()))?;
        let answer = self.sender.send_request(request).await.context("no answer")?;
        let status = answer.status();
        let body = answer.into_body().collect().await.context("the answer broke off")?.to_bytes();
        let text = std::str::from_utf8(&body).context("the answer is no text")?;
        if status != StatusCode::OK || !text.contains(target.expected) {
            let start: String = text.chars().take(500).collect();
            bail!("{status}, and no {} in: {start}", target.expected);
        }
        Ok(())
    }
}

fn trusting(target: &Target) -> Result<ClientConfig> {
    let pem = fs::read(&target.ca).with_context(|| format!("reading {}", target.ca.display()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certs::Certificate::all_from_pem(&pem, "ca.crt")? {
        roots.add(certificate.der().clone())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
