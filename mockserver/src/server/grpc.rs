//! gRPC, whatever the method: each message comes back as it went.
//!
//! Messages are not looked into, so no service definition is needed: a unary call gets its message
//! back, and a stream each of its own as it arrives. See gRPC over HTTP/2,
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response, Version};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const UNAVAILABLE: HeaderValue = HeaderValue::from_static("14");
const OK: HeaderValue = HeaderValue::from_static("0");

/// Whether this is a gRPC call.
pub(super) fn is_call(parts: &Parts) -> bool {
    let kind = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    parts.version == Version::HTTP_2
        && kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

/// The answer that sends `messages` back, and says who does.
pub(super) fn echo(
    parts: &Parts,
    messages: Incoming,
    who: &[(&'static str, &str)],
) -> Response<Echo> {
    let mut response = head(parts, Echo { messages: Some(messages), ended: false });
    // The messages are as compressed as they came.
    if let Some(encoding) = parts.headers.get(ENCODING) {
        response.headers_mut().insert(ENCODING, encoding.clone());
    }
    for (name, value) in who {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(*name, value);
        }
    }
    response
}

/// The answer that there is none: status UNAVAILABLE, and why.
pub(super) fn unavailable(parts: &Parts, reason: &str) -> Response<Echo> {
    let mut response = head(parts, Echo { messages: None, ended: true });
    let headers = response.headers_mut();
    headers.insert(STATUS, UNAVAILABLE);
    if let Ok(reason) = HeaderValue::from_str(reason) {
        headers.insert(MESSAGE, reason);
    }
    response
}

fn head(parts: &Parts, body: Echo) -> Response<Echo> {
    let mut response = Response::new(body);
    if let Some(kind) = parts.headers.get(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    response
}

/// A request's body, as an answer: what came, then the status in the trailers.
#[derive(Debug)]
pub(super) struct Echo {
    messages: Option<Incoming>,
    ended: bool,
}

impl Body for Echo {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(messages) = &mut self.messages else {
            if std::mem::replace(&mut self.ended, true) {
                return Poll::Ready(None);
            }
            let trailers = HeaderMap::from_iter([(STATUS, OK)]);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        };
        match std::task::ready!(Pin::new(messages).poll_frame(context)) {
            Some(Ok(frame)) if frame.is_data() => Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            // A client has nothing to say after its messages.
            Some(Ok(_)) | None => {
                self.messages = None;
                self.poll_frame(context)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}
