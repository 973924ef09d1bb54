//! Addresses to listen on, spelled as Go spells them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UdpSocket, lookup_host};
use tokio::time::sleep;

use super::lifecycle::Closing;
use crate::Error;

/// Connections that may wait to be taken.
const BACKLOG: i32 = 1024;
/// How long to wait when the system has no file descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// Listens on `address`: `HOST:PORT`, or `:PORT` for every address of IPv6 and IPv4.
pub(super) async fn tcp(flag: &'static str, address: &str) -> Result<TcpListener, Error> {
    let listener = bind(address, Type::STREAM).await.and_then(|socket| {
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    });
    let listener = listener.map_err(|source| failed(flag, address, source))?;
    if let Ok(address) = listener.local_addr() {
        log(flag, address);
    }
    Ok(listener)
}

/// The same for datagrams.
pub(super) async fn udp(flag: &'static str, address: &str) -> Result<UdpSocket, Error> {
    let socket = bind(address, Type::DGRAM).await.and_then(|socket| {
        let socket: std::net::UdpSocket = socket.into();
        UdpSocket::from_std(socket)
    });
    let socket = socket.map_err(|source| failed(flag, address, source))?;
    if let Ok(address) = socket.local_addr() {
        log(flag, address);
    }
    Ok(socket)
}

fn failed(flag: &'static str, address: &str, source: io::Error) -> Error {
    Error::Listen { flag, address: address.to_owned(), source }
}

/// Says which port it became, when any was asked for.
fn log(flag: &str, address: SocketAddr) {
    tracing::info!("listening on {address} ({flag})");
}

/// The next connection; `None` when it is time to close.
pub(super) async fn next(
    listener: &TcpListener,
    closing: &mut Closing,
) -> Option<(TcpStream, SocketAddr)> {
    loop {
        // What waits in the system's queue is taken first: its clients believe they are connected.
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = closing.reached() => return None,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Answers are written at once; waiting for more to send only delays them.
                let _ = stream.set_nodelay(true);
                return Some((stream, peer));
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken at the moment");
                sleep(EXHAUSTED).await;
            }
        }
    }
}

async fn bind(address: &str, kind: Type) -> io::Result<Socket> {
    let Some(port) = address.strip_prefix(':') else {
        // IPv4 first, as Go has it: `localhost` means 127.0.0.1 where it means both.
        let mut found: Vec<SocketAddr> = lookup_host(address).await?.collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        let first = found.first().ok_or_else(|| io::Error::other("the host has no address"))?;
        return socket(*first, kind);
    };
    let port = port.parse().map_err(|_| io::Error::other("the port is no number up to 65535"))?;
    // A machine without IPv6 still has the other half of it.
    socket((Ipv6Addr::UNSPECIFIED, port).into(), kind)
        .or_else(|_| socket((Ipv4Addr::UNSPECIFIED, port).into(), kind))
}

fn socket(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // Only the unspecified address can stand for both families.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses() {
        for (address, bound) in
            [("127.0.0.1:0", "127.0.0.1"), ("localhost:0", "127.0.0.1"), ("0.0.0.0:0", "0.0.0.0")]
        {
            let listener = tcp("-listenAddress", address).await.unwrap();
            assert_eq!(listener.local_addr().unwrap().ip().to_string(), bound, "{address}");
            let socket = udp("-echoUDP", address).await.unwrap();
            assert_eq!(socket.local_addr().unwrap().ip().to_string(), bound, "{address}");
        }
        let listener = tcp("-listenAddress", ":0").await.unwrap();
        let everywhere = listener.local_addr().unwrap();
        assert!(everywhere.ip().is_unspecified(), "{everywhere}");
        let v4 = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, everywhere.port())).await;
        assert!(v4.is_ok(), "{v4:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_had_says_why() {
        let listener = tcp("-listenAddress", "127.0.0.1:0").await.unwrap();
        let taken = listener.local_addr().unwrap().to_string();
        for address in [taken.as_str(), "127.0.0.1", ":x", ":70000", "", "203.0.113.1:0"] {
            let error = tcp("-listenAddress", address).await.unwrap_err().to_string();
            assert!(error.contains("-listenAddress"), "{error}");
            assert!(error.contains("HOST:PORT"), "{error}");
        }
    }
}
