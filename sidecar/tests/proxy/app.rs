//! Applications: servers that say what they were asked, or do as a test tells them.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// A server on a free port of 127.0.0.1; it ends with the test's runtime.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl App {
    /// Answers every request with the request's own bytes.
    pub(crate) async fn echo() -> Self {
        Self::each(|mut peer, _| async move {
            while let Some(request) = peer.request().await {
                peer.answer(&request).await;
            }
        })
        .await
    }

    /// Answers every request with `text`.
    pub(crate) async fn saying(text: &'static str) -> Self {
        Self::each(move |mut peer, _| async move {
            while peer.request().await.is_some() {
                peer.answer(text).await;
            }
        })
        .await
    }

    /// Answers a request when there is a permit for it.
    pub(crate) async fn gated() -> (Self, Arc<Semaphore>) {
        let gate = Arc::new(Semaphore::new(0));
        let opens = Arc::clone(&gate);
        let app = Self::each(move |mut peer, _| {
            let opens = Arc::clone(&opens);
            async move {
                while peer.request().await.is_some() {
                    opens.acquire().await.expect("it is never closed").forget();
                    peer.answer("okay").await;
                }
            }
        });
        (app.await, gate)
    }

    /// Does `serve` with each connection, which are counted from 0.
    pub(crate) async fn each<F, S>(serve: F) -> Self
    where
        F: Fn(Peer, usize) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        Self::at(IpAddr::from([127, 0, 0, 1]), serve).await
    }

    /// The same, on a free port of another address.
    pub(crate) async fn at<F, S>(ip: IpAddr, serve: F) -> Self
    where
        F: Fn(Peer, usize) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((ip, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.expect("a connection");
                tcp.set_nodelay(true).expect("an option");
                let number = counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(Peer { tcp, read: Vec::new() }, number));
            }
        });
        Self { address, connections }
    }

    /// How many connections it took.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// The server's end of a connection.
pub(crate) struct Peer {
    pub(crate) tcp: TcpStream,
    read: Vec<u8>,
}

impl Peer {
    /// The next request with its body, as it came. `None`: the peer has closed.
    pub(crate) async fn request(&mut self) -> Option<String> {
        let head = self.head().await?;
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned)
        });
        let body = if let Some(length) = length {
            let length: usize = length.trim().parse().expect("a length");
            while self.read.len() < length {
                self.more().await?;
            }
            self.read.drain(..length).collect()
        } else if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            self.until(b"0\r\n\r\n").await?
        } else {
            Vec::new()
        };
        Some(head + &String::from_utf8_lossy(&body))
    }

    /// The next request, to the end of its trailers.
    pub(crate) async fn request_with_trailers(&mut self) -> String {
        let mut request = self.head().await.unwrap_or_default().into_bytes();
        for end in [&b"0\r\n"[..], b"\r\n\r\n"] {
            request.extend(self.until(end).await.unwrap_or_default());
        }
        String::from_utf8(request).expect("text")
    }

    /// Sends what comes, until it was so many bytes.
    pub(crate) async fn echo(&mut self, mut count: usize) {
        while count > 0 {
            if self.read.is_empty() && self.more().await.is_none() {
                return;
            }
            count = count.saturating_sub(self.read.len());
            let block = std::mem::take(&mut self.read);
            self.send(block).await;
        }
    }

    /// The next request's head.
    pub(crate) async fn head(&mut self) -> Option<String> {
        let head = self.until(b"\r\n\r\n").await?;
        Some(String::from_utf8(head).expect("a head is text"))
    }

    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                return Some(self.read.drain(..at + end.len()).collect());
            }
            self.more().await?;
        }
    }

    /// What comes until the peer says that nothing more does.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await.is_some() {}
        std::mem::take(&mut self.read)
    }

    async fn more(&mut self) -> Option<()> {
        match self.tcp.read_buf(&mut self.read).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(()),
        }
    }

    /// 200 with a body.
    pub(crate) async fn answer(&mut self, body: &str) {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        self.send(head + body).await;
    }

    /// Ends the connection with a reset, which overtakes what was not read yet.
    pub(crate) fn reset(self) {
        self.tcp.set_zero_linger().expect("an option");
    }

    /// Bytes as they are.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A proxy that has closed may do so.
        let _ = self.tcp.write_all(bytes.as_ref()).await;
    }
}
