//! A connection, with or without TLS, and what has to be known of it while hyper owns it.

use std::cell::{Cell, OnceCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::socket::Socket;
use crate::metrics::Carried;
use crate::traffic::Counted;

/// How long a farewell may take that the peer does not read.
const FAREWELL: Duration = Duration::from_secs(1);

/// Notes about a stream, for who gave it to hyper.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Something was read since this was last reset.
    pub(crate) received: Cell<bool>,
    /// Something was read or written since this was last reset.
    pub(crate) moved: Cell<bool>,
    /// The next read asks the system itself. Readiness is told by the event loop, which may not
    /// have looked since the peer closed, or sent, a moment ago.
    pub(crate) probe: Cell<bool>,
    /// Bytes since this was last taken.
    pub(crate) carried: Cell<Carried>,
    /// Bytes that may still come while the head of a response is waited for; `None`: any number.
    pub(crate) awaited: Cell<Option<usize>>,
    /// What counts it as open, where it is one to an endpoint.
    pub(crate) counted: OnceCell<Box<Counted>>,
}

impl Notes {
    fn carry(&self, received: usize, sent: usize) {
        let mut carried = self.carried.get();
        carried.received += received as u64;
        carried.sent += sent as u64;
        self.carried.set(carried);
        if let Some(left) = self.awaited.get() {
            self.awaited.set(Some(left.saturating_sub(received)));
        }
    }

    /// Whether so much was said without a response that there won't be one.
    pub(crate) fn is_idle_talk(&self) -> bool {
        self.awaited.get() == Some(0)
    }
}

/// The stream of one connection, on either side of the proxy.
#[derive(Debug)]
pub(crate) struct Stream {
    io: Io,
    notes: Rc<Notes>,
    /// What was read already and is still to be read.
    ahead: Bytes,
}

/// What is read from and written to.
#[derive(Debug)]
enum Io {
    Plain(Socket),
    /// In a box: a session is some hundred bytes that plain connections don't keep.
    Tls(Box<TlsStream<Socket>>),
}

impl Stream {
    /// A plain connection.
    pub(crate) fn new(tcp: TcpStream, notes: &Rc<Notes>) -> Self {
        Self::of(Io::Plain(Socket::new(tcp, notes)), notes)
    }

    /// A connection within a TLS session.
    pub(crate) fn secured(session: TlsStream<Socket>, notes: &Rc<Notes>) -> Self {
        Self::of(Io::Tls(Box::new(session)), notes)
    }

    fn of(io: Io, notes: &Rc<Notes>) -> Self {
        Self { io, notes: Rc::clone(notes), ahead: Bytes::new() }
    }

    /// A connection that nobody needs notes about.
    pub(crate) fn plain(tcp: TcpStream) -> Self {
        Self::new(tcp, &Rc::default())
    }

    /// Puts back what was read, for whoever reads next.
    pub(crate) fn unread(&mut self, bytes: &[u8]) {
        // Nothing may still be a view of a buffer, which it would keep.
        if !bytes.is_empty() {
            self.ahead = [bytes, &*self.ahead].concat().into();
        }
    }

    /// What both sides of a TLS session have agreed to speak in it, where they have.
    pub(crate) fn agreed(&self) -> Option<&[u8]> {
        match &self.io {
            Io::Plain(_) => None,
            Io::Tls(session) => session.get_ref().1.alpn_protocol(),
        }
    }

    /// Looks at what comes next without taking it; as many bytes as before mean that no more come.
    /// Until something comes, this costs no buffer.
    pub(crate) async fn peek(&mut self, seen: &mut [u8]) -> io::Result<usize> {
        match &mut self.io {
            Io::Plain(socket) if self.ahead.is_empty() => socket.peek(seen).await,
            io => {
                // A session keeps nothing for a second look, so that is done here.
                if self.ahead.len() < seen.len() {
                    let mut ahead = BytesMut::from(&*self.ahead);
                    let missing = seen.len() - ahead.len();
                    let count = io.take(missing as u64).read_buf(&mut ahead).await?;
                    self.notes.carry(count, 0);
                    self.ahead = ahead.freeze();
                }
                let count = seen.len().min(self.ahead.len());
                seen[..count].copy_from_slice(&self.ahead[..count]);
                Ok(count)
            }
        }
    }

    /// Has the system ask a silent peer whether it is still there: a tunnel may be silent for long.
    pub(crate) fn keep_alive(&self) {
        match &self.io {
            Io::Plain(socket) => socket.keep_alive(),
            Io::Tls(session) => session.get_ref().0.keep_alive(),
        }
    }

    /// Makes the end of the connection a reset, so that a peer that reads until the end sees that
    /// this was none.
    pub(crate) fn reset_at_end(&self) {
        match &self.io {
            Io::Plain(socket) => socket.reset_at_end(),
            Io::Tls(session) => session.get_ref().0.reset_at_end(),
        }
    }

    /// Ends a TLS session such that the peer sees that this end was meant. Without TLS there is
    /// nothing to be said.
    pub(crate) async fn farewell(mut self) {
        if matches!(self.io, Io::Tls(_)) {
            // A peer that takes nothing more gets no farewell.
            let _ = Box::pin(timeout(FAREWELL, self.shutdown())).await;
        }
    }

    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count @ 1..)) = polled {
            self.notes.moved.set(true);
            self.notes.carry(0, *count);
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead.split_to(count));
            if self.ahead.is_empty() {
                self.ahead = Bytes::new();
            }
            self.notes.received.set(true);
            return Poll::Ready(Ok(()));
        }
        if self.notes.is_idle_talk() {
            let reason = "interim responses without an end";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        // Only what was said counts: a session has records of its own that nobody asked for.
        let count = buf.filled().len() - before;
        if count > 0 {
            self.notes.received.set(true);
            self.notes.moved.set(true);
            self.notes.carry(count, 0);
        }
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(&polled);
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// Does the same with whichever it is.
macro_rules! either {
    ($io:expr, $inner:pat => $result:expr) => {
        match $io {
            Io::Plain($inner) => $result,
            Io::Tls($inner) => $result,
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.get_mut(), io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), io => Pin::new(io).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        either!(self, io => io.is_write_vectored())
    }
}
