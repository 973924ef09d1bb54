//! Bytes on the wire: clients that say anything, and upstreams that answer anything.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::PATIENCE;
use crate::wire::Reply;

/// One end of a connection. Whatever is waited for comes within [`PATIENCE`], or is an error.
#[derive(Debug)]
pub struct Raw {
    tcp: TcpStream,
    read: Vec<u8>,
}

/// A connection as an upstream sees it.
pub type Peer = Raw;

impl Raw {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let tcp = timeout(PATIENCE, TcpStream::connect(address)).await.context("connect")??;
        Self::new(tcp)
    }

    /// Connects from an address of this machine. From 127.0.3.1, say, thousands of clients take no
    /// port away that a server of 127.0.0.1 is about to use.
    pub async fn connect_from(from: IpAddr, address: SocketAddr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(from, 0))?;
        let tcp = timeout(PATIENCE, socket.connect(address)).await.context("connect")??;
        Self::new(tcp)
    }

    fn new(tcp: TcpStream) -> Result<Self> {
        tcp.set_nodelay(true)?;
        Ok(Self { tcp, read: Vec::new() })
    }

    /// Sends `bytes` as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        timeout(PATIENCE, self.tcp.write_all(bytes.as_ref())).await.context("send")??;
        Ok(())
    }

    /// Says that nothing more is sent.
    pub async fn finish(&mut self) -> Result<()> {
        Ok(self.tcp.shutdown().await?)
    }

    /// Ends the connection with a reset.
    pub fn reset(self) -> Result<()> {
        Ok(self.tcp.set_zero_linger()?)
    }

    /// Reads once more; `false` at the end.
    pub async fn more(&mut self) -> Result<bool> {
        let read = timeout(PATIENCE, self.tcp.read_buf(&mut self.read)).await;
        Ok(read.context("nothing came")?? > 0)
    }

    /// Everything up to and with `end`.
    pub async fn until(&mut self, end: &[u8]) -> Result<Vec<u8>> {
        let mut from = 0;
        loop {
            let found = self.read[from..].windows(end.len()).position(|window| window == end);
            if let Some(at) = found {
                return Ok(self.read.drain(..from + at + end.len()).collect());
            }
            from = self.read.len().saturating_sub(end.len());
            if !self.more().await? {
                bail!("the connection ended after {:?}", String::from_utf8_lossy(&self.read));
            }
        }
    }

    /// Just so many bytes.
    pub async fn exactly(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.read.len() < count {
            ensure!(self.more().await?, "the connection ended in a body");
        }
        Ok(self.read.drain(..count).collect())
    }

    /// Everything until the other end closes; a reset is an error.
    pub async fn rest(&mut self) -> Result<Vec<u8>> {
        while self.more().await? {}
        Ok(std::mem::take(&mut self.read))
    }

    /// Reads and forgets `count` bytes.
    pub async fn skip(&mut self, count: u64) -> Result<()> {
        let mut left = count;
        loop {
            let here = u64::try_from(self.read.len())?.min(left);
            self.read.drain(..usize::try_from(here)?);
            left -= here;
            if left == 0 {
                return Ok(());
            }
            ensure!(self.more().await?, "the connection ended {left} bytes early");
        }
    }

    /// Whether the other end has ended the connection, in whatever way, without another byte.
    pub async fn is_ended(&mut self) -> Result<bool> {
        Ok(match timeout(PATIENCE, self.tcp.read_buf(&mut self.read)).await {
            Ok(Ok(count)) => count == 0,
            Ok(Err(_)) => true,
            Err(_) => false,
        })
    }

    /// The head of a message, with its empty line.
    pub async fn head(&mut self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.until(b"\r\n\r\n").await?).into_owned())
    }

    /// A response with its body; `HEAD` has none whatever it says.
    pub async fn reply(&mut self, method: &str) -> Result<Reply> {
        let head = self.head().await?;
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?;
        let status = status.parse()?;
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        let mut reply = Reply { status, headers, body: Vec::new() };
        if method == "HEAD" || matches!(status, 100..=199 | 204 | 304) {
            return Ok(reply);
        }
        reply.body = if reply.header("transfer-encoding").is_some_and(|coding| coding == "chunked")
        {
            self.chunks().await?
        } else if let Some(length) = reply.header("content-length") {
            self.exactly(length.parse()?).await?
        } else {
            self.rest().await?
        };
        Ok(reply)
    }

    async fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n").await?;
            let line = String::from_utf8(line)?;
            let size = usize::from_str_radix(line.trim(), 16).context("a chunk's size")?;
            if size == 0 {
                while self.until(b"\r\n").await? != b"\r\n" {}
                return Ok(body);
            }
            body.extend(self.exactly(size).await?);
            ensure!(self.exactly(2).await? == b"\r\n", "a chunk does not end");
        }
    }

    /// The body of a request whose head is known.
    pub async fn body_of(&mut self, head: &str) -> Result<Vec<u8>> {
        let head = head.to_lowercase();
        if head.contains("transfer-encoding: chunked") {
            return self.chunks().await;
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        self.exactly(length.unwrap_or("0").trim().parse()?).await
    }
}

/// A server that does with each connection whatever a scenario says.
#[derive(Debug)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Upstream {
    /// Listens on 127.0.0.1. `serve` gets each connection and its number, from 0 on; when it
    /// returns, the connection is closed.
    pub async fn start<F>(serve: impl Fn(Peer, usize) -> F + Send + Sync + 'static) -> Result<Self>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(peer) = Peer::new(tcp) else { continue };
                connections.spawn(serve(peer, count.fetch_add(1, Ordering::Relaxed)));
            }
        });
        Ok(Self { address, accepted, task })
    }

    /// How many connections came so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}
