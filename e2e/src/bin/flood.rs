//! Opens connections to a webhook and does with each what a hostile caller would: nothing, rubbish,
//! half a handshake, half a request. Holds as many as it may until its standard input ends.
//!
//! `flood ADDRESS COUNT HELD CA_FILE`: COUNT attempts, at most HELD of them open at a time.

use std::any::Any;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::injector::trusting;
use e2e::wire::Http1;
use rustls::ClientConfig;

/// An open connection; nothing of it is used again.
type Held = Box<dyn Any>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("usage: flood ADDRESS COUNT HELD CA_FILE");
    let (address, count, most): (SocketAddr, usize, usize) =
        (next()?.parse()?, next()?.parse()?, next()?.parse()?);
    let tls = trusting(&std::fs::read(next()?)?)?;
    let (mut held, mut failed) = (VecDeque::new(), 0);
    for number in 0..count {
        if held.len() >= most {
            held.pop_front();
        }
        // A refused attempt is one too.
        match attempt(number, address, &tls) {
            Ok(connection) => held.push_back(connection),
            Err(_) => failed += 1,
        }
    }
    println!("{count} attempts, {failed} failed, {} held", held.len());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(held);
    Ok(())
}

fn attempt(number: usize, address: SocketAddr, tls: &Arc<ClientConfig>) -> Result<Held> {
    const HEAD: &[u8] = b"POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    // One in five gets as far as a TLS session: it costs both sides the most.
    if !number.is_multiple_of(5) {
        let mut tcp = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
        match number % 4 {
            0 => tcp.write_all(b"GET / HTTP/1.1\r\n\r\n")?,
            // The start of a record of 16 KiB that never comes.
            1 => tcp.write_all(&[0x16, 0x03, 0x01, 0x40, 0x00, 0x01])?,
            _ => {}
        }
        return Ok(Box::new(tcp));
    }
    let mut http1 = Http1::connect(address, tls)?;
    match number % 3 {
        0 => {}
        1 => http1.send(HEAD)?,
        _ => {
            http1.send(&[HEAD, b"content-length: 6000000\r\n\r\n"].concat())?;
            http1.send(&[b'['; 4 << 10])?;
        }
    }
    Ok(Box::new(http1))
}
