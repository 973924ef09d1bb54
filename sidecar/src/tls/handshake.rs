//! Making a session.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::{Client, Tls};

/// How a handshake ended, as metrics call it.
pub(super) const OUTCOMES: [&str; 4] = ["ok", "failed", "timeout", "plain_text"];
/// The first byte of a client that speaks TLS (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// Why there is no session.
#[derive(Debug)]
pub(crate) enum Refused {
    /// One of the two did not like what the other showed, or the connection ended.
    Failed(io::Error),
    /// It took too long.
    TimedOut,
    /// The client did not speak TLS.
    PlainText,
    /// A certificate can't have the name that was to be proven.
    Name(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::TimedOut => f.write_str("the peer did not go on with the handshake in time"),
            Self::PlainText => f.write_str("the client does not speak TLS"),
            Self::Name(name) => {
                write!(f, "\"{name}\" can't be the name in a certificate: set serverName")
            }
        }
    }
}

impl Refused {
    /// Its place in [`OUTCOMES`].
    fn outcome(&self) -> usize {
        match self {
            Self::Failed(_) | Self::Name(_) => 1,
            Self::TimedOut => 2,
            Self::PlainText => 3,
        }
    }
}

/// Whether a client that begins with this byte speaks TLS.
pub(crate) fn begins(first: u8) -> bool {
    first == HANDSHAKE_RECORD
}

/// Whether it was the session that ended a request. With TLS 1.3, a server that does not like our
/// certificate says so when we wait for its answer.
pub(crate) fn behind(error: &hyper::Error) -> bool {
    let io = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    let inner = io.and_then(io::Error::get_ref);
    inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some()
}

/// As the server.
pub(crate) async fn accept<S>(config: Arc<ServerConfig>, stream: S) -> Result<TlsStream<S>, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let accepted = TlsAcceptor::from(config).accept(stream).await;
    accepted.map(TlsStream::Server).map_err(Refused::Failed)
}

/// As the client.
pub(crate) async fn connect<S>(
    client: &Client,
    stream: S,
    limit: Duration,
) -> Result<TlsStream<S>, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = client.server_name().ok_or_else(|| Refused::Name(client.name.clone()))?;
    let connector = TlsConnector::from(Arc::clone(&client.config));
    match timeout(limit, connector.connect(name, stream)).await {
        Ok(connected) => connected.map(TlsStream::Client).map_err(Refused::Failed),
        Err(_) => Err(Refused::TimedOut),
    }
}

impl Tls {
    /// Counts what became of a handshake that a client began.
    pub(crate) fn accepted(&self, refused: Option<&Refused>) {
        self.counts.accepted[refused.map_or(0, Refused::outcome)].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what became of a handshake that we began.
    pub(crate) fn connected(&self, refused: Option<&Refused>) {
        self.counts.connected[refused.map_or(0, Refused::outcome)].fetch_add(1, Ordering::Relaxed);
    }

    /// Whether to log a failure for all to see. Each of them is counted; but anybody may cause
    /// them, so one in a second has to do.
    pub(crate) fn may_say(&self) -> bool {
        let now = self.started.elapsed().as_secs() + 1;
        self.last_said.swap(now, Ordering::Relaxed) != now
    }
}
