//! TCP and UDP that comes back as it went, and says who answers when asked `WHO`.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::lifecycle::Closing;
use super::listen;

/// What is echoed at a time; a datagram is never longer.
const BUFFER: usize = 64 << 10;

/// Who answers.
#[derive(Debug)]
pub(super) struct Who {
    pub(super) hostname: String,
    pub(super) service: String,
}

impl Who {
    /// The answer to `bytes`, where it is another than they themselves.
    fn answer(&self, bytes: &[u8], local: Option<SocketAddr>, peer: SocketAddr) -> Option<String> {
        if bytes.trim_ascii() != b"WHO" {
            return None;
        }
        let Self { hostname, service } = self;
        let ip = local.map(|address| format!("IP: {}\n", address.ip())).unwrap_or_default();
        Some(format!("Hostname: {hostname}\nService: {service}\n{ip}RemoteAddr: {peer}\n"))
    }
}

/// Echoes each connection until its peer has said all; open ones end with the program.
pub(super) async fn tcp(listener: TcpListener, who: Arc<Who>, mut closing: Closing) {
    while let Some((stream, peer)) = listen::next(&listener, &mut closing).await {
        let who = Arc::clone(&who);
        tokio::spawn(async move {
            if let Err(error) = echo(stream, peer, &who).await {
                tracing::debug!(%error, %peer, "connection ended");
            }
        });
    }
}

async fn echo(mut stream: TcpStream, peer: SocketAddr, who: &Who) -> std::io::Result<()> {
    let local = stream.local_addr().ok();
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = stream.read(&mut buffer).await?;
        let bytes = &buffer[..length];
        if bytes.is_empty() {
            return stream.shutdown().await;
        }
        match who.answer(bytes, local, peer) {
            Some(answer) => stream.write_all(answer.as_bytes()).await?,
            None => stream.write_all(bytes).await?,
        }
    }
}

/// Echoes each datagram to its sender.
pub(super) async fn udp(socket: UdpSocket, who: Arc<Who>, mut closing: Closing) {
    let local = socket.local_addr().ok();
    let mut buffer = vec![0; BUFFER];
    loop {
        let received = tokio::select! {
            () = closing.reached() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        // An error is about an earlier datagram that nobody took.
        let Ok((length, peer)) = received else { continue };
        let bytes = &buffer[..length];
        let answer = who.answer(bytes, local, peer);
        let answer = answer.as_deref().map_or(bytes, str::as_bytes);
        if let Err(error) = socket.send_to(answer, peer).await {
            tracing::debug!(%error, %peer, "cannot answer");
        }
    }
}
