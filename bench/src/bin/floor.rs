//! What answering costs without deciding: TLS, HTTP/2, the body read to its end and one constant
//! answer, by the libraries and settings of the injector. `floor TLS_FOLDER ANSWER_FILE`.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, Request, Response, header};
use axum::routing::post;
use certs::store::FolderStore;
use certs::{Names, Serving, Terms};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower::Service;

// On one thread, as the injector answers reviews on two processors.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), Some(answer)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("floor TLS_FOLDER ANSWER_FILE");
    };
    let answer = Bytes::from(std::fs::read(answer).context("the answer cannot be read")?);
    let names = Names::of_service("floor", "default")?.with_url("https://127.0.0.1/")?;
    let serving = Serving::of_store(FolderStore::new(folder), names, Terms::default());
    let mut status = serving.status();
    status.wait_for(|status| status.leaf.is_some()).await?;
    let acceptor = TlsAcceptor::from(Arc::new(certs::server_config(serving.resolver())));
    let router = Router::new().route("/mutate", post(constant)).with_state(answer);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{{\"message\":\"serving\",\"webhook\":\"{}\"}}", listener.local_addr()?);
    loop {
        let (tcp, _) = listener.accept().await?;
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            if let Err(error) = serve(tcp, acceptor, router).await {
                eprintln!("{error:#}");
            }
        });
    }
}

async fn serve(tcp: TcpStream, acceptor: TlsAcceptor, router: Router) -> Result<()> {
    tcp.set_nodelay(true)?;
    let stream = acceptor.accept(tcp).await?;
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = router.clone().call(request.map(Body::new));
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let mut builder = Builder::new(TokioExecutor::new()).http2_only();
    builder.http2().initial_stream_window_size(128 << 10).initial_connection_window_size(256 << 10);
    let served = builder.serve_connection(TokioIo::new(stream), service).await;
    served.map_err(|error| anyhow::anyhow!(error))
}

async fn constant(State(answer): State<Bytes>, request: Request<Body>) -> Response<Body> {
    // A body that breaks off gets no answer anybody waits for.
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Body::from(answer));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
