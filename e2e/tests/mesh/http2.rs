//! HTTP/2 as its specification has it, by a tool made to find out.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::mesh::{Mesh, loopback};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use testbed::tools;
use tokio::net::TcpListener;

/// A connection that begins with something else than HTTP/2 is one of HTTP/1 here, on the same
/// port, and told in HTTP/1 that it makes no sense; the tool wants it closed without a word.
const NOT_HTTP2: &str = "Sends invalid connection preface";
/// Fewer were never run: then something is wrong with how they are counted.
const AT_LEAST: usize = 140;

/// An application of HTTP/1 and HTTP/2 that answers once it has read all. Its port.
async fn application() -> Result<u16> {
    let listener = TcpListener::bind(loopback(0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| async {
                    let text = if request.method() == Method::HEAD { "" } else { "all was read" };
                    // A body that breaks off needs no answer, but gets one.
                    let _ = request.into_body().collect().await;
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
                });
                let http = auto::Builder::new(TokioExecutor::new());
                let _ = http.serve_connection(TokioIo::new(tcp), service).await;
            });
        }
    });
    Ok(port)
}

/// Runs all tests against a listener, asking for what `host` means to it.
fn conforms(host: &str, address: SocketAddr) -> Result<()> {
    let mut h2spec = Command::new(tools::program("h2spec")?);
    h2spec.env_clear().args(["--strict", "-h", host, "-p", &address.port().to_string()]);
    let output = h2spec.output().context("h2spec")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let summary = text.lines().last().unwrap_or_default();
    let count = summary.split(' ').next().and_then(|count| count.parse::<usize>().ok());
    ensure!(count.is_some_and(|count| count >= AT_LEAST), "{address}: {text}");
    let (_, failures) = text.split_once("Failures:").unwrap_or_default();
    let failed: Vec<_> = failures.lines().filter(|line| line.contains('×')).collect();
    let expected = failed.len() == 1 && failed[0].ends_with(NOT_HTTP2);
    ensure!(expected && summary.ends_with(" 0 skipped, 1 failed"), "{address}: {text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_listener_speaks_http2_as_specified() -> Result<()> {
    let mesh = Mesh::start()?;
    // The consumer side is asked for the name that it is reached by: so that is a service. What is
    // refused is answered before all has come, and then some frames are late that the tool sends.
    let direct = loopback(application().await?).to_string();
    let named = mesh.sidecar("localhost").in_a_pod("localhost").with_grpc();
    let named = ["http", "grpc"].into_iter().fold(named, |named, protocol| {
        named.key(&format!("servicecomb.protocols.{protocol}.advertiseAddress"), &direct)
    });
    let named = named.start()?;
    mesh.registry.wait_for("localhost", &["UP"]).await?;
    conforms("localhost", named.consumer)?;
    conforms("localhost", named.consumer_grpc.context("it has gRPC")?)?;

    let (rest, grpc) = (application().await?, application().await?);
    let service = mesh.sidecar("orders").in_a_pod("orders").with_grpc();
    let service = service.variable("SERVICE_PORTS", &format!("rest:{rest},grpc:{grpc}")).start()?;
    for address in [service.provider()?, service.provider_grpc.context("it has gRPC")?] {
        conforms(&address.ip().to_string(), address)?;
    }
    Ok(())
}
