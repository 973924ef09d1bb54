//! HTTP/2 over TLS, as the API server speaks it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Reply;

const PATIENCE: Duration = Duration::from_mins(1);

/// One connection.
#[derive(Debug)]
pub struct Http2 {
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Http2 {
    /// Connects; the server has to agree on `h2`.
    pub fn connect(address: SocketAddr, tls: &Arc<ClientConfig>) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut config = ClientConfig::clone(tls);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (sender, connection) = runtime.block_on(async {
            let tcp = TcpStream::connect(address).await?;
            let name = ServerName::from(address.ip());
            let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
            ensure!(tls.get_ref().1.alpn_protocol() == Some(b"h2"), "the server declined h2");
            let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(tls)).await?;
            Ok((sender, tokio::spawn(connection)))
        })?;
        Ok(Self { runtime, sender, connection })
    }

    /// Posts `body` as the API server does.
    pub fn post(&mut self, path: &str, body: &[u8]) -> Result<Reply> {
        Ok(self.post_all(path, &[body])?.remove(0))
    }

    /// Posts all of `bodies` at once, each as a stream of its own.
    pub fn post_all(&mut self, path: &str, bodies: &[&[u8]]) -> Result<Vec<Reply>> {
        let requests = bodies
            .iter()
            .map(|body| {
                let request = Request::post(format!("https://injector{path}"))
                    .header("content-type", "application/json");
                Ok(request.body(Full::from(body.to_vec()))?)
            })
            .collect::<Result<Vec<_>>>()?;
        self.send_all(requests)
    }

    /// Sends any request.
    pub fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Reply> {
        Ok(self.send_all(vec![request])?.remove(0))
    }

    fn send_all(&mut self, requests: Vec<Request<Full<Bytes>>>) -> Result<Vec<Reply>> {
        let Self { runtime, sender, .. } = self;
        runtime.block_on(async {
            let mut answers = Vec::new();
            for mut request in requests {
                *request.version_mut() = Version::HTTP_2;
                sender.ready().await?;
                answers.push(tokio::spawn(sender.send_request(request)));
            }
            let mut replies = Vec::new();
            for answer in answers {
                let answer = timeout(PATIENCE, answer).await.context("no answer")??;
                replies.push(collect(answer?).await?);
            }
            Ok(replies)
        })
    }

    /// Waits until the server has ended the connection in order (GOAWAY).
    pub fn closed_by_server(self) -> Result<()> {
        let Self { runtime, connection, .. } = self;
        runtime.block_on(async {
            let ended = timeout(PATIENCE, connection).await.context("the connection lives on")?;
            Ok(ended??)
        })
    }
}

async fn collect(answer: Response<hyper::body::Incoming>) -> Result<Reply> {
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let status = answer.status().as_u16();
    let body = timeout(PATIENCE, answer.into_body().collect()).await??.to_bytes().to_vec();
    Ok(Reply { status, headers, body })
}
