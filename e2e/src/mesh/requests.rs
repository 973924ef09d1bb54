//! Requests as an application makes them: with a library, on connections that are kept.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::PATIENCE;
use crate::wire::Reply;

/// One kept connection to a proxy or a server, made anew when the other end says that it closes.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<(SendRequest<Full<Bytes>>, JoinHandle<()>)>,
}

impl Client {
    /// A client of `address`; it connects with its first request.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// One request on a connection of its own.
    pub async fn once(address: SocketAddr, method: &str, url: &str, body: &str) -> Result<Reply> {
        Self::new(address).send(method, url, &[], Bytes::from(body.to_owned())).await
    }

    /// GET with header fields.
    pub async fn get(&mut self, url: &str, headers: &[(&str, &str)]) -> Result<Reply> {
        self.send("GET", url, headers, Bytes::new()).await
    }

    /// Sends a request and receives all of its reply. `url` may be absolute, as for a proxy, or a
    /// path, as for a server.
    pub async fn send(
        &mut self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Reply> {
        let (mut sender, driver) = match self.connection.take() {
            Some((sender, driver)) if sender.is_ready() => (sender, driver),
            _ => self.connect().await?,
        };
        let url: hyper::Uri = url.parse()?;
        let host = url.authority().map_or_else(|| self.address.to_string(), ToString::to_string);
        let mut request = Request::builder().method(method).uri(url).header("host", host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            Ok::<_, hyper::Error>((head, body.collect().await?.to_bytes()))
        };
        let (head, body) = timeout(PATIENCE, exchange).await.context("no answer")??;
        if head.headers.get("connection").is_some_and(|value| value == "close") {
            driver.abort();
        } else {
            // It is idle only when its task has seen so.
            timeout(PATIENCE, sender.ready()).await.context("it never rests")?.ok();
            self.connection = Some((sender, driver));
        }
        let text = |value: &hyper::header::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        let headers = head.headers.iter().map(|(k, v)| (k.to_string(), text(v))).collect();
        Ok(Reply { status: head.status.as_u16(), headers, body: body.to_vec() })
    }

    async fn connect(&self) -> Result<(SendRequest<Full<Bytes>>, JoinHandle<()>)> {
        let tcp =
            timeout(PATIENCE, TcpStream::connect(self.address)).await.context("connect")??;
        tcp.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(tcp)).await?;
        let driver = tokio::spawn(async {
            let _ = connection.await;
        });
        Ok((sender, driver))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some((_, driver)) = &self.connection {
            driver.abort();
        }
    }
}

/// How long the body was that a `mockserver` says it received.
pub fn body_bytes(reply: &Reply) -> Result<u64> {
    Ok(reply.json()?["BodyBytes"].as_u64().unwrap_or(0))
}
