//! Bytes from one connection to another.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;

/// A connection whose directions end one by one.
pub(crate) trait Connection: Sync {
    /// Says that nothing more comes.
    fn finish(&self) -> io::Result<()>;
}

impl Connection for TcpStream {
    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Connection for UnixStream {
    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// Carries both ways, until both have ended.
pub(crate) fn both_ways<C, S>(client: &C, server: &S) -> io::Result<()>
where
    C: Connection,
    S: Connection,
    for<'c> &'c C: Read + Write,
    for<'s> &'s S: Read + Write,
{
    thread::scope(|scope| {
        scope.spawn(|| {
            let copied = io::copy(&mut { client }, &mut { server });
            let _ = server.finish();
            copied
        });
        let copied = io::copy(&mut { server }, &mut { client });
        let _ = client.finish();
        copied
    })?;
    Ok(())
}
