//! From a request to a WebSocket (RFC 6455).

use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::reply::{With, text};

/// Clients have nothing to say here but pongs and goodbye.
const LONGEST_MESSAGE: usize = 4 << 10;
/// How long a peer may take to make room for a message.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open socket.
#[derive(Debug)]
pub(super) struct Socket(WebSocketStream<TokioIo<Upgraded>>);

/// What a peer did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It answered a ping.
    Pong,
    /// Something that asks for no answer of ours.
    Other,
    /// It left.
    Gone,
}

/// Answers an upgrade, and runs `talk` on the socket when it stands. What is no upgrade gets 400.
pub(super) fn upgrade<F>(
    mut request: Request,
    talk: impl FnOnce(Socket) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send,
{
    let Some((key, on_upgrade)) = asked(&mut request) else {
        let version = HeaderValue::from_static("13");
        return text(StatusCode::BAD_REQUEST, "Bad Request").with(SEC_WEBSOCKET_VERSION, version);
    };
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).expect("base64");
    // What the connection's place in the table hangs on goes with the socket.
    let held = request.extensions_mut().remove::<crate::server::Held>();
    tokio::spawn(async move {
        if let Ok(upgraded) = on_upgrade.await {
            let config = WebSocketConfig::default()
                .max_message_size(Some(LONGEST_MESSAGE))
                .max_frame_size(Some(LONGEST_MESSAGE))
                .read_buffer_size(LONGEST_MESSAGE)
                .write_buffer_size(0);
            let io = TokioIo::new(upgraded);
            talk(Socket(WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await))
                .await;
        }
        drop(held);
    });
    let switching = StatusCode::SWITCHING_PROTOCOLS.into_response();
    switching
        .with(CONNECTION, HeaderValue::from_static("Upgrade"))
        .with(UPGRADE, HeaderValue::from_static("websocket"))
        .with(SEC_WEBSOCKET_ACCEPT, accept)
}

/// The key and the coming connection of a request that asks for a WebSocket.
fn asked(request: &mut Request) -> Option<(String, OnUpgrade)> {
    let headers = request.headers();
    let asks = has_word(headers, &CONNECTION, "upgrade")
        && has_word(headers, &UPGRADE, "websocket")
        && has_word(headers, &SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(SEC_WEBSOCKET_KEY)?.to_str().ok()?.to_owned();
    if !asks || key.is_empty() {
        return None;
    }
    Some((key, request.extensions_mut().remove::<OnUpgrade>()?))
}

fn has_word(headers: &HeaderMap, name: &axum::http::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let mut words = values.flat_map(|value| value.split(','));
    words.any(|found| found.trim().eq_ignore_ascii_case(word))
}

impl Socket {
    /// Sends a text; `false`: the peer is gone.
    pub(super) async fn say(&mut self, text: &str) -> bool {
        self.send(Message::text(text)).await
    }

    /// Sends an empty ping; `false`: the peer is gone.
    pub(super) async fn ping(&mut self) -> bool {
        self.send(Message::Ping(Bytes::new())).await
    }

    /// Says goodbye, with a reason.
    pub(super) async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        let _ = timeout(PATIENCE, self.0.close(Some(frame))).await;
    }

    /// Waits for the peer.
    pub(super) async fn hear(&mut self) -> Heard {
        match self.0.next().await {
            Some(Ok(Message::Pong(_))) => Heard::Pong,
            Some(Ok(Message::Close(_)) | Err(_)) | None => Heard::Gone,
            Some(Ok(_)) => Heard::Other,
        }
    }

    async fn send(&mut self, message: Message) -> bool {
        matches!(timeout(PATIENCE, self.0.send(message)).await, Ok(Ok(())))
    }
}

/// Ticks every `period`, for the first time after one.
pub(super) fn ticks(period: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
