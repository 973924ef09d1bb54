//! The way back: the response's head is made ours, and its body carries the connection along
//! until it has ended.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use hyper::{HeaderMap, Response, StatusCode, Version};
use mesh::GrpcStatus;

use super::Here;
use super::choose::Choice;
use super::exchange::Answered;
use super::framing;
use super::grpc::{self, Call};
use super::headers::{ERROR, remove_hop_by_hop};
use super::http2::{Download, Gathered};
use super::observation::Observation;
use super::reason::Reason;
use super::refusal::Refusal;
use super::upgrade;
use super::upstream::Http1;
use crate::plan::{Endpoint, Route};
use crate::worker::Worker;

/// Bytes that are read of a response that nobody wants.
const WORTH: usize = 256 << 10;

/// Whether a peer of ours says that it did not hand the request on. Others are not believed: what
/// they say is stripped, and they would have the request sent twice.
pub(crate) fn declined(route: &Route, endpoint: &Endpoint, headers: &HeaderMap) -> bool {
    let Some(word) = headers.get(ERROR) else { return false };
    route.is_peer(endpoint) && (word == "draining" || word == "local_refused")
}

/// Makes a response of what an endpoint answered.
pub(crate) fn finish(
    here: &Here<'_>,
    route: &Route,
    choice: Choice,
    answered: Answered,
    upgrade: bool,
) -> Result<Response<ResponseBody>, Refusal> {
    let (response, connection) = match answered {
        Answered::Http1(response, connection) => (response, connection),
        Answered::Http2(response) => return Ok(stream(route, choice, response)),
    };
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
    if !route.is_peer(&choice.endpoint) {
        headers.remove(ERROR);
    }
    // Our version, not that of the endpoint.
    head.version = Version::HTTP_11;
    let mut pump = Pump { incoming, choice, connection: Some(connection), pooled: !upgrade };
    if pump.incoming.is_end_stream() {
        pump.finish(here.worker);
    }
    Ok(Response::from_parts(head, ResponseBody::new(Content::Pumped(pump))))
}

/// Takes a response that nobody wants, so that its connection can be used again; of a long one, as
/// much as that is worth.
pub(crate) async fn discard(worker: &Worker, choice: Choice, answered: Answered) {
    let mut left = WORTH;
    match answered {
        Answered::Http1(response, connection) => {
            let pooled = response.status() != StatusCode::SWITCHING_PROTOCOLS;
            let incoming = response.into_body();
            let mut pump = Pump { incoming, choice, connection: Some(connection), pooled };
            if pump.incoming.is_end_stream() {
                return pump.finish(worker);
            }
            while let Some(Ok(frame)) = poll_fn(|cx| pump.poll(cx, Some(worker))).await {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if left == 0 {
                    return;
                }
            }
        }
        Answered::Http2(response) => {
            let mut body = Gathered::new(response.into_body());
            while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if left == 0 {
                    return;
                }
            }
            drop(choice);
        }
    }
}

/// Makes a response of one that came by HTTP/2, which has nothing for one connection only.
fn stream(route: &Route, choice: Choice, response: Response<Download>) -> Response<ResponseBody> {
    let (mut head, incoming) = response.into_parts();
    if !route.is_peer(&choice.endpoint) {
        head.headers.remove(ERROR);
    }
    head.version = Version::HTTP_11;
    let streamed = Content::Streamed(Box::new((Gathered::new(incoming), choice)));
    Response::from_parts(head, ResponseBody::new(streamed))
}

/// Tells the client to take another connection next time.
pub(crate) fn ask_to_leave(response: &mut Response<ResponseBody>) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}

/// The body of a response.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    content: Content,
    /// Whoever may be told when it is gone.
    seen: Option<Observation>,
    /// Where it is that of a gRPC call.
    call: Option<Box<Call>>,
}

#[derive(Debug)]
enum Content {
    /// Something of ours.
    Text(Option<Bytes>),
    /// What an endpoint sends.
    Pumped(Pump),
    /// The same by HTTP/2, and the choice that counts as busy for as long.
    Streamed(Box<(Gathered<Download>, Choice)>),
}

/// A response broke off.
#[derive(Debug)]
pub(crate) enum Broken {
    Http1(hyper::Error),
    /// What it was reset with is what the client's stream is reset with.
    Http2(h2::Error),
}

impl Broken {
    /// What it means for a call that it was the response of.
    fn status(&self) -> GrpcStatus {
        match self {
            Self::Http2(error) => match error.reason() {
                Some(reason) if error.is_reset() => GrpcStatus::of_reset(reason.into()),
                _ => GrpcStatus::UNAVAILABLE,
            },
            Self::Http1(_) => GrpcStatus::UNAVAILABLE,
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response broke off")
    }
}

impl Error for Broken {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(match self {
            Self::Http1(error) => error,
            Self::Http2(error) => error,
        })
    }
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
    /// What comes next; the connection is given back to the pool of `worker` at the end.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        worker: Option<&Worker>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(connection) = &mut self.connection {
            connection.driver.drive(cx);
        }
        let polled = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        if let Some(Err(_)) = &polled {
            self.connection = None;
        } else if polled.is_none() || self.incoming.is_end_stream() {
            if let Some(connection) = &mut self.connection {
                // It has to see that it is idle.
                connection.driver.drive(cx);
            }
            if let Some(worker) = worker {
                self.finish(worker);
            }
        }
        Poll::Ready(polled)
    }

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
    fn new(content: Content) -> Self {
        Self { content, seen: None, call: None }
    }

    pub(crate) fn text(text: String) -> Self {
        Self::new(Content::Text(Some(text.into())))
    }

    pub(crate) fn empty() -> Self {
        Self::new(Content::Text(None))
    }

    /// The request is under way until this body is gone.
    pub(crate) fn hold(&mut self, seen: Observation) {
        if self.is_end_stream() {
            seen.is_whole();
        }
        self.seen = Some(seen);
    }

    /// Leaves out what nobody asked for: HTTP/2 would send it also in answer to HEAD.
    pub(crate) fn omit(&mut self) {
        if let Content::Text(text) = &mut self.content {
            *text = None;
        }
    }

    /// It is that of a call, which may take as long as its client said.
    pub(crate) fn follow(&mut self, mut call: Box<Call>) {
        if !self.is_end_stream() {
            call.is_answered();
            self.call = Some(call);
        }
    }

    /// What comes next of it, from wherever that is.
    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let pump = match &mut self.content {
            Content::Text(text) => return Poll::Ready(text.take().map(|t| Ok(Frame::data(t)))),
            Content::Streamed(streamed) => {
                let polled = ready!(Pin::new(&mut streamed.0).poll_frame(cx));
                return Poll::Ready(polled.map(|frame| frame.map_err(Broken::Http2)));
            }
            Content::Pumped(pump) => pump,
        };
        let polled = ready!(pump.poll(cx, self.seen.as_ref().map(Observation::worker)));
        Poll::Ready(polled.map(|frame| frame.map_err(Broken::Http1)))
    }

    /// Tells who looks on what comes next.
    fn note(&self, next: Option<&Result<Frame<Bytes>, Broken>>) {
        let Some(seen) = &self.seen else { return };
        match next {
            Some(Ok(frame)) => {
                seen.sends(frame.data_ref().map_or(0, Bytes::len));
                if self.is_end_stream() {
                    seen.is_whole();
                }
            }
            Some(Err(_)) => {
                seen.broke_off();
                seen.connection().break_off();
            }
            None => seen.is_whole(),
        }
    }

    /// The call has failed on the way: these are its last words.
    fn end_with(&mut self, trailers: HeaderMap) -> Frame<Bytes> {
        self.content = Content::Text(None);
        Frame::trailers(trailers)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        if this.call.as_mut().is_some_and(|call| call.is_late(cx)) {
            if let Some(seen) = &this.seen {
                seen.call_ended(GrpcStatus::DEADLINE_EXCEEDED);
                seen.gave_up(Reason::Timeout);
                seen.is_whole();
            }
            return Poll::Ready(Some(Ok(this.end_with(grpc::too_late()))));
        }
        let mut polled = ready!(this.poll_content(cx));
        if let Some(call) = &mut this.call {
            let ended = match &polled {
                Some(Ok(frame)) => frame.trailers_ref().map(grpc::ended_with),
                Some(Err(broken)) => Some(broken.status()),
                None => Some(GrpcStatus::UNKNOWN),
            };
            if let (Some(status), Some(seen)) = (ended, &this.seen) {
                call.ends(status);
                seen.call_ended(status);
            }
            if let Some(Err(Broken::Http2(error))) = &polled
                && let Some(trailers) = grpc::broken_off(error)
            {
                if let Some(seen) = &this.seen {
                    seen.gave_up(Reason::UpstreamReset);
                    seen.broke_off();
                }
                polled = Some(Ok(this.end_with(trailers)));
            }
        }
        this.note(polled.as_ref());
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Text(text) => text.is_none(),
            Content::Pumped(pump) => pump.incoming.is_end_stream(),
            Content::Streamed(streamed) => streamed.0.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Content::Pumped(pump) => pump.incoming.size_hint(),
            Content::Streamed(streamed) => streamed.0.size_hint(),
        }
    }
}
