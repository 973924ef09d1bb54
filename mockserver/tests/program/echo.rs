//! TCP and UDP that comes back.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::thread;

use anyhow::Result;
use testbed::Guard;

use crate::http::connect;
use crate::mock::{Mock, PATIENCE, listening};

fn start(guard: &Guard) -> Result<(Mock, SocketAddr, SocketAddr)> {
    let mock = Mock::start(guard, "mock", &["-echoTCP", "127.0.0.1:0", "-echoUDP=127.0.0.1:0"])?;
    let tcp = listening(&mock.server, "-echoTCP")?;
    let udp = listening(&mock.server, "-echoUDP")?;
    Ok((mock, tcp, udp))
}

#[test]
fn tcp_comes_back_whole() -> Result<()> {
    let guard = Guard::new()?;
    let (_mock, tcp, _) = start(&guard)?;
    let sent: Vec<u8> = (0..1_000_003_u32).map(|number| (number % 251) as u8).collect();
    let mut stream = connect(tcp)?;
    let mut writer = stream.try_clone()?;
    let bytes = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&bytes)?;
        writer.shutdown(Shutdown::Write)
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received)?;
    writing.join().expect("no panic")?;
    assert!(received == sent, "{} of {} bytes came back", received.len(), sent.len());
    Ok(())
}

#[test]
fn tcp_says_who_it_is() -> Result<()> {
    let guard = Guard::new()?;
    let (_mock, tcp, _) = start(&guard)?;
    let mut stream = connect(tcp)?;
    stream.write_all(b"WHO")?;
    let mut buffer = [0; 1024];
    let length = stream.read(&mut buffer)?;
    let text = str::from_utf8(&buffer[..length])?;
    let peer = stream.local_addr()?;
    assert!(text.starts_with("Hostname: "), "{text}");
    assert!(
        text.ends_with(&format!("\nService: mock\nIP: 127.0.0.1\nRemoteAddr: {peer}\n")),
        "{text}"
    );
    // It still echoes.
    stream.write_all(b"WHOEVER")?;
    let mut echoed = [0; 7];
    stream.read_exact(&mut echoed)?;
    assert_eq!(&echoed, b"WHOEVER");
    Ok(())
}

#[test]
fn datagrams_come_back_one_by_one() -> Result<()> {
    let guard = Guard::new()?;
    let (_mock, _, udp) = start(&guard)?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(udp)?;
    let mut buffer = vec![0; 70_000];
    for sent in [vec![1], Vec::new(), vec![7; 60_000], b"WHO?".to_vec()] {
        socket.send(&sent)?;
        let length = socket.recv(&mut buffer)?;
        assert!(buffer[..length] == sent, "{length} bytes instead of {}", sent.len());
    }
    socket.send(b"WHO\n")?;
    let length = socket.recv(&mut buffer)?;
    let text = str::from_utf8(&buffer[..length])?;
    assert!(text.starts_with("Hostname: ") && text.contains("Service: mock\n"), "{text}");
    Ok(())
}
