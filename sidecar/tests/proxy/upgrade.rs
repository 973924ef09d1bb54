//! Requests that ask to go on in another protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use discovery::Fixed;
use futures::{SinkExt, StreamExt};
use sidecar::Proxy;
use sidecar::settings::Limits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

use crate::app::{App, Peer};
use crate::world::{Client, PATIENCE, consumer, mesh_of_two, service, settings, start};

const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\nx-a: b\r\n\r\n";
const ASKING: &str = "GET /chat HTTP/1.1\r\nhost: ServiceB\r\nconnection: Upgrade\r\n\
                      upgrade: echo/1\r\n\r\n";

/// Switches on each connection, then does `carry` with it.
async fn switching<F, S>(carry: F) -> App
where
    F: Fn(Peer) -> S + Copy + Send + Sync + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    App::each(move |mut peer, _| async move {
        let asked = peer.head().await.unwrap_or_default();
        assert!(asked.contains("\r\nupgrade: echo/1\r\n"), "{asked}");
        peer.send(SWITCHING).await;
        carry(peer).await;
    })
    .await
}

#[tokio::test]
async fn web_socket_through_two_proxies() {
    let app = App::each(|peer, _| async move {
        let mut socket = accept_async(peer.tcp).await.expect("a handshake");
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket.send(message).await.expect("the client reads");
            }
        }
    })
    .await;
    let (_provider, consumer, address) = mesh_of_two(app.address.port());
    let tcp = TcpStream::connect(address).await.expect("the proxy takes connections");
    let url = format!("ws://ServiceB:{}/chat", app.address.port());
    let (mut socket, answer) = client_async(url, tcp).await.expect("a handshake");
    assert_eq!(answer.status(), 101);
    for length in [1, 125, 70_000, 1 << 20] {
        let message = Message::binary(vec![7; length]);
        socket.send(message.clone()).await.expect("it is taken");
        let back = timeout(PATIENCE, socket.next()).await.expect("in time").expect("not the end");
        assert_eq!(back.expect("a message"), message, "{length} bytes");
    }
    let metrics = Client::connect(consumer.addresses().admin[0]).await.get("/metrics").await.body;
    assert!(metrics.contains("mesher_tunnels 1\n"), "{metrics}");
    socket.close(None).await.expect("it is taken");
    while let Some(Ok(_)) = timeout(PATIENCE, socket.next()).await.expect("it ends") {}
}

#[tokio::test]
async fn nothing_is_lost_at_the_switch_and_each_side_may_end_alone() {
    let app = App::each(|mut peer, _| async move {
        let asked = peer.head().await.unwrap_or_default();
        for line in ["connection: upgrade\r\n", "upgrade: echo/1, other\r\n", "host: ServiceB\r\n"]
        {
            assert!(asked.contains(line), "{line:?} is not in {asked}");
        }
        assert!(!asked.contains("te: trailers"), "{asked}");
        // Its first words come with the response.
        peer.send(format!("{SWITCHING}hello")).await;
        let heard = peer.rest().await;
        peer.send(format!("heard {}", String::from_utf8_lossy(&heard))).await;
    })
    .await;
    let (_provider, _consumer, address) = mesh_of_two(app.address.port());
    let mut client = Client::connect(address).await;
    // So do those of a client that does not wait.
    let ask = "GET /chat HTTP/1.1\r\nhost: ServiceB\r\nconnection: keep-alive, Upgrade\r\n\
               upgrade: h2c, echo/1, other\r\n\r\nearly";
    client.send(ask).await;
    let answer = client.head().await;
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(answer.header("connection"), Some("upgrade"), "{answer:?}");
    assert_eq!(answer.header("upgrade"), Some("echo/1"), "{answer:?}");
    assert_eq!(answer.header("x-a"), Some("b"), "{answer:?}");
    assert_eq!(client.exactly(5).await, b"hello");
    client.send(" and late").await;
    client.end().await;
    assert_eq!(client.rest().await, b"heard early and late");
}

#[tokio::test]
async fn much_goes_both_ways_at_once() {
    const MUCH: usize = 32 << 20;
    let app = switching(|mut peer| async move { peer.echo(MUCH).await }).await;
    let (_provider, _consumer, address) = mesh_of_two(app.address.port());
    let mut tcp = TcpStream::connect(address).await.expect("the proxy takes connections");
    tcp.write_all(ASKING.as_bytes()).await.expect("the proxy reads");
    let (mut reading, mut writing) = tcp.into_split();
    let sent = tokio::spawn(async move {
        let block: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        for _ in 0..MUCH / block.len() {
            writing.write_all(&block).await.expect("the proxy reads");
        }
        writing
    });
    let mut came = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut came);
    timeout(6 * PATIENCE, read).await.expect("in time").expect("a proper end");
    drop(sent.await.expect("all was sent"));
    let head = came.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
    assert_eq!(came.len() - head, MUCH);
    assert!(came[head..].iter().zip((0..=255u8).cycle()).all(|(came, sent)| *came == sent));
}

#[tokio::test]
async fn a_request_with_a_body_may_switch_too() {
    let app = App::each(|mut peer, _| async move {
        let asked = peer.request().await.unwrap_or_default();
        assert!(asked.contains("upgrade: tcp\r\n") && asked.ends_with("\r\n\r\n{}"), "{asked}");
        peer.send("HTTP/1.1 101 UPGRADED\r\nconnection: Upgrade\r\nupgrade: tcp\r\n\r\n").await;
        peer.echo(5).await;
    })
    .await;
    let (_provider, _consumer, address) = mesh_of_two(app.address.port());
    let mut client = Client::connect(address).await;
    // As `docker exec` asks for its streams.
    let ask = "POST http://ServiceB/exec/1/start HTTP/1.1\r\nhost: ServiceB\r\n\
               connection: Upgrade\r\nupgrade: tcp\r\ncontent-length: 2\r\n\r\n{}";
    client.send(ask).await;
    let answer = client.head().await;
    assert!(answer.head.starts_with("HTTP/1.1 101 UPGRADED\r\n"), "{answer:?}");
    client.send("hello").await;
    assert_eq!(client.rest().await, b"hello");
}

#[tokio::test]
async fn who_does_not_switch_answers_as_ever() {
    let app = App::echo().await;
    let (_proxy, address) = consumer([service("ServiceB", &[app.address])]);
    let mut client = Client::connect(address).await;
    for lines in [
        "connection: Upgrade\r\nupgrade: websocket\r\n",
        // Not asked for: HTTP/2 does not begin like this, and the first line makes it no hop's.
        "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n",
        "upgrade: websocket\r\n",
    ] {
        let answer = client.request("POST", "http://ServiceB/", lines, "body").await;
        assert!(answer.status == 200 && answer.body.ends_with("body"), "{answer:?}");
        let asked = lines.starts_with("connection: Upgrade\r\n");
        assert_eq!(answer.body.contains("upgrade: websocket"), asked, "{answer:?}");
        assert!(!answer.body.contains("h2c") && !answer.body.contains("http2"), "{answer:?}");
    }
    assert_eq!(app.connections(), 2, "what might have switched is not used again");
}

#[tokio::test]
async fn who_switches_without_having_been_asked() {
    let app = App::each(|mut peer, _| async move {
        peer.request().await;
        peer.send(SWITCHING).await;
        peer.request().await;
    })
    .await;
    let (_proxy, address) = consumer([service("ServiceB", &[app.address])]);
    let answer = Client::connect(address).await.get("http://ServiceB/").await;
    assert_eq!((answer.status, answer.error()), (502, Some("upstream_reset")), "{answer:?}");
}

#[tokio::test]
async fn an_instance_that_does_not_listen_is_passed_over() {
    let app = switching(|mut peer| async move { peer.echo(5).await }).await;
    let services = [service("ServiceB", &[crate::world::nobody(), app.address])];
    let (_proxy, address) = consumer(services);
    for _ in 0..4 {
        let mut client = Client::connect(address).await;
        client.send(ASKING).await;
        assert_eq!(client.head().await.status, 101);
        client.send("hello").await;
        assert_eq!(client.rest().await, b"hello");
    }
}

fn with(limits: Limits, app: &App) -> (Proxy, SocketAddr) {
    let mut settings = settings("ServiceA");
    settings.limits = limits;
    start(settings, Arc::new(Fixed::new([service("ServiceB", &[app.address])])))
}

#[tokio::test]
async fn a_tunnel_is_in_flight_until_the_deadline_of_the_drain() {
    let app = switching(|mut peer| async move { peer.echo(usize::MAX).await }).await;
    let limits = Limits { drain_timeout: Duration::from_secs(1), ..Limits::default() };
    let (proxy, address) = with(limits, &app);
    let mut client = Client::connect(address).await;
    client.send(ASKING).await;
    assert_eq!(client.head().await.status, 101);
    let ended = tokio::spawn(proxy.shutdown());
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("nobody listens any more");
    client.send("still").await;
    assert_eq!(client.exactly(5).await, b"still");
    timeout(PATIENCE, ended).await.expect("it ends").expect("without a panic");
    client.is_reset().await;
}

#[tokio::test]
async fn a_tunnel_where_nothing_moves_ends() {
    let silent = Arc::new(Notify::new());
    let tell = Arc::clone(&silent);
    let app = App::each(move |mut peer, _| {
        let tell = Arc::clone(&tell);
        async move {
            peer.head().await;
            peer.send(SWITCHING).await;
            peer.rest().await;
            tell.notify_one();
        }
    })
    .await;
    let tunnel_timeout = Duration::from_millis(100);
    let (_proxy, address) = with(Limits { tunnel_timeout, ..Limits::default() }, &app);
    let mut client = Client::connect(address).await;
    client.send(ASKING).await;
    assert_eq!(client.head().await.status, 101);
    assert!(client.is_reset().await, "this is no proper end");
    timeout(PATIENCE, silent.notified()).await.expect("the other side hears of it");
}
