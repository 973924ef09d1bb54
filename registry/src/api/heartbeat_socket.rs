//! Heartbeats over a WebSocket: the registry pings, and each pong is a heartbeat.
//!
//! What it does beyond the handshake was read in clients and not recorded.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use super::client::Client;
use super::websocket::{Heard, Socket, ticks, upgrade};
use super::{Service, Shared};
use crate::server::Phase;

/// What clients read as: register again.
const NO_INSTANCE: u16 = 4001;
const GOING_AWAY: u16 = 1001;

pub(super) async fn connect(State(service): Shared, client: Client, request: Request) -> Response {
    upgrade(request, move |socket| talk(service, client, socket))
}

async fn talk(service: Arc<Service>, client: Client, mut socket: Socket) {
    let mut pings = ticks(service.ping);
    let mut closing = std::pin::pin!(service.lifecycle.reached(Phase::Closing));
    let (tenant, path) = (&client.tenant, &client.path);
    let beat = || {
        let beat = service
            .live
            .command(|it, now| it.heartbeat(tenant, &path.service, &path.instance, now));
        async {
            let alive = beat.await.is_ok();
            service.metrics.heartbeats(usize::from(alive));
            alive
        }
    };
    if !beat().await {
        return socket.close(NO_INSTANCE, "instance does not exist").await;
    }
    loop {
        let goes_on = tokio::select! {
            _ = pings.tick() => socket.ping().await,
            heard = socket.hear() => match heard {
                Heard::Pong if !beat().await => {
                    return socket.close(NO_INSTANCE, "instance does not exist").await;
                }
                heard => heard != Heard::Gone,
            },
            () = &mut closing => {
                return socket.close(GOING_AWAY, "the registry stops").await;
            }
        };
        if !goes_on {
            return;
        }
    }
}
