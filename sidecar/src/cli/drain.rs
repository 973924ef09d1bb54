//! `mesher drain`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::configuration::Inputs;

/// The longest answer that is shown.
const LONGEST: usize = 4 << 10;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

pub(super) fn run(args: &Args, inputs: &Inputs) -> anyhow::Result<ExitCode> {
    let port = inputs.read().admin_port();
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let deadline = Duration::from_secs(args.timeout);
    let asked = runtime.block_on(async { tokio::time::timeout(deadline, ask(address)).await });
    match asked {
        Ok(answer) => answer?,
        Err(_) => bail!("{address}: no answer within {deadline:?}: it goes on draining"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(address: SocketAddr) -> anyhow::Result<()> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("{address}: is mesher running here?"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.context("no HTTP")?;
    let connection = tokio::spawn(connection);
    let request = Request::post("/drain")
        .header("host", address.to_string())
        .body(Empty::<Bytes>::new())
        .context("cannot ask")?;
    let response = sender.send_request(request).await.context("mesher went away")?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST).collect().await;
    connection.abort();
    if !status.is_success() {
        let said = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).trim().to_owned());
        bail!("{address}: refused with {status}: {}", said.unwrap_or_default());
    }
    Ok(())
}
