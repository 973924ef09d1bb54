//! A client that shows what is on the wire, and nothing else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    /// Reads the head and body of a recorded or received answer.
    pub(crate) fn parse(head: &str, body: String) -> Result<Self> {
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.context("no status line")?.parse()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok(Self { status, headers, body })
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body, `null` if it is no JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Sends one request on a connection of its own.
pub(crate) fn send(
    address: &str,
    method: &str,
    target: &str,
    headers: &[(String, String)],
    body: Option<&str>,
) -> Result<Reply> {
    let mut headers = headers.to_vec();
    if let Some(body) = body {
        headers.push(("Content-Length".into(), body.len().to_string()));
    }
    send_raw(address, method, target, &headers, body.unwrap_or_default())
}

/// Sends one request whose headers and body are sent as they are.
pub(crate) fn send_raw(
    address: &str,
    method: &str,
    target: &str,
    headers: &[(String, String)],
    body: &str,
) -> Result<Reply> {
    let mut stream =
        TcpStream::connect(address).with_context(|| format!("no registry at {address}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut request =
        format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer).context("an answer that is no text")?;
    let Some((head, rest)) = answer.split_once("\r\n\r\n") else {
        bail!("no answer to {method} {target}: {answer:?}");
    };
    let reply = Reply::parse(head, rest.to_owned())?;
    if reply.header("transfer-encoding") == Some("chunked") {
        let body = unchunked(rest).context("chunks that are not whole")?;
        return Ok(Reply { body, ..reply });
    }
    Ok(reply)
}

fn unchunked(mut text: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, rest) = text.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body += rest.get(..size)?;
        text = rest.get(size + 2..)?;
    }
}
