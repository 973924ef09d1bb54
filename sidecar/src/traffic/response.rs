//! The way back: the response's head is made ours, and its body carries the connection along
//! until it has ended.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use hyper::{Response, StatusCode, Version};

use super::Here;
use super::choose::Choice;
use super::framing;
use super::headers::{ERROR, remove_hop_by_hop};
use super::refusal::Refusal;
use super::upgrade;
use super::upstream::Http1;
use crate::plan::{Kind, Route};
use crate::worker::{InFlight, Worker};

/// Whether a peer of ours says that it did not hand the request on. Others are not believed: what
/// they say is stripped, and they would have the request sent twice.
pub(crate) fn declined<B>(route: &Route, response: &Response<B>) -> bool {
    let Some(word) = response.headers().get(ERROR) else { return false };
    route.kind == Kind::Service && (word == "draining" || word == "local_refused")
}

/// Makes a response of what an endpoint answered.
pub(crate) fn finish(
    here: &Here<'_>,
    route: &Route,
    choice: Choice,
    response: Response<Incoming>,
    connection: Http1,
    upgrade: bool,
) -> Result<Response<ResponseBody>, Refusal> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Who was not asked to may not.
        let stream = if upgrade { connection.into_stream() } else { None };
        let stream = stream.ok_or(Refusal::BadResponse)?;
        return Ok(upgrade::switch(here, route, choice, response, stream));
    }
    let (mut head, incoming) = response.into_parts();
    let headers = &mut head.headers;
    if headers.contains_key(TRANSFER_ENCODING) {
        if !framing::is_plain(headers) {
            return Err(Refusal::BadResponse);
        }
        // `chunked` wins over a length (RFC 9112 §6.3).
        headers.remove(CONTENT_LENGTH);
    }
    remove_hop_by_hop(headers);
    if route.kind != Kind::Service {
        headers.remove(ERROR);
    }
    // Our version, not that of the endpoint.
    head.version = Version::HTTP_11;
    let mut pump = Pump { incoming, choice, connection: Some(connection), pooled: !upgrade };
    if pump.incoming.is_end_stream() {
        pump.finish(here.worker);
    }
    let body = ResponseBody { content: Content::Pumped(pump), holder: None };
    Ok(Response::from_parts(head, body))
}

/// Tells the client to take another connection next time.
pub(crate) fn ask_to_leave(response: &mut Response<ResponseBody>) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}

/// The body of a response, and who may be told when it is gone.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    content: Content,
    holder: Option<(InFlight, Rc<Worker>)>,
}

#[derive(Debug)]
enum Content {
    /// Something of ours.
    Text(Option<Bytes>),
    /// What an endpoint sends.
    Pumped(Pump),
}

/// The rest of a response, and the connection that brings it.
#[derive(Debug)]
struct Pump {
    incoming: Incoming,
    choice: Choice,
    /// Dropped before the end, it is closed: so HTTP/1 says that nobody wants the rest.
    connection: Option<Http1>,
    /// Whether it may serve another request.
    pooled: bool,
}

impl Pump {
    /// The response is whole: the connection may serve another.
    fn finish(&mut self, worker: &Worker) {
        let Some(mut connection) = self.connection.take() else { return };
        // Not so while the request is still being sent.
        if self.pooled && connection.sender.is_ready() {
            connection.reused = true;
            let most = worker.shared.settings().limits.idle_upstream;
            let pool = self.choice.endpoint.pool;
            worker.pool.put(pool, connection, worker.coarse_now.get(), most);
        }
    }
}

impl ResponseBody {
    pub(crate) fn text(text: String) -> Self {
        Self { content: Content::Text(Some(text.into())), holder: None }
    }

    pub(crate) fn empty() -> Self {
        Self { content: Content::Text(None), holder: None }
    }

    /// The request counts as under way until this body is gone.
    pub(crate) fn hold(&mut self, in_flight: InFlight, worker: &Rc<Worker>) {
        self.holder = Some((in_flight, Rc::clone(worker)));
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let pump = match &mut this.content {
            Content::Text(text) => return Poll::Ready(text.take().map(|t| Ok(Frame::data(t)))),
            Content::Pumped(pump) => pump,
        };
        if let Some(connection) = &mut pump.connection {
            connection.driver.drive(cx);
        }
        let polled = ready!(Pin::new(&mut pump.incoming).poll_frame(cx));
        if let Some(Err(_)) = &polled {
            pump.connection = None;
            if let Some((in_flight, _)) = &this.holder {
                in_flight.connection().break_off();
            }
        } else if polled.is_none() || pump.incoming.is_end_stream() {
            if let Some(connection) = &mut pump.connection {
                // It has to see that it is idle.
                connection.driver.drive(cx);
            }
            if let Some((_, worker)) = &this.holder {
                pump.finish(worker);
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Text(text) => text.is_none(),
            Content::Pumped(pump) => pump.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Content::Pumped(pump) => pump.incoming.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Some((in_flight, worker)) = &self.holder {
            in_flight.end(worker.coarse_now.get());
        }
    }
}
