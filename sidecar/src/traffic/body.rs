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
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::refusal::Refusal;

/// A body that was longer when it had to be sent again is gone.
const HELD: usize = 64 << 10;

/// For a body that nobody wants.
const SWALLOWING: Duration = Duration::from_secs(1);

/// A request's body, whatever becomes of its attempts.
#[derive(Debug)]
pub(crate) struct RequestBody(Option<Reel>);

/// A handle of somebody who may want more of a body. With the last of them goes what is left of
/// it, which the client then learns.
#[derive(Debug)]
struct Reel(Rc<RefCell<Tape>>);

/// What was received of a body, for who wants no more than know.
#[derive(Debug)]
pub(crate) struct Received(Rc<RefCell<Tape>>);

#[derive(Debug)]
struct Tape {
    /// `None`: nobody wants more of it.
    incoming: Option<Incoming>,
    reels: usize,
    received: u64,
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
    /// For whoever wants all of it once it is whole.
    copying: Option<Box<Copying>>,
}

/// A copy that is being made of a body.
#[derive(Debug, Default)]
struct Copying {
    parts: Vec<Bytes>,
    bytes: usize,
    wanted: Vec<oneshot::Sender<Vec<Bytes>>>,
}

/// One playing of a body, for one attempt.
#[derive(Debug)]
pub(crate) struct Playing {
    tape: Option<Reel>,
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
            incoming: Some(incoming),
            reels: 1,
            received: 0,
            length,
            left: most,
            held: Vec::new(),
            held_bytes: 0,
            cut: false,
            moved: false,
            awaited: false,
            copying: None,
        };
        Ok(Self(Some(Reel(Rc::new(RefCell::new(tape))))))
    }

    /// One that is there already.
    pub(crate) fn whole(parts: Vec<Bytes>) -> Self {
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        if bytes == 0 {
            return Self(None);
        }
        let tape = Tape {
            incoming: None,
            reels: 1,
            received: bytes,
            length: SizeHint::with_exact(bytes),
            left: None,
            held: parts,
            held_bytes: 0,
            cut: false,
            moved: false,
            awaited: false,
            copying: None,
        };
        Self(Some(Reel(Rc::new(RefCell::new(tape)))))
    }

    /// All of it, once it is whole: what was read, not copied. It fails where the body is longer than
    /// what is held of one, has trailers, or does not come to its end. To be asked for before it is
    /// played. `None`: there is none.
    pub(crate) fn copy(&self) -> Option<oneshot::Receiver<Vec<Bytes>>> {
        let Reel(tape) = self.0.as_ref()?;
        let (sender, receiver) = oneshot::channel();
        tape.borrow_mut().copying.get_or_insert_default().wanted.push(sender);
        Some(receiver)
    }

    /// What is received of it, for as long as somebody wants to know. `None`: there is none.
    pub(crate) fn received(&self) -> Option<Received> {
        self.0.as_ref().map(|reel| Received(Rc::clone(&reel.0)))
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
        self.0.as_ref().is_none_or(|reel| !reel.0.borrow().cut)
    }

    /// Whether something of it went on since this was last asked.
    pub(crate) fn moved(&self) -> bool {
        self.0.as_ref().is_some_and(|reel| std::mem::take(&mut reel.0.borrow_mut().moved))
    }

    /// Takes what is left of it, to what a sender would hold to send it elsewhere: one that is
    /// still writing when the connection ends may never read why.
    pub(crate) async fn swallow(&self) {
        let Some(Reel(tape)) = &self.0 else { return };
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
        self.0.as_ref().is_some_and(|reel| reel.0.borrow().awaited)
    }

    /// There is a response: what was played is not needed again.
    pub(crate) fn keep_no_longer(&self) {
        if let Some(Reel(tape)) = &self.0 {
            tape.borrow_mut().cut = true;
        }
    }
}

impl Clone for Reel {
    fn clone(&self) -> Self {
        self.0.borrow_mut().reels += 1;
        Self(Rc::clone(&self.0))
    }
}

impl Drop for Reel {
    fn drop(&mut self) {
        let mut tape = self.0.borrow_mut();
        tape.reels -= 1;
        if tape.reels == 0 {
            tape.incoming = None;
            tape.held = Vec::new();
            tape.copying = None;
        }
    }
}

impl Received {
    /// So many bytes, up to now.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.borrow().received
    }
}

impl Copying {
    /// Takes a part in. Returns whether it may still become whole.
    fn take(&mut self, data: &Bytes) -> bool {
        self.bytes += data.len();
        self.parts.push(data.clone());
        self.bytes <= HELD
    }

    fn finish(self) {
        for wanted in self.wanted {
            let _ = wanted.send(self.parts.clone());
        }
    }
}

impl Tape {
    /// Something of the body has come, or its end.
    fn copied(&mut self, frame: Option<&Frame<Bytes>>) {
        let Some(mut copying) = self.copying.take() else { return };
        let whole = match frame.map(Frame::data_ref) {
            Some(Some(data)) => {
                if !copying.take(data) {
                    return;
                }
                self.incoming.as_ref().is_none_or(Body::is_end_stream)
            }
            Some(None) => return,
            None => true,
        };
        if whole {
            copying.finish();
        } else {
            self.copying = Some(copying);
        }
    }

    fn hold(&mut self, data: &Bytes) {
        self.cut |= self.held_bytes + data.len() > HELD;
        if self.cut {
            return;
        }
        self.held_bytes += data.len();
        self.held.push(data.clone());
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let polled = Pin::new(incoming).poll_frame(cx);
        self.awaited = polled.is_pending();
        let frame = match ready!(polled) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(BodyFault::Client(error)))),
            None => {
                self.copied(None);
                return Poll::Ready(None);
            }
        };
        self.moved = true;
        self.copied(Some(&frame));
        if let Some(data) = frame.data_ref() {
            self.received += data.len() as u64;
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
        let Some(Reel(tape)) = &this.tape else { return Poll::Ready(None) };
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
        self.tape.as_ref().is_none_or(|reel| {
            let tape = reel.0.borrow();
            let ended = tape.incoming.as_ref().is_none_or(Body::is_end_stream);
            self.at >= tape.held.len() && ended
        })
    }

    fn size_hint(&self) -> SizeHint {
        // Asked for before anything is played.
        self.tape.as_ref().map_or(SizeHint::with_exact(0), |reel| reel.0.borrow().length)
    }
}
