//! A connection that never waits.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

/// Keeps what the system does not take at once.
#[derive(Debug)]
pub(super) struct Socket {
    tcp: TcpStream,
    unsent: Vec<u8>,
    sent: usize,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        tcp.set_nonblocking(true)?;
        Ok(Self { tcp, unsent: Vec::new(), sent: 0 })
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Reads once. `None`: there is nothing; 0: the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.tcp.read(buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends, or keeps to be sent by [`Self::flush`].
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_stuck() {
            self.unsent.extend_from_slice(bytes);
            return Ok(());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.tcp.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unsent.extend_from_slice(rest);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Goes on with what was kept.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.is_stuck() {
            match self.tcp.write(&self.unsent[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.unsent.clear();
        self.sent = 0;
        Ok(())
    }

    /// Whether something waits to be sent.
    pub(super) fn is_stuck(&self) -> bool {
        self.sent < self.unsent.len()
    }
}
