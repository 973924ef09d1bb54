//! A connection that has become a tunnel: bytes, whatever they mean, both ways.
//!
//! What is read is written before more is read, so the slower side sets the pace. All tunnels of a
//! worker read into one buffer; of its own, one has no more than what the other side did not take
//! yet: a thousand that idle take nothing.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::choose::Choice;
use super::connect::Connect;
use crate::worker::{Connection, Order, Stream, Way, Worker};

/// The most that is read at once.
const BLOCK: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; BLOCK].into());
}

/// What a connection becomes when a response that says so has gone.
#[derive(Debug)]
pub(crate) enum Handover {
    /// A tunnel to an endpoint.
    Tunnel(Far),
    /// What a client says behind its CONNECT.
    Connect(Connect),
}

/// The other end of a tunnel.
#[derive(Debug)]
pub(crate) struct Far {
    pub(crate) stream: Stream,
    /// For as long as the tunnel is open, its endpoint counts as busy.
    pub(crate) choice: Choice,
}

/// One direction.
#[derive(Debug, Default)]
struct Flow {
    /// Read, and not written yet.
    left: Bytes,
    ended: bool,
    /// And the other side knows that.
    done: bool,
}

/// Carries bytes until both sides have ended, one of them breaks off, or the tunnel has to go.
pub(crate) async fn carry(worker: &Worker, connection: &Connection, mut near: Stream, far: Far) {
    let Far { stream: mut far, choice: _busy } = far;
    connection.carries(Way::Tunnel, worker.coarse_now.get());
    near.keep_alive();
    far.keep_alive();
    let (mut up, mut down) = (Flow::default(), Flow::default());
    let mut half = false;
    let open = &worker.shared.tunnels;
    open.fetch_add(1, Ordering::Relaxed);
    let ended = poll_fn(|cx| {
        if let Some(Order::Close | Order::BreakOff) = connection.order(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let up = up.poll(cx, &mut near, &mut far)?;
        let down = down.poll(cx, &mut far, &mut near)?;
        match (up, down) {
            (Poll::Ready(()), Poll::Ready(())) => return Poll::Ready(Ok(())),
            (Poll::Pending, Poll::Pending) => {}
            // Nobody may be left at the side that has ended.
            _ if !half => {
                half = true;
                connection.carries(Way::HalfTunnel, worker.coarse_now.get());
            }
            _ => {}
        }
        Poll::<io::Result<()>>::Pending
    });
    let ended = ended.await;
    open.fetch_sub(1, Ordering::Relaxed);
    if let Err(error) = ended {
        tracing::debug!(%error, "tunnel broke off");
        // Neither side may take this for a proper end.
        near.reset_at_end();
        far.reset_at_end();
    }
}

impl Flow {
    /// Moves what there is; ready when `from` has ended and `to` knows it.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
    ) -> Poll<io::Result<()>> {
        let (mut from, mut to) = (Pin::new(from), Pin::new(to));
        while !self.done {
            if !self.left.is_empty() {
                let count = ready!(to.as_mut().poll_write(cx, &self.left))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.left.advance(count);
                if self.left.is_empty() {
                    // A view of nothing would keep what it was a view of.
                    self.left = Bytes::new();
                }
            } else if self.ended {
                ready!(to.as_mut().poll_shutdown(cx))?;
                self.done = true;
            } else if self.pass(cx, from.as_mut(), to.as_mut())?.is_pending() {
                // What a session holds back would wait for the next bytes.
                ready!(to.as_mut().poll_flush(cx))?;
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, and writes what `to` takes of it.
    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        from: Pin<&mut Stream>,
        to: Pin<&mut Stream>,
    ) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            ready!(from.poll_read(cx, &mut read))?;
            let read = read.filled();
            self.ended = read.is_empty();
            if !self.ended {
                let written = match to.poll_write(cx, read) {
                    Poll::Ready(written) => written?,
                    Poll::Pending => 0,
                };
                self.left = Bytes::copy_from_slice(&read[written..]);
            }
            Poll::Ready(Ok(()))
        })
    }
}
