//! `mesher drain`: what a preStop hook runs.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::lifecycle::GOODBYE;

/// For an answer beyond the time that draining takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the proxy whose admin port is `admin` to drain, and returns when it has: after that,
/// nobody who listens to the registry sends it new requests.
pub fn drain(admin: SocketAddr) -> io::Result<()> {
    let mut tcp = TcpStream::connect_timeout(&admin, PATIENCE)?;
    tcp.set_read_timeout(Some(GOODBYE + PATIENCE))?;
    let request = format!(
        "POST /drain HTTP/1.1\r\nhost: {admin}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    tcp.write_all(request.as_bytes())?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer)?;
    match answer.lines().next() {
        Some(line) if line.starts_with("HTTP/1.1 200") => Ok(()),
        line => Err(io::Error::other(format!(
            "{admin} answered {:?}: is that the admin port of mesher?",
            line.unwrap_or_default()
        ))),
    }
}
