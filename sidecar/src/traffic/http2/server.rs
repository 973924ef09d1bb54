//! HTTP/2 from clients.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::Version;
use hyper::header::{CONTENT_LENGTH, COOKIE, HeaderValue, TRANSFER_ENCODING};
use hyper::http::request;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::{CONNECTION_WINDOW, OnThisThread, STREAM_WINDOW};
use crate::lifecycle::Phase;
use crate::listener::Port;
use crate::settings::Limits;
use crate::traffic::answer;
use crate::worker::{Connection, Order, Stream, Worker};

/// Requests at once on a connection; a client with more waits, or takes a second connection.
const STREAMS: u32 = 256;
/// Streams that a client may have reset before they were looked at (CVE-2023-44487). A proxy that
/// calls for many clients at once may be told by some of them to give up at the same moment.
const RESET_UNSEEN: usize = 100;
/// Streams that we may have to reset because of the client, before it is taken for a flood.
const RESET_BY_US: usize = 256;
/// The most that is kept of a response that the client does not read.
const SEND_BUFFER: usize = 256 << 10;
/// How often a client is asked whether it is still there: one that vanished in the middle of a
/// stream would be waited for until the end of time.
const PING: Duration = Duration::from_mins(1);
/// How long it may take to answer that.
const PONG: Duration = Duration::from_secs(20);

/// Serves a connection to its end.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    port: &Arc<Port>,
    connection: &Rc<Connection>,
    stream: Stream,
) {
    connection.multiplexes();
    // In a box, as each goes through several hands before it has a task, and is large.
    let service = service_fn(|request| {
        Box::pin(answer(Rc::clone(worker), Arc::clone(port), Rc::clone(connection), request))
    });
    let builder = builder(&worker.shared.settings().limits);
    let mut http = builder.serve_connection(TokioIo::new(stream), service);
    // It came so late that the order to end was obeyed by the wait for its first bytes.
    let mut leaving = worker.shared.lifecycle.phase() >= Phase::Closing;
    if leaving {
        Pin::new(&mut http).graceful_shutdown();
    }
    let ended = poll_fn(|cx| {
        if let Some(order) = connection.order(cx) {
            // GOAWAY says which requests were seen, so none is lost in between. A client that
            // does not answer to it is asked to close once more, and then not any longer.
            let in_vain = leaving && order == Order::Close && !connection.is_busy();
            if in_vain || order == Order::BreakOff {
                return Poll::Ready(Ok(()));
            }
            leaving = true;
            Pin::new(&mut http).graceful_shutdown();
        }
        Pin::new(&mut http).poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "connection ended");
    }
}

fn builder(limits: &Limits) -> http2::Builder<OnThisThread> {
    let mut builder = http2::Builder::new(OnThisThread);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(RESET_UNSEEN)
        .max_local_error_reset_streams(RESET_BY_US)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX));
    builder
}

/// Makes a head that came by HTTP/2 the same in HTTP/1.1, but for its URL. `has_body`: it is more
/// than a head.
pub(crate) fn normalize(head: &mut request::Parts, has_body: bool) {
    if head.version != Version::HTTP_2 {
        return;
    }
    head.version = Version::HTTP_11;
    let headers = &mut head.headers;
    // RFC 9113 §8.2.3: split for compression only.
    if headers.get_all(COOKIE).iter().nth(1).is_some() {
        let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
            headers.insert(COOKIE, whole);
        }
    }
    // HTTP/1.1 has no other way to say that there is a body whose length is not known.
    if has_body && !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

#[cfg(test)]
mod tests {
    use hyper::http::request;
    use hyper::{Request, Version};

    use super::normalize;

    fn normalized(request: request::Builder, has_body: bool) -> request::Parts {
        let mut head = request.body(()).unwrap().into_parts().0;
        normalize(&mut head, has_body);
        head
    }

    #[test]
    fn what_came_by_http2_is_put_as_in_http1() {
        let request = || Request::post("http://b/").version(Version::HTTP_2);
        let cookies = request().header("cookie", "a=1").header("cookie", "b=2");
        let head = normalized(cookies, true);
        assert_eq!(head.version, Version::HTTP_11);
        let cookies: Vec<_> = head.headers.get_all("cookie").iter().collect();
        assert_eq!(cookies, ["a=1; b=2"]);
        assert_eq!(head.headers["transfer-encoding"], "chunked");
        for head in [
            normalized(request(), false),
            normalized(request().header("content-length", "3"), true),
            normalized(Request::post("http://b/"), true),
        ] {
            assert!(!head.headers.contains_key("transfer-encoding"), "{head:?}");
        }
    }
}
