//! The body of a request on its way: passed on as it comes, and held for as long as it may have
//! to be sent once more.
//!
//! What is held are the very buffers that were read; nothing is copied.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::refusal::Refusal;

/// A body that was longer when it had to be sent again is gone.
const HELD: usize = 64 << 10;

/// For a body that nobody wants.
const SWALLOWING: Duration = Duration::from_secs(1);

/// A request's body, whatever becomes of its attempts.
#[derive(Debug)]
pub(crate) struct RequestBody(Option<Rc<RefCell<Tape>>>);

#[derive(Debug)]
struct Tape {
    incoming: Incoming,
    length: SizeHint,
    /// Bytes it may still have.
    left: Option<u64>,
    held: Vec<Bytes>,
    held_bytes: usize,
    /// Something was passed on that is not held.
    cut: bool,
    /// Something was passed on since somebody asked.
    moved: bool,
    /// The next part was asked for, and the client has not sent it.
    awaited: bool,
}

/// One playing of a body, for one attempt.
#[derive(Debug)]
pub(crate) struct Playing {
    tape: Option<Rc<RefCell<Tape>>>,
    /// Of what is held, what was played already.
    at: usize,
}

/// Why a body did not come to its end.
#[derive(Debug)]
pub(crate) enum BodyFault {
    /// It is longer than allowed.
    TooLong,
    /// The client broke off.
    Client(hyper::Error),
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the body is longer than allowed"),
            Self::Client(error) => error.fmt(f),
        }
    }
}

impl Error for BodyFault {}

impl BodyFault {
    /// The fault that made hyper give up, if it was one.
    pub(crate) fn behind(error: &hyper::Error) -> Option<Refusal> {
        match error.source()?.downcast_ref::<Self>()? {
            Self::TooLong => Some(Refusal::TooLong),
            Self::Client(_) => Some(Refusal::ClientGone),
        }
    }
}

impl RequestBody {
    /// Refuses what says of itself that it is longer than `most` bytes.
    pub(crate) fn new(incoming: Incoming, most: Option<u64>) -> Result<Self, Refusal> {
        if incoming.is_end_stream() {
            return Ok(Self(None));
        }
        let length = incoming.size_hint();
        if most.is_some_and(|most| length.lower() > most) {
            return Err(Refusal::TooLong);
        }
        let tape = Tape {
            incoming,
            length,
            left: most,
            held: Vec::new(),
            held_bytes: 0,
            cut: false,
            moved: false,
            awaited: false,
        };
        Ok(Self(Some(Rc::new(RefCell::new(tape)))))
    }

    /// Whether there is any.
    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// The body from its beginning on. The one that was handed out before must be gone.
    pub(crate) fn play(&self) -> Playing {
        Playing { tape: self.0.clone(), at: 0 }
    }

    /// Whether nothing of it is lost.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.as_ref().is_none_or(|tape| !tape.borrow().cut)
    }

    /// Whether something of it went on since this was last asked.
    pub(crate) fn moved(&self) -> bool {
        self.0.as_ref().is_some_and(|tape| std::mem::take(&mut tape.borrow_mut().moved))
    }

    /// Takes what is left of it, to what a sender would hold to send it elsewhere: one that is
    /// still writing when the connection ends may never read why.
    pub(crate) async fn swallow(&self) {
        let Some(tape) = &self.0 else { return };
        let all = poll_fn(|cx| {
            let mut tape = tape.borrow_mut();
            let mut left = HELD;
            while let Some(Ok(frame)) = ready!(tape.poll(cx)) {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if left == 0 {
                    break;
                }
            }
            Poll::Ready(())
        });
        let _ = timeout(SWALLOWING, all).await;
    }

    /// Whether it is the client that is waited for.
    pub(crate) fn is_awaited(&self) -> bool {
        self.0.as_ref().is_some_and(|tape| tape.borrow().awaited)
    }

    /// There is a response: what was played is not needed again.
    pub(crate) fn keep_no_longer(&self) {
        if let Some(tape) = &self.0 {
            tape.borrow_mut().cut = true;
        }
    }
}

impl Tape {
    fn hold(&mut self, data: &Bytes) {
        self.cut |= self.held_bytes + data.len() > HELD;
        if self.cut {
            return;
        }
        self.held_bytes += data.len();
        self.held.push(data.clone());
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        self.awaited = polled.is_pending();
        let frame = match ready!(polled) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(BodyFault::Client(error)))),
            None => return Poll::Ready(None),
        };
        self.moved = true;
        if let Some(data) = frame.data_ref() {
            if let Some(left) = &mut self.left {
                match left.checked_sub(data.len() as u64) {
                    Some(rest) => *left = rest,
                    None => return Poll::Ready(Some(Err(BodyFault::TooLong))),
                }
            }
            self.hold(data);
        } else {
            // Trailers cannot be held and played; such a body is sent once.
            self.cut = true;
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Body for Playing {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = &mut *self;
        let Some(tape) = &this.tape else { return Poll::Ready(None) };
        let mut tape = tape.borrow_mut();
        if let Some(data) = tape.held.get(this.at).cloned() {
            this.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if tape.cut {
            // It is not played again, so what is held is of no use.
            tape.held.clear();
        }
        let polled = tape.poll(cx);
        this.at = tape.held.len();
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.tape.as_ref().is_none_or(|tape| {
            let tape = tape.borrow();
            self.at >= tape.held.len() && tape.incoming.is_end_stream()
        })
    }

    fn size_hint(&self) -> SizeHint {
        // Asked for before anything is played.
        self.tape.as_ref().map_or(SizeHint::with_exact(0), |tape| tape.borrow().length)
    }
}
