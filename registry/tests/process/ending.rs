use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Result, bail, ensure};
use nix::sys::signal::Signal;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::server::{PATIENCE, Registry};
use crate::socket::Socket;

#[test]
fn a_signal_ends_it_when_what_is_under_way_is_finished() -> Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let registry = Registry::start(&[])?;
        let mut stream = TcpStream::connect(&registry.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = r#"{"service":{"serviceName":"a"}}"#;
        let head = "POST /v4/default/registry/microservices HTTP/1.1\r\nHost: r\r\n";
        write!(stream, "{head}Content-Length: {}\r\nExpect: 100-continue\r\n\r\n", body.len())?;
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on)?;
        ensure!(go_on.starts_with(b"HTTP/1.1 100 Continue"), "the request is under way");
        registry.signal(signal)?;
        crate::wait_until("it stops", || Ok(registry.log().contains("\"stopping")))?;
        stream.write_all(body.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        let status = registry.end()?;
        ensure!(status.code() == Some(0), "{status}: {}", registry.log());
        ensure!(TcpStream::connect(&registry.address).is_err(), "nobody listens any more");
    }
    Ok(())
}

#[test]
fn idle_connections_and_watchers_do_not_keep_it() -> Result<()> {
    let registry = Registry::start(&[])?;
    let id = crate::register(&registry, "a")?;
    let _idle = TcpStream::connect(&registry.address)?;
    let mut watcher = Socket::connect(&registry, &format!("microservices/{id}/watcher"), None)?;
    registry.signal(Signal::SIGTERM)?;
    match watcher.next()? {
        Message::Close(Some(frame)) => ensure!(frame.code == CloseCode::Away, "{frame:?}"),
        other => bail!("{other:?} is no goodbye"),
    }
    ensure!(registry.end()?.success());
    ensure!(!registry.log().contains("still open"), "{}", registry.log());
    Ok(())
}
