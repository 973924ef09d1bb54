use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::http;
use crate::server::{PATIENCE, Registry};
use crate::{call, names, register};

#[test]
fn long_bodies_are_refused_announced_or_not() -> Result<()> {
    let registry = Registry::start(&["--max-body", "2048"])?;
    let path = "/v4/default/registry/microservices";
    let long = json!({"service": {"serviceName": "a", "description": "x".repeat(4096)}});
    let reply = call(&registry, "POST", "microservices", Some(&long))?;
    ensure!(reply.status == 413 && reply.body.contains("--max-body"), "{reply:?}");
    let chunked = [("Transfer-Encoding".to_owned(), "chunked".to_owned())];
    let chunks = format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.to_string().len());
    let reply = http::send_raw(&registry.address, "POST", path, &chunked, &chunks)?;
    ensure!(reply.status == 413, "{reply:?}");
    assert_eq!(names(&registry)?, [""; 0]);
    Ok(())
}

#[test]
fn idle_connections_make_room_for_new_ones() -> Result<()> {
    let registry = Registry::start(&["--max-connections", "4"])?;
    let mut idle = Vec::new();
    for _ in 0..12 {
        idle.push(TcpStream::connect(&registry.address)?);
        register(&registry, "a")?;
    }
    let mut first = idle.swap_remove(0);
    first.set_read_timeout(Some(PATIENCE))?;
    ensure!(first.read(&mut [0])? == 0, "the oldest was closed");
    Ok(())
}

#[test]
fn a_request_that_does_not_arrive_ends() -> Result<()> {
    let registry = Registry::start(&["--request-timeout", "300ms", "--idle-timeout", "600ms"])?;
    let head = "POST /v4/default/registry/microservices HTTP/1.1\r\nHost: r\r\n";
    for (sent, status) in
        [(format!("{head}Content-Length: 10\r\n\r\n{{"), "408"), (head.into(), "")]
    {
        let mut stream = TcpStream::connect(&registry.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(sent.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.contains(status), "{answer}");
    }
    Ok(())
}

#[test]
fn there_is_room_for_so_much() -> Result<()> {
    let registry = Registry::start(&["--max-services", "1"])?;
    register(&registry, "a")?;
    let more = json!({"service": {"serviceName": "b"}});
    let reply = call(&registry, "POST", "microservices", Some(&more))?;
    ensure!(reply.status == 400 && reply.json()["errorCode"] == "400100", "{reply:?}");
    Ok(())
}

#[test]
fn what_is_no_request_does_no_harm() -> Result<()> {
    let registry = Registry::start(&[])?;
    let long = "x".repeat(100_000);
    for bytes in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        &format!("GET /{long} HTTP/1.1\r\n\r\n"),
        &format!("GET / HTTP/1.1\r\nA: {long}\r\n\r\n"),
        "GET /v4/%ff/registry/instances?appId=%ff&serviceName=%00 HTTP/1.1\r\nHost: r\r\n\r\n",
        "GET /v4/default/registry/microservices HTTP/1.1\r\nHost: r\r\nX-Domain-Name: \u{e4}/\r\n\r\n",
        "PUT /v4/default/registry/heartbeats HTTP/1.1\r\nHost: r\r\nContent-Length: -1\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(&registry.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // It may be closed before all of it is read.
        let _ = stream.write_all(bytes.as_bytes());
        let mut answer = [0; 64];
        let _ = stream.read(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        ensure!(!answer.starts_with("HTTP/1.1 2") && !answer.starts_with("HTTP/1.1 5"), "{answer}");
    }
    register(&registry, "a")?;
    ensure!(!registry.log().contains("panic"), "{}", registry.log());
    Ok(())
}
