//! The body of a request, on its way into a stream of an endpoint.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;

use super::gathered::Gathered;
use crate::traffic::body::{BodyFault, Playing};

/// Reads of the client no faster than the endpoint does.
#[derive(Debug)]
pub(super) struct Upload {
    body: Gathered<Playing>,
    stream: SendStream<Bytes>,
}

/// What goes on by itself once the response has begun. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Detached(Option<tokio::task::AbortHandle>);

impl Upload {
    pub(super) fn new(body: Playing, stream: SendStream<Bytes>) -> Self {
        Self { body: Gathered::new(body), stream }
    }

    /// Sends what can be sent. That the endpoint wants no more is no fault: its response says why.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyFault>> {
        loop {
            if !ready!(self.poll_room(cx)) {
                return Poll::Ready(Ok(()));
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(fault)) => {
                    // It must not look whole.
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(Err(fault));
                }
                None => {
                    let _ = self.stream.send_data(Bytes::new(), true);
                    return Poll::Ready(Ok(()));
                }
            };
            let frame = match frame.into_data() {
                Ok(data) => {
                    let last = self.body.is_end_stream();
                    if self.stream.send_data(data, last).is_err() || last {
                        return Poll::Ready(Ok(()));
                    }
                    continue;
                }
                Err(frame) => frame,
            };
            if let Ok(trailers) = frame.into_trailers() {
                let _ = self.stream.send_trailers(trailers);
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Waits until the endpoint takes something; `false`: it does not any more.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.stream.reserve_capacity(1);
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(false),
            }
        }
        // Also while there is nothing to send.
        Poll::Ready(self.stream.poll_reset(cx).is_pending())
    }

    /// Goes on beside the response: an endpoint may answer before it has read all, and neither
    /// direction waits for the other.
    pub(super) fn detach(mut self) -> Detached {
        let task = tokio::task::spawn_local(async move {
            if let Err(fault) = poll_fn(|cx| self.poll(cx)).await {
                tracing::debug!(%fault, "a request broke off after its response began");
            }
        });
        Detached(Some(task.abort_handle()))
    }
}

impl Detached {
    /// The response is whole: the endpoint may read on, or say that it does not.
    pub(super) fn let_go(&mut self) {
        self.0 = None;
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
