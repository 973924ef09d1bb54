//! Asking the `mesher` that runs beside this command, on its admin port.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::configuration::Inputs;

/// Where it is, by the configuration that this command sees.
pub(super) fn address(inputs: &Inputs) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), inputs.read().admin_port())
}

/// Runs `asking` for as long as `deadline` allows; the error then ends in `silent`.
pub(super) fn within<T>(
    deadline: Duration,
    address: SocketAddr,
    silent: &str,
    asking: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    match runtime.block_on(async { tokio::time::timeout(deadline, asking).await }) {
        Ok(answer) => answer,
        Err(_) => bail!("{address}: no answer within {deadline:?}{silent}"),
    }
}

/// Makes one request; the answer, of `longest` bytes at the most, unless it is a refusal.
pub(super) async fn ask(
    address: SocketAddr,
    method: Method,
    path: &str,
    longest: usize,
) -> anyhow::Result<Bytes> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("{address}: is mesher running here?"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.context("no HTTP")?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address.to_string())
        .header("accept", "application/json")
        .body(Empty::<Bytes>::new())
        .context("cannot ask")?;
    let response = sender.send_request(request).await.context("mesher went away")?;
    let status = response.status();
    let body = Limited::new(response.into_body(), longest).collect().await;
    connection.abort();
    if !status.is_success() {
        let said = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).trim().to_owned());
        bail!("{address}: refused with {status}: {}", said.unwrap_or_default());
    }
    let body = body.map_err(|error| anyhow::anyhow!("{address}: half an answer: {error}"))?;
    Ok(body.to_bytes())
}
