//! A TCP connection that can be asked past the event loop.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::stream::Notes;

/// Bytes of a read that goes round the event loop.
const PROBE: usize = 4096;

/// After so much silence a peer is asked whether it is still there, if it is asked at all; after
/// as much again without an answer it is not.
const KEEP_ALIVE: Duration = Duration::from_mins(1);

/// What lies below a [`super::Stream`], with or without TLS between them.
#[derive(Debug)]
pub(crate) struct Socket {
    tcp: TcpStream,
    notes: Rc<Notes>,
}

impl Socket {
    pub(crate) fn new(tcp: TcpStream, notes: &Rc<Notes>) -> Self {
        Self { tcp, notes: Rc::clone(notes) }
    }

    /// Looks at what comes next without taking it.
    pub(crate) async fn peek(&self, seen: &mut [u8]) -> io::Result<usize> {
        self.tcp.peek(seen).await
    }

    /// Has the system ask a silent peer whether it is still there.
    pub(crate) fn keep_alive(&self) {
        let asking = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE / 4);
        let _ = SockRef::from(&self.tcp).set_tcp_keepalive(&asking.with_retries(4));
    }

    /// Makes the end of the connection a reset.
    pub(crate) fn reset_at_end(&self) {
        let _ = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
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

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let probed = if self.notes.probe.take() { self.probe(buf) } else { None };
        match probed {
            Some(Ok(count)) => {
                buf.advance(count);
                Poll::Ready(Ok(()))
            }
            Some(Err(error)) => Poll::Ready(Err(error)),
            None => Pin::new(&mut self.tcp).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
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
        // Nearly always a head alone, for which the system has a shorter way.
        if let [only] = bufs {
            return Pin::new(&mut self.tcp).poll_write(cx, only);
        }
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}
