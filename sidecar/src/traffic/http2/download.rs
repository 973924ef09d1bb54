//! The body of a response, out of a stream of an endpoint.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame};

use super::client::Lease;
use super::upload::Detached;

/// Makes room for more of it as it is taken. Dropped before its end, the stream is reset, and so
/// the endpoint told that nobody wants the rest.
#[derive(Debug)]
pub(crate) struct Download {
    // In this order: what the request still holds of the stream has to go first.
    upload: Option<Detached>,
    incoming: RecvStream,
    data_ended: bool,
    _lease: Lease,
}

impl Download {
    pub(super) fn new(incoming: RecvStream, upload: Option<Detached>, lease: Lease) -> Self {
        let mut new = Self { upload, incoming, data_ended: false, _lease: lease };
        if new.incoming.is_end_stream() {
            new.end();
        }
        new
    }

    fn end(&mut self) {
        if let Some(upload) = &mut self.upload {
            upload.let_go();
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = &mut *self;
        if !this.data_ended {
            match ready!(this.incoming.poll_data(cx)) {
                Some(Ok(data)) => {
                    let _ = this.incoming.flow_control().release_capacity(data.len());
                    if this.incoming.is_end_stream() {
                        this.end();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => this.data_ended = true,
            }
        }
        let trailers = ready!(this.incoming.poll_trailers(cx));
        if trailers.is_ok() {
            this.end();
        }
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }
}
