//! HTTP/1.1: the bytes a test gives, over TLS or in the clear.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::Reply;

/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// One connection over TLS.
#[derive(Debug)]
pub struct Http1(StreamOwned<ClientConnection, TcpStream>);

impl Http1 {
    /// Connects, and completes the handshake.
    pub fn connect(address: SocketAddr, tls: &Arc<ClientConfig>) -> Result<Self> {
        let tcp = TcpStream::connect(address)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        tcp.set_nodelay(true)?;
        let mut config = ClientConfig::clone(tls);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let session = ClientConnection::new(Arc::new(config), ServerName::from(address.ip()))?;
        let mut stream = StreamOwned::new(session, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).context("TLS handshake")?;
        }
        Ok(Self(stream))
    }

    /// The certificate chain the server showed.
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.0.conn.peer_certificates().unwrap_or_default().to_vec()
    }

    /// Sends `bytes` as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes)?;
        Ok(self.0.flush()?)
    }

    /// Reads one answer.
    pub fn reply(&mut self) -> Result<Reply> {
        read_reply(&mut self.0)
    }

    /// Sends `bytes` and reads the answer, also where the server closes before it has read all.
    pub fn exchange(&mut self, bytes: &[u8]) -> Result<Reply> {
        let sent = self.send(bytes);
        self.reply().or_else(|error| sent.and(Err(error)))
    }

    /// Posts `body` as the API server does.
    pub fn post(&mut self, path: &str, body: &[u8]) -> Result<Reply> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: injector\r\ncontent-type: application/json\r\n\
             accept: application/json, */*\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.exchange(&[head.as_bytes(), body].concat())
    }

    /// Whether the server ends the connection without another byte.
    pub fn is_closed_by_server(&mut self) -> bool {
        !matches!(self.0.read(&mut [0; 1]), Ok(1))
    }
}

/// One request in the clear, on a connection of its own.
pub fn plain(address: SocketAddr, method: &str, path: &str) -> Result<Reply> {
    let mut tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    write!(tcp, "{method} {path} HTTP/1.1\r\nhost: injector\r\nconnection: close\r\n\r\n")?;
    read_reply(&mut tcp)
}

fn read_reply(stream: &mut impl Read) -> Result<Reply> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        more(stream, &mut bytes).context("no whole head of an answer")?;
    };
    let head = String::from_utf8(bytes[..end].to_vec())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?;
    let status = status.parse()?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let mut reply = Reply { status, headers, body: bytes.split_off(end + 4) };
    let length: usize = reply.header("content-length").map_or(Ok(0), str::parse)?;
    while reply.body.len() < length {
        more(stream, &mut reply.body).context("the body broke off")?;
    }
    if reply.body.len() > length {
        bail!("{} bytes after the answer", reply.body.len() - length);
    }
    Ok(reply)
}

fn more(stream: &mut impl Read, bytes: &mut Vec<u8>) -> Result<()> {
    let mut buffer = [0; 16 << 10];
    let count = stream.read(&mut buffer)?;
    if count == 0 {
        bail!("the connection ended");
    }
    bytes.extend_from_slice(&buffer[..count]);
    Ok(())
}
