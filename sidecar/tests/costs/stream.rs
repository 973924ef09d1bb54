//! A long body in either direction, between threads that hold nothing of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

static BLOCK: [u8; 64 << 10] = [b'x'; 64 << 10];
const END: &[u8] = b"\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x";

/// A server that takes a body of `length` bytes, if it is sent one, and answers with one.
pub(crate) fn application(length: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let mut tcp = tcp.expect("a connection");
            let asked = head(&mut tcp);
            if is_upgrade(&asked) {
                send_head(&mut tcp, SWITCHING);
                if asked.starts_with(b"GET /up") {
                    take(&mut tcp, length);
                    send(&mut tcp, 1);
                } else {
                    send(&mut tcp, length);
                }
                continue;
            }
            let uploads = asked.starts_with(b"POST");
            if uploads {
                take(&mut tcp, length);
            }
            let answer = if uploads { 0 } else { length };
            send_head(&mut tcp, &format!("HTTP/1.1 200 OK\r\ncontent-length: {answer}"));
            send(&mut tcp, answer);
        }
    });
    address
}

/// Fetches a body of `length` bytes.
pub(crate) fn download(proxy: SocketAddr, length: usize) {
    let mut tcp = TcpStream::connect(proxy).expect("the proxy listens");
    send_head(&mut tcp, "GET http://ServiceB/ HTTP/1.1\r\nhost: ServiceB");
    assert!(head(&mut tcp).starts_with(b"HTTP/1.1 200"));
    take(&mut tcp, length);
}

/// Sends a body of `length` bytes.
pub(crate) fn upload(proxy: SocketAddr, length: usize) {
    let mut tcp = TcpStream::connect(proxy).expect("the proxy listens");
    let head_line = "POST http://ServiceB/ HTTP/1.1\r\nhost: ServiceB";
    send_head(&mut tcp, &format!("{head_line}\r\ncontent-length: {length}"));
    send(&mut tcp, length);
    assert!(head(&mut tcp).starts_with(b"HTTP/1.1 200"));
}

/// Fetches `length` bytes through a tunnel.
pub(crate) fn tunnel_down(proxy: SocketAddr, length: usize) {
    take(&mut tunnel(proxy, "/down"), length);
}

/// Sends `length` bytes through a tunnel.
pub(crate) fn tunnel_up(proxy: SocketAddr, length: usize) {
    let mut tcp = tunnel(proxy, "/up");
    send(&mut tcp, length);
    take(&mut tcp, 1);
}

/// A connection that was upgraded.
pub(crate) fn tunnel(proxy: SocketAddr, path: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(proxy).expect("the proxy listens");
    let asking = "HTTP/1.1\r\nhost: ServiceB\r\nconnection: upgrade\r\nupgrade: x";
    send_head(&mut tcp, &format!("GET {path} {asking}"));
    assert!(head(&mut tcp).starts_with(b"HTTP/1.1 101"));
    tcp
}

/// A server that upgrades every connection, and then does nothing with it.
pub(crate) fn idler() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let mut kept = Vec::with_capacity(10_000);
        for tcp in listener.incoming() {
            let mut tcp = tcp.expect("a connection");
            head(&mut tcp);
            send_head(&mut tcp, SWITCHING);
            kept.push(tcp);
        }
    });
    address
}

fn is_upgrade(head: &[u8]) -> bool {
    head.windows(11).any(|line| line == b"\r\nupgrade: ")
}

fn send_head(tcp: &mut TcpStream, head: &str) {
    tcp.write_all(head.as_bytes()).expect("the peer reads");
    tcp.write_all(END).expect("the peer reads");
}

/// A head, byte by byte, so that nothing of the body is taken with it.
fn head(tcp: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::with_capacity(4096);
    while !head.ends_with(END) {
        let mut byte = [0];
        tcp.read_exact(&mut byte).expect("the peer sends a head");
        head.push(byte[0]);
    }
    head
}

fn send(tcp: &mut TcpStream, mut length: usize) {
    while length > 0 {
        let block = length.min(BLOCK.len());
        tcp.write_all(&BLOCK[..block]).expect("the peer reads");
        length -= block;
    }
}

fn take(tcp: &mut TcpStream, mut length: usize) {
    let mut buffer = [0; 16 << 10];
    while length > 0 {
        let most = length.min(buffer.len());
        let count = tcp.read(&mut buffer[..most]).expect("the peer sends");
        assert!(count > 0, "the body is whole");
        length -= count;
    }
}
