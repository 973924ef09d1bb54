//! Taking connections, and the life of each: handshake, requests, end.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

use super::connections::{Admission, Connection, Connections};
use super::handshake::Failure;
use super::lifecycle::{Lifecycle, Phase};
use super::metrics::ConnectionCounters;
use super::review::Reviews;
use super::routes;
use super::workers::Workers;
use crate::config::Limits;

/// A head longer than this is refused; a body is read in pieces of at most this.
const READ_BUFFER: u32 = 16 << 10;
const HEADERS: usize = 64;
/// What a peer may send ahead on HTTP/2, for one request and for all of a connection.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
/// How long to wait when the system has no file descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(50);
/// How long a connection that was asked to end may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// One port: what it serves and by which rules.
#[derive(Clone)]
pub(super) struct Port {
    pub(super) service: Service,
    /// `None`: plain HTTP.
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) limits: Arc<Limits>,
    pub(super) connections: Arc<Connections>,
    pub(super) counters: ConnectionCounters,
    pub(super) lifecycle: Lifecycle,
    /// `None`: connections live on the thread that accepts them.
    pub(super) workers: Option<Arc<Workers>>,
}

/// Who answers the requests of a port.
#[derive(Clone)]
pub(super) enum Service {
    Webhook(Arc<Reviews>),
    Operations(Router),
}

impl Service {
    async fn answer(&self, request: hyper::Request<Incoming>) -> Response {
        match self {
            Self::Webhook(reviews) => routes::webhook(reviews, request).await,
            Self::Operations(router) => {
                let answer = router.clone().call(request.map(Body::new)).await;
                answer.unwrap_or_else(|never| match never {})
            }
        }
    }
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
                    port.counters.accept_failures.inc();
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
        let connection = match self.connections.admit() {
            Admission::Room(connection) => connection,
            Admission::InsteadOfAnother(connection) => {
                self.counters.evicted.inc();
                connection
            }
            Admission::Full => {
                self.counters.evicted.inc();
                return;
            }
        };
        self.counters.accepted.inc();
        let port = Arc::clone(self);
        let life = |tcp| async move { port.handle(tcp, connection).await };
        match &self.workers {
            Some(workers) => workers.serve(tcp, life),
            None => drop(tokio::spawn(life(tcp))),
        }
    }

    async fn handle(&self, tcp: TcpStream, connection: Connection) {
        // Answers are written at once; waiting for more to send only delays them.
        let _ = tcp.set_nodelay(true);
        let Some(tls) = &self.tls else {
            connection.established();
            return Box::pin(self.exchange(tcp, connection, false)).await;
        };
        // Boxed, as what follows: a task is as large as the largest of its states. And without a
        // first byte there is no session to keep state for.
        let shake = async {
            tcp.readable().await?;
            Box::pin(tls.accept(tcp)).await
        };
        let handshake = timeout(self.limits.handshake_timeout, shake);
        let stream = tokio::select! {
            () = connection.evicted() => return,
            // Nobody waits for it yet.
            () = self.lifecycle.reached(Phase::Closing) => return,
            shaken = handshake => match shaken {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    let failure = Failure::of(&error);
                    self.counters.unshaken(failure);
                    tracing::debug!(reason = failure.as_str(), %error, "TLS handshake failed");
                    return;
                }
                Err(_) => {
                    self.counters.unshaken(Failure::Timeout);
                    return;
                }
            },
        };
        connection.established();
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Box::pin(self.exchange(stream, connection, h2)).await;
    }

    /// Requests and answers, until one side ends it or its time is over.
    async fn exchange<S>(&self, stream: S, connection: Connection, h2: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Arc::new(connection);
        let last = Arc::new(AtomicBool::new(false));
        let service = {
            let (service, connection) = (self.service.clone(), Arc::clone(&connection));
            let last = Arc::clone(&last);
            service_fn(move |request| {
                let (service, under_way) = (service.clone(), connection.request());
                let last = Arc::clone(&last);
                async move {
                    let mut answer = service.answer(request).await;
                    if last.load(Ordering::Relaxed) {
                        let close = HeaderValue::from_static("close");
                        answer.headers_mut().insert(header::CONNECTION, close);
                    }
                    drop(under_way);
                    Ok::<_, Infallible>(answer)
                }
            })
        };
        let builder = self.builder(h2);
        let mut http = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        // HTTP/1.1 has no GOAWAY: an idle connection that is closed may already carry the next
        // request, which is lost then. So the server leaves those that are in use by an answer that
        // says so, and what it closes afterwards has been idle for a while.
        let mut departing = std::pin::pin!(self.lifecycle.reached(Phase::Leaving));
        let mut closing = std::pin::pin!(self.lifecycle.reached(Phase::Closing));
        let (fresh, idle) = (self.limits.header_timeout, self.limits.idle_timeout);
        let mut leaving = false;
        let mut look = Instant::now() + fresh;
        loop {
            tokio::select! {
                ended = http.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(error, "connection ended");
                    }
                    return;
                }
                () = connection.evicted() => return,
                () = &mut departing, if !h2 && !last.load(Ordering::Relaxed) => {
                    last.store(true, Ordering::Relaxed);
                }
                () = &mut closing, if !leaving => {
                    leaving = true;
                    http.as_mut().graceful_shutdown();
                    // From here on the server's deadline counts.
                    look = Instant::now() + self.limits.request_timeout + GOODBYE;
                }
                () = sleep_until(look) => {
                    let expires = connection.expires(fresh, idle).into();
                    if leaving {
                        return;
                    } else if expires > Instant::now() {
                        look = expires;
                    } else {
                        leaving = true;
                        http.as_mut().graceful_shutdown();
                        look = Instant::now() + GOODBYE;
                    }
                }
            }
        }
    }

    fn builder(&self, h2: bool) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            // Between requests too, so no shorter than idling is allowed.
            .header_read_timeout(self.limits.idle_timeout)
            .max_headers(HEADERS)
            .max_buf_size(READ_BUFFER as usize);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.streams)
            .max_header_list_size(READ_BUFFER)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        if h2 { builder.http2_only() } else { builder.http1_only() }
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
