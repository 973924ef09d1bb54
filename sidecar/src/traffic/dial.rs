//! Connecting to a name, which may have many addresses, of both families.
//!
//! Its addresses are tried one after the other, and each has a little time alone before the next
//! one joins in: one that does not answer costs no more than that, where waiting for it would take
//! all the time there is. The families alternate, as what fails is mostly one of them as a whole
//! (RFC 8305).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What an address has alone before the next one is tried too.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the first that takes the connection.
pub(crate) async fn connect_to_any(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = alternating(addresses).into_iter().peekable();
    let mut under_way = FuturesUnordered::new();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(address) = waiting.next() {
            under_way.push(TcpStream::connect(address));
        }
        let ended = if waiting.peek().is_none() {
            under_way.next().await
        } else {
            match timeout(HEAD_START, under_way.next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        match ended {
            Some(Ok(tcp)) => return Ok(tcp),
            Some(Err(error)) => failed = error,
            None => return Err(failed),
        }
    }
}

/// The resolver's order, which knows what this host can reach best, but one family after the other.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == first);
    let mut all = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    loop {
        let before = all.len();
        all.extend(one.next());
        all.extend(other.next());
        if all.len() == before {
            return all;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use socket2::{Domain, Socket, Type};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::{alternating, connect_to_any};

    /// Longer than anything takes that works, shorter than the system's patience.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn the_families_alternate() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (given, expected) in [
            (vec![], vec![]),
            (vec!["[::1]:1", "[::2]:1", "1.1.1.1:1"], vec!["[::1]:1", "1.1.1.1:1", "[::2]:1"]),
            (
                vec!["1.1.1.1:1", "1.1.1.2:1", "1.1.1.3:1", "[::1]:1"],
                vec!["1.1.1.1:1", "[::1]:1", "1.1.1.2:1", "1.1.1.3:1"],
            ),
        ] {
            let found = alternating(given.into_iter().map(address).collect());
            assert_eq!(found, expected.into_iter().map(address).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn one_that_does_not_answer_is_not_waited_for() {
        // Its queue is full, so that the system lets further packets for it fall.
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        silent.listen(0).unwrap();
        let dead = silent.local_addr().unwrap().as_socket().unwrap();
        let mut queue = Vec::new();
        while let Ok(taken) = timeout(Duration::from_millis(200), TcpStream::connect(dead)).await {
            queue.push(taken.unwrap());
        }
        let refusing = {
            let listener = TcpListener::bind("[::1]:0").await.unwrap();
            listener.local_addr().unwrap()
        };
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = (alive.local_addr().unwrap(), alive);
        for addresses in [vec![dead, alive.0], vec![refusing, dead, alive.0], vec![alive.0, dead]] {
            let connected = timeout(PATIENCE, connect_to_any(addresses)).await;
            assert_eq!(connected.unwrap().unwrap().peer_addr().unwrap(), alive.0);
        }
        let refused = connect_to_any(vec![refusing, refusing]).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        assert!(connect_to_any(Vec::new()).await.is_err());
    }
}
