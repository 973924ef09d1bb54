//! A WebSocket to the registry, read one message at a time.

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::server::{PATIENCE, Registry};

/// An open WebSocket.
pub(crate) struct Socket {
    stream: WebSocketStream<TcpStream>,
    runtime: Runtime,
}

impl Socket {
    /// Connects to a path of the v4 API.
    pub(crate) fn connect(
        registry: &Registry,
        path: &str,
        header: Option<(&'static str, &str)>,
    ) -> Result<Self> {
        let url = format!("ws://{}/v4/default/registry/{path}", registry.address);
        let mut request = url.into_client_request()?;
        if let Some((name, value)) = header {
            request.headers_mut().insert(name, value.parse()?);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stream = runtime.block_on(async {
            let stream = TcpStream::connect(&registry.address).await?;
            anyhow::Ok(client_async(request, stream).await?.0)
        })?;
        Ok(Self { stream, runtime })
    }

    /// The next message, or how it ended.
    pub(crate) fn next_or_end(&mut self) -> Result<Result<Message, Error>> {
        let next = self.runtime.block_on(async { timeout(PATIENCE, self.stream.next()).await });
        next.context("nothing is said")?.context("the end")
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> Result<Message> {
        Ok(self.next_or_end()??)
    }

    /// Waits for an empty ping.
    pub(crate) fn wait_for_ping(&mut self) -> Result<()> {
        match self.next()? {
            Message::Ping(payload) if payload.is_empty() => Ok(()),
            other => bail!("{other:?} is no empty ping"),
        }
    }
}
