//! Somebody who is called and answers when the test says so.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::mock::PATIENCE;

/// A port with one caller.
pub(crate) struct Callee {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Callee {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Waits for a caller and reads its request.
    pub(crate) fn called(&self) -> Result<Caller> {
        let started = Instant::now();
        let mut stream = loop {
            match self.listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) => ensure!(started.elapsed() < PATIENCE, "nobody calls"),
            }
            std::thread::yield_now();
        };
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let length = stream.read(&mut buffer)?;
            ensure!(length > 0, "the caller left");
            request.extend_from_slice(&buffer[..length]);
        }
        Ok(Caller { stream })
    }
}

/// A caller who waits.
pub(crate) struct Caller {
    stream: TcpStream,
}

impl Caller {
    /// Sends `text` as it is.
    pub(crate) fn answer(mut self, text: &str) -> Result<()> {
        Ok(self.stream.write_all(text.as_bytes())?)
    }
}
