//! What goes wrong on the way, and what the client sees of it.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::app::App;
use crate::world::{Client, consumer, service};

#[tokio::test]
async fn a_response_that_breaks_off_does_not_look_whole() {
    for head in ["content-length: 9\r\n", "transfer-encoding: chunked\r\n", ""] {
        let seen = Arc::new(Notify::new());
        let reset_after = Arc::clone(&seen);
        let app = App::each(move |mut peer, _| {
            let seen = Arc::clone(&reset_after);
            async move {
                peer.request().await;
                let chunk = if head.starts_with("transfer") { "3\r\nabc\r\n" } else { "abc" };
                peer.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n{chunk}")).await;
                seen.notified().await;
                peer.reset();
            }
        })
        .await;
        let (_proxy, address) = consumer([service("ServiceB", &[app.address])]);
        let mut client = Client::connect(address).await;
        client.send("GET http://ServiceB/ HTTP/1.1\r\nhost: ServiceB\r\n\r\n").await;
        client.until(b"abc").await;
        seen.notify_one();
        assert!(client.is_reset().await, "{head:?}");
    }
}
