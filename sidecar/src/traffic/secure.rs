//! TLS on a connection that was taken, before anything is said in it.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::{LAST_CALL, unless_told};
use crate::lifecycle::Phase;
use crate::listener::Port;
use crate::tls::{self, Refused};
use crate::worker::{Connection, Socket, Stream, Worker};

/// What a client gets that speaks HTTP without TLS.
const PLAIN_TEXT: &str = "HTTP/1.1 400 Bad Request\r\nx-mesher-error: tls_failed\r\n\
     content-type: text/plain; charset=utf-8\r\ncontent-length: 63\r\nconnection: close\r\n\r\n\
     this port speaks TLS: ask with https, or ask mesher's own port\n";
/// How long such a client may take to read it.
const READING: Duration = Duration::from_secs(1);

/// Makes the session; `None`: there is none, and the connection has been seen off.
pub(super) async fn secure(
    worker: &Rc<Worker>,
    port: &Port,
    connection: &Rc<Connection>,
    tcp: TcpStream,
) -> Option<Stream> {
    let tls = &worker.shared.tls;
    let peer = tcp.peer_addr().ok();
    let limit = worker.shared.settings().limits.handshake_timeout;
    let session = timeout(limit, begin(worker, port, connection, tcp)).await;
    let refused = match session.unwrap_or(Err(Refused::TimedOut)) {
        Ok(Some(stream)) => {
            tls.accepted(None);
            return speaks_in_time(worker, stream).await;
        }
        // Nothing was begun.
        Ok(None) => return None,
        Err(refused) => refused,
    };
    tls.accepted(Some(&refused));
    if tls.may_say() {
        tracing::warn!(listener = %port.address, ?peer, reason = %refused, "no TLS session");
    } else {
        tracing::debug!(listener = %port.address, ?peer, reason = %refused, "no TLS session");
    }
    None
}

async fn begin(
    worker: &Rc<Worker>,
    port: &Port,
    connection: &Rc<Connection>,
    tcp: TcpStream,
) -> Result<Option<Stream>, Refused> {
    // A client that says nothing holds up no one.
    let mut first = [0];
    match unless_told(connection, pin!(tcp.peek(&mut first))).await {
        Some(Ok(1..)) => {}
        _ => return Ok(None),
    }
    if !tls::begins(first[0]) {
        let _ = timeout(READING, see_off(tcp, first[0])).await;
        return Err(Refused::PlainText);
    }
    let Some(config) = worker.shared.tls.server(port.side.tls()) else { return Ok(None) };
    let session = async {
        // There are turns for as long as there is a worker.
        let _turn = worker.handshakes.acquire().await;
        tls::accept(config, Socket::new(tcp, &connection.notes)).await
    };
    let Some(session) = unless_told(connection, pin!(session)).await else { return Ok(None) };
    Ok(Some(Stream::secured(session?, &connection.notes)))
}

/// Of a client that made its session while the proxy closes, the order to end was obeyed already:
/// it has a last call to say something in it.
async fn speaks_in_time(worker: &Worker, mut stream: Stream) -> Option<Stream> {
    // HTTP/2 sees to that itself.
    let last = worker.shared.lifecycle.phase() >= Phase::Closing && stream.agreed() != Some(b"h2");
    if last && !matches!(timeout(LAST_CALL, stream.peek(&mut [0])).await, Ok(Ok(1..))) {
        stream.farewell().await;
        return None;
    }
    Some(stream)
}

/// Tells a client that speaks HTTP what is wrong; another would not understand it.
async fn see_off(mut tcp: TcpStream, first: u8) -> io::Result<()> {
    if first.is_ascii_uppercase() {
        tcp.write_all(PLAIN_TEXT.as_bytes()).await?;
        tcp.shutdown().await?;
        // A connection that is closed with something unread is reset, and the answer lost.
        let mut rest = [0; 4096];
        while tcp.read(&mut rest).await? > 0 {}
    }
    Ok(())
}
