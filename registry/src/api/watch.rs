//! The watcher: a WebSocket on which a consumer is told what happens to the instances of the
//! services that it has looked up.
//!
//! - It is told of no other service, and not of what happened before it connected: find after
//!   connecting.
//! - An unknown service is told in one text that is no JSON, as the service-center does.
//! - There is a ping every 30 s; nothing depends on the pong.
//! - When the consumer's own service is deleted, it is told the same text and the connection
//!   ends. (A service-center goes silent instead, and stops to ping.)
//! - Who falls behind too far is cut off, and finds again when it reconnects.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use super::client::Client;
use super::websocket::{Heard, Socket, ticks, upgrade};
use super::{Service, Shared};
use crate::server::Phase;

const UNKNOWN: &str = "service does not exist";
/// RFC 6455 §7.4.1
const GOING_AWAY: u16 = 1001;

pub(super) async fn watch(State(service): Shared, client: Client, request: Request) -> Response {
    upgrade(request, move |socket| talk(service, client, socket))
}

async fn talk(service: Arc<Service>, client: Client, mut socket: Socket) {
    let Some(mut watch) = service.live.watch(&client.tenant, &client.path.service) else {
        // Dropped without a close frame, as the service-center does.
        socket.say(UNKNOWN).await;
        return;
    };
    let mut pings = ticks(service.ping);
    let mut closing = std::pin::pin!(service.lifecycle.reached(Phase::Closing));
    loop {
        let goes_on = tokio::select! {
            message = watch.next() => {
                let Some(message) = message else {
                    if watch.is_gone() {
                        socket.say(UNKNOWN).await;
                    }
                    return;
                };
                socket.say(&message).await
            }
            _ = pings.tick() => socket.ping().await,
            heard = socket.hear() => heard != Heard::Gone,
            () = &mut closing => {
                return socket.close(GOING_AWAY, "the registry stops").await;
            }
        };
        if !goes_on {
            return;
        }
    }
}
