//! HTTP/2 to endpoints: a connection that many requests of a worker share.
//!
//! It belongs to no request, so it has a task of its own, on the worker's thread: what a request
//! sends or waits for passes through memory that no other thread has, and waking either task puts
//! it into a queue of the same event loop. (HTTP/1 does without: there a connection serves one
//! request at a time, which can as well move it on itself.)

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{Ping, PingPong};

use super::{CONNECTION_WINDOW, STREAM_WINDOW};
use crate::traffic::refusal::Refusal;
use crate::worker::{Notes, Stream};

/// The most that is kept of a request's body that the endpoint does not read.
const SEND_BUFFER: usize = 256 << 10;
/// Bytes of a response's head, with its trailers.
const HEAD: u32 = 64 << 10;
/// An endpoint that says nothing for so long while somebody waits is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(30);
/// How long it may take to answer that.
const PONG: Duration = Duration::from_secs(20);

/// A connection that can be shared.
#[derive(Debug)]
pub(crate) struct Shared {
    sender: SendRequest<Bytes>,
    driver: Rc<Driver>,
    notes: Rc<Notes>,
    /// Those that are under way.
    streams: Cell<usize>,
    /// Whether it has brought a response.
    served: Cell<bool>,
    /// From when on nobody used it, as far as the worker's looks have shown.
    idle_since: Cell<Option<Duration>>,
    life: RefCell<Life>,
}

/// Whether the endpoint is still there.
#[derive(Debug)]
struct Life {
    pings: Option<PingPong>,
    /// When it was last heard of.
    heard: Duration,
    asked: Option<Duration>,
}

/// What reads and writes, shared by the connection's task and by who wants to know at once how it
/// is.
struct Driver {
    connection: RefCell<Option<Box<client::Connection<Stream, Bytes>>>>,
    /// Of the connection's task. Whoever else moves the connection on does so in its name: what
    /// the connection waits for wakes the task.
    waker: RefCell<Option<Waker>>,
}

/// One request's part of a connection.
#[derive(Debug)]
pub(crate) struct Lease(Rc<Shared>);

/// Begins to speak HTTP/2, and waits until the endpoint has said how many streams it allows: what
/// is sent before is a guess, and what is one too many is refused, all at once.
pub(crate) async fn handshake(
    stream: Stream,
    notes: Rc<Notes>,
    now: Duration,
) -> Result<Rc<Shared>, Refusal> {
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(0)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(HEAD);
    let (sender, mut connection) =
        builder.handshake(stream).await.map_err(|error| said_otherwise(&error))?;
    poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
        _ if sender.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
        Poll::Ready(Ok(())) => Poll::Ready(Err(Refusal::Reset)),
        Poll::Ready(Err(error)) => Poll::Ready(Err(said_otherwise(&error))),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    let pings = connection.ping_pong();
    let driver = Rc::new(Driver {
        connection: RefCell::new(Some(Box::new(connection))),
        waker: RefCell::default(),
    });
    let task = Rc::clone(&driver);
    tokio::task::spawn_local(async move {
        poll_fn(|cx| {
            *task.waker.borrow_mut() = Some(cx.waker().clone());
            task.poll(cx)
        })
        .await;
    });
    Ok(Rc::new(Shared {
        sender,
        driver,
        notes,
        streams: Cell::new(0),
        served: Cell::new(false),
        idle_since: Cell::new(None),
        life: RefCell::new(Life { pings, heard: now, asked: None }),
    }))
}

/// Why an endpoint did not begin to speak HTTP/2.
fn said_otherwise(error: &h2::Error) -> Refusal {
    tracing::debug!(%error, "no HTTP/2 with an endpoint");
    if error.is_io() { Refusal::Reset } else { Refusal::BadResponse }
}

impl Driver {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Nothing that a connection does comes back to it.
        let Ok(mut connection) = self.connection.try_borrow_mut() else { return Poll::Pending };
        let Some(polled) = &mut *connection else { return Poll::Ready(()) };
        let Poll::Ready(ended) = Pin::new(polled).poll(cx) else { return Poll::Pending };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection to an endpoint ended");
        }
        *connection = None;
        Poll::Ready(())
    }

    /// Ends the connection, and the task with it.
    fn end(&self) {
        if let Ok(mut connection) = self.connection.try_borrow_mut() {
            *connection = None;
        }
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

impl Shared {
    /// Whether it takes another request now, as far as is known: it is open, its peer has not said
    /// GOAWAY, and allows one more stream.
    pub(super) fn has_room(&self, cx: &mut Context<'_>) -> bool {
        self.is_open(cx) && self.streams.get() < self.sender.current_max_send_streams()
    }

    pub(super) fn is_open(&self, cx: &mut Context<'_>) -> bool {
        // A handle of its own never waits for a stream to be opened.
        self.is_alive() && matches!(self.sender.clone().poll_ready(cx), Poll::Ready(Ok(())))
    }

    /// Whether anything comes or goes yet.
    fn is_alive(&self) -> bool {
        self.driver.connection.try_borrow().is_ok_and(|connection| connection.is_some())
    }

    /// Those that are under way.
    pub(super) fn streams(&self) -> usize {
        self.streams.get()
    }

    pub(super) fn lease(self: &Rc<Self>) -> Lease {
        self.streams.set(self.streams.get() + 1);
        self.idle_since.set(None);
        Lease(Rc::clone(self))
    }

    /// One look at it. Returns whether it is worth keeping.
    pub(super) fn look(&self, now: Duration, idle: Duration, cx: &mut Context<'_>) -> bool {
        if !self.is_alive() {
            return false;
        }
        if self.streams.get() == 0 {
            if !self.is_open(cx) {
                return false;
            }
            let since = self.idle_since.get().unwrap_or(now);
            self.idle_since.set(Some(since));
            self.life.borrow_mut().heard = now;
            return now <= since + idle;
        }
        if self.life.borrow_mut().is_over(now, &self.notes, cx) {
            tracing::debug!("an endpoint does not answer any more");
            self.driver.end();
            return false;
        }
        true
    }
}

impl Life {
    /// Asks, where nothing was heard for a while; nothing heard after that is the end.
    fn is_over(&mut self, now: Duration, notes: &Notes, cx: &mut Context<'_>) -> bool {
        let Some(pings) = &mut self.pings else { return false };
        if notes.received.replace(false) {
            self.heard = now;
            if self.asked.is_some() && matches!(pings.poll_pong(cx), Poll::Ready(Ok(_))) {
                self.asked = None;
            }
        }
        match self.asked {
            // What was heard since tells as much as the answer.
            Some(asked) => now > asked.max(self.heard) + PONG,
            None if now > self.heard + SILENCE => {
                self.asked = pings.send_ping(Ping::opaque()).ok().map(|()| now);
                false
            }
            None => false,
        }
    }
}

impl Lease {
    /// A handle to send one request with.
    pub(super) fn sender(&self) -> SendRequest<Bytes> {
        self.0.sender.clone()
    }

    /// Whether other requests are under way on the connection.
    pub(super) fn has_company(&self) -> bool {
        self.0.streams.get() > 1
    }

    /// Whether it is open still, asking the system itself for what the event loop may not have
    /// seen yet: for what may not be sent twice.
    pub(super) fn probe(&self) -> bool {
        let driver = &self.0.driver;
        let waker = driver.waker.borrow().clone();
        let Some(waker) = waker else { return true };
        self.0.notes.probe.set(true);
        let mut cx = Context::from_waker(&waker);
        if driver.poll(&mut cx).is_ready() {
            driver.wake();
            return false;
        }
        self.0.is_open(&mut cx)
    }

    /// Whether it has brought a response before.
    pub(super) fn has_served(&self) -> bool {
        self.0.served.get()
    }

    /// It has brought one.
    pub(super) fn serves(&self) {
        self.0.served.set(true);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
    }
}
