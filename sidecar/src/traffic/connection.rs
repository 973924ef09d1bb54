//! The life of one connection: what is spoken, requests one after the other, the end.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connect::{self, Next};
use super::detect::{Spoken, detect};
use super::http2;
use super::secure::secure;
use super::tunnel::{Handover, carry};
use super::{Here, answer};
use crate::listener::Port;
use crate::settings::{HeaderCase, Settings};
use crate::worker::{Connection, Order, Stream, Worker};

/// How long a connection that was taken while the proxy closes may take to say what it wants.
pub(super) const LAST_CALL: Duration = Duration::from_secs(1);
/// Enough for the event loop to look once.
const LAST_LOOK: Duration = Duration::from_millis(2);
/// hyper keeps so many header fields without allocating for them.
const HEADERS_IN_PLACE: usize = 100;
/// hyper's least.
const SMALLEST_BUFFER: usize = 8 << 10;

/// Serves a connection to its end.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    port: &Arc<Port>,
    connection: Rc<Connection>,
    tcp: TcpStream,
) {
    let here = Here { worker, port, connection: &connection };
    let mut stream = if port.tls {
        // In a box, so that plain connections keep no room for a handshake.
        let secured = Box::pin(secure(worker, port, &connection, tcp)).await;
        let Some(stream) = secured else { return };
        stream
    } else {
        Stream::new(tcp, &connection.notes)
    };
    let mut spoken = first_bytes(&connection, &mut stream).await;
    while let Some(speaking) = spoken.take() {
        match speaking {
            Spoken::Http1 => stream = serve_http1(worker, port, &connection, stream).await,
            Spoken::Http2 => return http2::serve(worker, port, &connection, stream).await,
        }
        // What HTTP has ended in, if in something.
        let next = match connection.handover() {
            Some((Handover::Tunnel(far), in_flight)) => Some(Next::Tunnel(far, in_flight)),
            Some((Handover::Connect(asked), in_flight)) => {
                Box::pin(connect::next(&here, &mut stream, asked, in_flight)).await
            }
            None => None,
        };
        match next {
            Some(Next::Http(inside)) => spoken = Some(inside),
            Some(Next::Tunnel(far, in_flight)) => {
                Box::pin(carry(worker, &connection, stream, far)).await;
                return in_flight.end(worker.coarse_now.get());
            }
            None => {}
        }
    }
    if !connection.is_broken() {
        stream.farewell().await;
    }
}

/// Waits for what the client says first, for as long as it may be silent.
async fn first_bytes(connection: &Rc<Connection>, stream: &mut Stream) -> Option<Spoken> {
    if stream.agreed() == Some(b"h2") {
        return Some(Spoken::Http2);
    }
    unless_told(connection, pin!(detect(stream))).await?.ok()?
}

/// Waits for what a client does, unless the connection is told to end before. `None`: it was.
pub(super) async fn unless_told<F: Future>(
    connection: &Connection,
    mut awaited: Pin<&mut F>,
) -> Option<F::Output> {
    let told = poll_fn(|cx| match connection.order(cx) {
        Some(order) => Poll::Ready(Err(order)),
        None => awaited.as_mut().poll(cx).map(Ok),
    });
    match told.await {
        Ok(output) => Some(output),
        // What has arrived already was not seen when this was decided.
        Err(Order::Close | Order::BreakOff) => timeout(LAST_LOOK, awaited).await.ok(),
        // It may be one of those that waited in the queue, with its request on the way.
        Err(Order::Finish) => timeout(LAST_CALL, awaited).await.ok(),
    }
}

/// Serves requests until HTTP ends on the connection; returns it.
async fn serve_http1(
    worker: &Rc<Worker>,
    port: &Arc<Port>,
    connection: &Rc<Connection>,
    stream: Stream,
) -> Stream {
    let service = service_fn(|request| {
        answer(Rc::clone(worker), Arc::clone(port), Rc::clone(connection), request)
    });
    let builder = builder(&worker.shared.settings());
    let mut http = builder.serve_connection(TokioIo::new(stream), service);
    let ended = poll_fn(|cx| {
        if let Some(order) = connection.order(cx) {
            if order == Order::BreakOff {
                connection.break_off();
                return Poll::Ready(Ok(()));
            }
            // A request that has arrived, but was not seen yet, is still answered.
            connection.notes.probe.set(true);
            if let Poll::Ready(ended) = Pin::new(&mut http).poll(cx) {
                return Poll::Ready(ended);
            }
            if order == Order::Close && !connection.is_busy() {
                return Poll::Ready(Ok(()));
            }
            Pin::new(&mut http).graceful_shutdown();
        }
        Pin::new(&mut http).poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "connection ended");
    }
    let parts = http.into_parts();
    let mut stream = parts.io.into_inner();
    if connection.is_broken() {
        stream.reset_at_end();
    }
    stream.unread(&parts.read_buf);
    stream
}

fn builder(settings: &Settings) -> http1::Builder {
    let limits = &settings.limits;
    let mut builder = http1::Builder::new();
    builder
        // The worker's sweep does that, without a timer for each request.
        .header_read_timeout(None)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(SMALLEST_BUFFER))
        .title_case_headers(settings.header_case == HeaderCase::Title);
    if limits.header_fields != HEADERS_IN_PLACE {
        builder.max_headers(limits.header_fields);
    }
    builder
}
