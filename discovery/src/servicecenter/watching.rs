//! Listens for changes: a WebSocket that service-center pushes them on.
//!
//! It only makes polling faster, and is never relied on: nothing is replayed on connecting, and a
//! watch can die without a sign. So everything is asked for after each connection, and a watch that
//! is silent for longer than two of the server's pings is given up.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::api::Api;
use super::metrics::Metrics;
use super::registration::Standing;
use super::wire::Event;
use crate::endpoints::Tls;
use crate::pacing;

/// The server pings every 30 s; what is silent for longer is dead, though the connection stands.
const SILENCE: Duration = Duration::from_secs(40);
const CONNECT: Duration = Duration::from_secs(5);

/// What a watch tells.
#[derive(Debug)]
pub(super) enum Heard {
    /// It listens from now on: what changed before has to be asked for.
    Connected,
    /// One instance changed.
    Event(Box<Event>),
}

/// Listens for as long as anybody reads what is heard.
pub(super) struct Watching {
    pub(super) api: Arc<Api>,
    pub(super) tls: Option<Tls>,
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) heard: mpsc::Sender<Heard>,
}

impl Watching {
    /// Connects, and again whenever it ends.
    pub(super) async fn run(mut self) {
        let delays = || pacing::delays(Duration::from_secs(1), Duration::from_secs(30));
        let mut waits = delays();
        loop {
            let Some(service_id) = self.registered().await else { return };
            let mut standing = self.standing.clone();
            let same = |s: &Standing| s.service_id.as_ref() != Some(&service_id);
            let ended = tokio::select! {
                ended = self.listen(&service_id) => ended,
                // Another id: the old one's watch hears nothing any more.
                _ = standing.wait_for(same) => continue,
                () = self.heard.closed() => return,
            };
            match ended {
                Ended::AfterListening(reason) => {
                    tracing::debug!(reason, "the watch ended");
                    waits = delays();
                }
                Ended::BeforeListening(reason) => tracing::debug!(reason, "no watch"),
            }
            sleep(waits.next().unwrap_or(SILENCE)).await;
        }
    }

    /// Waits for our service's id; `None` when there will be none any more.
    async fn registered(&mut self) -> Option<Arc<str>> {
        let standing = self.standing.wait_for(|s| s.service_id.is_some()).await.ok()?;
        standing.service_id.clone()
    }

    async fn listen(&self, service_id: &str) -> Ended {
        match timeout(CONNECT, self.connect(service_id)).await {
            Ok(Ok(stream)) => self.follow(stream).await,
            Ok(Err(reason)) => Ended::BeforeListening(reason),
            Err(_) => Ended::BeforeListening("no answer".to_owned()),
        }
    }

    async fn connect(&self, service_id: &str) -> Result<Socket, String> {
        let address = self.api.client.address();
        let secure = address.scheme_str() == Some("https");
        let host = address.host().unwrap_or_default();
        let port = address.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let scheme = if secure { "wss" } else { "ws" };
        let uri = format!("{scheme}://{host}:{port}{}", self.api.watcher(service_id));
        let mut request = uri.into_client_request().map_err(|e| e.to_string())?;
        for (name, value) in self.api.client.headers(Some(service_id)) {
            request.headers_mut().insert(name, value);
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((bare, port)).await.map_err(|e| e.to_string())?;
        let stream: Box<dyn Stream> = match (&self.tls, secure) {
            (Some(tls), true) => {
                let name = tls.server_name.as_deref().unwrap_or(bare).to_owned();
                let name = ServerName::try_from(name).map_err(|e| e.to_string())?;
                let config = Arc::clone(&tls.config.borrow());
                let connector = TlsConnector::from(config);
                Box::new(connector.connect(name, stream).await.map_err(|e| e.to_string())?)
            }
            _ => Box::new(stream),
        };
        let (socket, _) = tokio_tungstenite::client_async(request, stream)
            .await
            .map_err(|error| error.to_string())?;
        Ok(socket)
    }

    async fn follow(&self, mut socket: Socket) -> Ended {
        let mut listening = false;
        loop {
            // An unknown id is accepted, told so in words, and dropped: only after that moment has
            // passed, or something else was heard, is this a watch.
            let patience = if listening { SILENCE } else { Duration::from_millis(300) };
            let message = match timeout(patience, socket.next()).await {
                Err(_) if listening => return Ended::AfterListening("silent for too long".into()),
                Err(_) => None,
                Ok(Some(Ok(message))) => Some(message),
                Ok(Some(Err(error))) => return Ended::of(listening, error.to_string()),
                Ok(None) => return Ended::of(listening, "closed".to_owned()),
            };
            let event = match &message {
                Some(Message::Text(text)) => match serde_json::from_str::<Event>(text) {
                    Ok(event) => Some(event),
                    Err(_) => return Ended::of(listening, text.chars().take(200).collect()),
                },
                Some(Message::Close(_)) => return Ended::of(listening, "closed".to_owned()),
                _ => None,
            };
            if !listening {
                listening = true;
                self.metrics.watch_connections.inc();
                if self.heard.send(Heard::Connected).await.is_err() {
                    return Ended::AfterListening("nobody listens".to_owned());
                }
            }
            if let Some(event) = event {
                self.metrics.events.inc();
                if self.heard.send(Heard::Event(Box::new(event))).await.is_err() {
                    return Ended::AfterListening("nobody listens".to_owned());
                }
            }
        }
    }
}

/// How a watch ended; one that never listened is waited for longer and longer.
enum Ended {
    BeforeListening(String),
    AfterListening(String),
}

impl Ended {
    fn of(listening: bool, reason: String) -> Self {
        if listening { Self::AfterListening(reason) } else { Self::BeforeListening(reason) }
    }
}

type Socket = tokio_tungstenite::WebSocketStream<Box<dyn Stream>>;

/// TCP, with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures::SinkExt;
    use tokio::sync::{mpsc, watch};
    use tokio::time::{Instant, sleep};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::{Ended, Heard, Socket, Stream, Watching};
    use crate::servicecenter::api::Api;
    use crate::servicecenter::client::Client;
    use crate::servicecenter::metrics::Metrics;
    use crate::servicecenter::options::Options;
    use crate::servicecenter::registration::Standing;

    fn watching() -> (Watching, mpsc::Receiver<Heard>) {
        let options = Options {
            addresses: vec!["http://127.0.0.1:1".to_owned()],
            tenant: "default".to_owned(),
            project: "default".to_owned(),
            refresh_interval: Duration::from_hours(1),
            watch: true,
            heartbeat_interval: Duration::from_secs(30),
            tls: None,
            account: None,
            service: None,
        };
        let metrics = Arc::new(Metrics::default());
        let client = Client::new(&options, Arc::clone(&metrics)).unwrap();
        let (heard, hearing) = mpsc::channel(16);
        let api = Arc::new(Api::new(client, "default", ""));
        let standing = watch::channel(Standing::default()).1;
        (Watching { api, tls: None, standing, metrics, heard }, hearing)
    }

    /// service-center pings every 30 s. The connection still stands when it stops doing so.
    #[tokio::test(start_paused = true)]
    async fn a_watch_that_is_silent_for_longer_than_a_ping_takes_is_dead() {
        let (watching, mut hearing) = watching();
        let (ours, theirs) = tokio::io::duplex(4096);
        let mut server = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
        let ours: Box<dyn Stream> = Box::new(ours);
        let client: Socket = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
        let began = Instant::now();
        let (ended, server) = tokio::join!(watching.follow(client), async {
            for _ in 0..4 {
                sleep(Duration::from_secs(30)).await;
                server.send(Message::Ping(Vec::new().into())).await.unwrap();
            }
            // Kept open, and silent from here on.
            server
        });
        assert!(matches!(&ended, Ended::AfterListening(why) if why.contains("silent")));
        assert_eq!(began.elapsed().as_secs(), 4 * 30 + 40);
        assert!(matches!(hearing.recv().await, Some(Heard::Connected)));
        drop(server);
    }
}
