//! Clients and an application that cost nothing themselves.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

const CONNECTIONS: usize = 16;
const REQUEST: &[u8] = b"GET http://ServiceB:8080/hello HTTP/1.1\r\nhost: ServiceB:8080\r\n\
    user-agent: test\r\naccept: */*\r\nx-user: jason\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nserver: test\r\ncontent-length: 4\r\n\r\nokay";
/// What every response through the proxy ends with.
const END: &[u8] = b"\r\n\r\nokay";

/// The requests of so many rounds.
pub(crate) fn requests(rounds: usize) -> usize {
    rounds * CONNECTIONS
}

/// A server with a thread for each connection.
pub(crate) fn application() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let tcp = tcp.expect("a connection");
            thread::spawn(move || answer(tcp));
        }
    });
    address
}

fn answer(mut tcp: TcpStream) {
    tcp.set_nodelay(true).expect("an option");
    let mut buffer = [0; 4096];
    let mut filled = 0;
    loop {
        match tcp.read(&mut buffer[filled..]) {
            Ok(0) | Err(_) => return,
            Ok(count) => filled += count,
        }
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            if tcp.write_all(RESPONSE).is_err() {
                return;
            }
        }
    }
}

/// Sixteen connections to the proxy.
pub(crate) struct Clients(Vec<TcpStream>);

impl Clients {
    pub(crate) fn connect(proxy: SocketAddr) -> Self {
        let connect = |_| {
            let tcp = TcpStream::connect(proxy).expect("the proxy listens");
            tcp.set_nodelay(true).expect("an option");
            tcp.set_read_timeout(Some(Duration::from_secs(20))).expect("an option");
            tcp
        };
        Self((0..CONNECTIONS).map(connect).collect())
    }

    /// A request on each connection, and its response; so many times.
    pub(crate) fn rounds(&mut self, count: usize) {
        let mut buffer = [0; 4096];
        for _ in 0..count {
            for tcp in &mut self.0 {
                tcp.write_all(REQUEST).expect("the proxy reads");
            }
            for tcp in &mut self.0 {
                let mut filled = 0;
                while !buffer[..filled].ends_with(END) {
                    let count = tcp.read(&mut buffer[filled..]).expect("the proxy answers");
                    assert!(count > 0, "the proxy closed");
                    filled += count;
                }
                assert!(buffer.starts_with(b"HTTP/1.1 200 OK\r\n"));
            }
        }
    }
}
