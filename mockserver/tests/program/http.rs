//! Requests written by hand, so that what is tested does not test itself.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::mock::PATIENCE;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Everything before the body.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("{self:?}"))
    }
}

/// `GET target` with `headers`.
pub(crate) fn get(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    send(connect(address)?, address, target, headers)
}

/// A connection whose peer cannot keep a test waiting for ever.
pub(crate) fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn send(
    mut stream: TcpStream,
    host: SocketAddr,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<Answer> {
    let mut request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n")?;
    }
    stream.write_all(request.as_bytes())?;
    stream.write_all(b"\r\n")?;
    receive(stream)
}

/// Reads an answer to the end of its connection.
pub(crate) fn receive(mut stream: TcpStream) -> Result<Answer> {
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no head: {text:?}"))?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    if let Some(length) = length {
        ensure!(body.len() == length.parse::<usize>()?, "the body is not whole: {text:?}");
    }
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}
