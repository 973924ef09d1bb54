//! Taking connections, and the life of each: handshake, requests, end.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::Service;

use super::connections::{Connection, Connections};
use super::lifecycle::{Lifecycle, Phase};
use super::metrics::Metrics;

/// A head longer than this is refused.
const LONGEST_HEAD: u32 = 16 << 10;
const MOST_HEADERS: usize = 64;
/// HTTP/2: requests at a time, and what a peer may send ahead.
const STREAMS: u32 = 64;
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
/// How long a peer may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait when the system has no file descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// The port: what it serves and by which rules.
pub(super) struct Port {
    pub(super) router: Router,
    /// `None`: plain HTTP.
    pub(super) tls: Option<TlsAcceptor>,
    /// How long a connection may wait for its next request.
    pub(super) idle: Duration,
    pub(super) connections: Arc<Connections>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) lifecycle: Lifecycle,
}

impl Port {
    /// Takes connections until the server closes.
    pub(super) async fn serve(self, listener: TcpListener) {
        let port = Arc::new(self);
        let mut closing = std::pin::pin!(port.lifecycle.reached(Phase::Closing));
        let mut exhausted = false;
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut closing => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((tcp, _)) => {
                    exhausted = false;
                    port.take(tcp);
                }
                // The peer gave up before its turn: nothing of ours.
                Err(error) if is_about_the_peer(&error) => {}
                Err(error) => {
                    if !exhausted {
                        tracing::warn!(%error, "no connection can be taken at the moment");
                        exhausted = true;
                    }
                    // Idle connections hold what is missing; the next caller waits in the queue.
                    port.connections.evict();
                    sleep(EXHAUSTED).await;
                }
            }
        }
    }

    fn take(self: &Arc<Self>, tcp: TcpStream) {
        let Some(connection) = self.connections.admit() else {
            self.metrics.connection_refused();
            return;
        };
        self.metrics.connection_taken();
        let port = Arc::clone(self);
        tokio::spawn(async move { port.handle(tcp, connection).await });
    }

    async fn handle(&self, tcp: TcpStream, connection: Arc<Connection>) {
        // Answers are written at once; waiting for more to send only delays them.
        let _ = tcp.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return Box::pin(self.exchange(tcp, connection)).await;
        };
        // Boxed, as what follows: a task is as large as the largest of its states.
        let handshake = timeout(HANDSHAKE, Box::pin(tls.accept(tcp)));
        let stream = tokio::select! {
            () = connection.evicted() => return,
            () = self.lifecycle.reached(Phase::Closing) => return,
            shaken = handshake => match shaken {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
                Err(_) => return,
            },
        };
        Box::pin(self.exchange(stream, connection)).await;
    }

    /// Requests and answers, until one side ends it.
    async fn exchange<S>(&self, stream: S, connection: Arc<Connection>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = {
            let (router, connection) = (self.router.clone(), Arc::clone(&connection));
            service_fn(move |mut request: hyper::Request<Incoming>| {
                // The connection is busy until the answer is ready, or the socket ends.
                let held = connection.hold();
                request.extensions_mut().insert(held.clone());
                let answer = router.clone().call(request.map(Body::new));
                async move {
                    let answer = answer.await;
                    drop(held);
                    Ok::<_, Infallible>(answer.unwrap_or_else(|never| match never {}))
                }
            })
        };
        let builder = self.builder();
        let exchange = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut http = std::pin::pin!(exchange);
        let mut closing = std::pin::pin!(self.lifecycle.reached(Phase::Closing));
        let mut leaving = false;
        loop {
            tokio::select! {
                ended = http.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(error, "connection ended");
                    }
                    return;
                }
                () = connection.evicted() => return,
                () = &mut closing, if !leaving => {
                    leaving = true;
                    http.as_mut().graceful_shutdown();
                }
            }
        }
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            // Between requests too, so as long as idling is allowed.
            .header_read_timeout(self.idle)
            .max_headers(MOST_HEADERS)
            .max_buf_size(LONGEST_HEAD as usize);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(self.idle)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(LONGEST_HEAD)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        builder
    }
}

/// Failures of `accept` that concern one connection only.
fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
