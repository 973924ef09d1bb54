//! A TCP connection, and what has to be known of it while hyper owns it.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes of a read that goes round the event loop.
const PROBE: usize = 4096;

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
}

/// The stream of one connection, on either side of the proxy.
#[derive(Debug)]
pub(crate) struct Stream {
    tcp: TcpStream,
    notes: Rc<Notes>,
    /// What was read already and is still to be read.
    ahead: Bytes,
}

impl Stream {
    pub(crate) fn new(tcp: TcpStream, notes: &Rc<Notes>) -> Self {
        Self { tcp, notes: Rc::clone(notes), ahead: Bytes::new() }
    }

    /// A connection that nobody needs notes about.
    pub(crate) fn plain(tcp: TcpStream) -> Self {
        Self::new(tcp, &Rc::default())
    }

    /// Puts back what was read, for whoever reads next.
    pub(crate) fn unread(&mut self, bytes: Bytes) {
        self.ahead = if self.ahead.is_empty() {
            bytes
        } else {
            [bytes, std::mem::take(&mut self.ahead)].concat().into()
        };
    }

    /// Looks at what comes next without taking it; as many bytes as before mean that no more come.
    /// Until something comes, this costs no buffer.
    pub(crate) async fn peek(&mut self, seen: &mut [u8]) -> io::Result<usize> {
        self.tcp.peek(seen).await
    }

    /// Makes the end of the connection a reset, so that a peer that reads until the end sees that
    /// this was none.
    pub(crate) fn reset_at_end(&self) {
        let _ = SockRef::from(&self.tcp).set_linger(Some(std::time::Duration::ZERO));
    }

    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        if matches!(polled, Poll::Ready(Ok(count)) if *count > 0) {
            self.notes.moved.set(true);
        }
    }

    /// Reads without asking the event loop; `None`: there is nothing yet.
    fn probe(&self, buf: &mut ReadBuf<'_>) -> Option<io::Result<usize>> {
        let most = buf.remaining().min(PROBE);
        let socket = SockRef::from(&self.tcp);
        let read = io::Read::read(&mut &*socket, buf.initialize_unfilled_to(most));
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            read => Some(read),
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
            self.notes.received.set(true);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let probed = if self.notes.probe.take() { self.probe(buf) } else { None };
        let polled = match probed {
            Some(Ok(count)) => {
                buf.advance(count);
                Poll::Ready(Ok(()))
            }
            Some(Err(error)) => Poll::Ready(Err(error)),
            None => Pin::new(&mut self.tcp).poll_read(cx, buf),
        };
        if buf.filled().len() > before {
            self.notes.received.set(true);
            self.notes.moved.set(true);
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
        let polled = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.wrote(&polled);
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}
