//! What has nothing to do, or takes too long to say what it wants, ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use discovery::Fixed;
use sidecar::Proxy;
use sidecar::settings::Limits;
use socket2::{Domain, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::app::App;
use crate::world::{Client, PATIENCE, service, settings, start};

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_mins(10);

fn with(limits: Limits, app: &App) -> (Proxy, SocketAddr) {
    let mut settings = settings("ServiceA");
    settings.limits = limits;
    start(settings, Arc::new(Fixed::new([service("b", &[app.address])])))
}

#[tokio::test]
async fn a_connection_that_idles_ends_and_one_that_waits_for_its_answer_does_not() {
    let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (Arc::clone(&began), Arc::clone(&go_on));
    let app = App::each(move |mut peer, _| {
        let (began, go_on) = (Arc::clone(&told.0), Arc::clone(&told.1));
        async move {
            peer.request().await;
            began.notify_one();
            go_on.notified().await;
            peer.answer("late").await;
        }
    })
    .await;
    let idle_timeout = Duration::from_millis(100);
    let (_proxy, address) = with(Limits { idle_timeout, ..Limits::default() }, &app);
    let mut waiting = Client::connect(address).await;
    waiting.send("GET http://b/ HTTP/1.1\r\nhost: b\r\n\r\n").await;
    began.notified().await;
    let mut idle = Client::connect(address).await;
    assert!(idle.rest().await.is_empty(), "it is closed, and properly");
    go_on.notify_one();
    assert_eq!(waiting.answer().await.body, "late");
}

#[tokio::test]
async fn a_head_that_does_not_end() {
    let app = App::saying("b").await;
    let header_timeout = Duration::from_millis(100);
    let limits = Limits { header_timeout, idle_timeout: LONG, ..Limits::default() };
    let (_proxy, address) = with(limits, &app);
    let mut kept = Client::connect(address).await;
    assert_eq!(kept.get("http://b/").await.body, "b");
    for first in ["", "GET http://b/ HTTP/1.1\r\nhost: b\r\n\r\n"] {
        let mut slow = Client::connect(address).await;
        slow.send(first).await;
        if !first.is_empty() {
            assert_eq!(slow.answer().await.body, "b");
        }
        slow.send("GET http://b/ HTT").await;
        slow.is_reset().await;
    }
    assert_eq!(kept.get("http://b/").await.body, "b", "who says nothing may stay");
}

#[tokio::test]
async fn a_pooled_connection_that_nobody_uses_ends() {
    let ended = Arc::new(Notify::new());
    let tell = Arc::clone(&ended);
    let app = App::each(move |mut peer, _| {
        let tell = Arc::clone(&tell);
        async move {
            peer.request().await;
            peer.answer("b").await;
            assert_eq!(peer.request().await, None);
            tell.notify_one();
        }
    })
    .await;
    let idle_timeout = Duration::from_millis(100);
    let (_proxy, address) = with(Limits { idle_timeout, ..Limits::default() }, &app);
    assert_eq!(Client::connect(address).await.get("http://b/").await.body, "b");
    timeout(PATIENCE, ended.notified()).await.expect("the instance hears of its end");
}

#[tokio::test]
async fn a_response_that_stands_still() {
    let body_timeout = Duration::from_millis(100);
    let limits = Limits { body_timeout, ..Limits::default() };

    // The instance says no more.
    let app = App::each(|mut peer, _| async move {
        peer.request().await;
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await;
        peer.request().await;
    })
    .await;
    let (_proxy, address) = with(limits, &app);
    let mut client = Client::connect(address).await;
    client.send("GET http://b/ HTTP/1.1\r\nhost: b\r\n\r\n").await;
    client.until(b"abc").await;
    assert!(client.is_reset().await, "a body that broke off must not look whole");

    // The client reads no more.
    let ended = Arc::new(Notify::new());
    let tell = Arc::clone(&ended);
    let app = App::each(move |mut peer, _| {
        let tell = Arc::clone(&tell);
        async move {
            peer.request().await;
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            while peer.tcp.write_all(&[7; 8192]).await.is_ok() {}
            tell.notify_one();
        }
    })
    .await;
    let (_proxy, address) = with(limits, &app);
    let mut client = Client::connect(address).await;
    client.send("GET http://b/ HTTP/1.1\r\nhost: b\r\n\r\n").await;
    assert_eq!(client.head().await.status, 200);
    timeout(PATIENCE, ended.notified()).await.expect("the instance need not go on");
    assert!(client.is_reset().await);
}

/// A listener whose queue is full: the system lets further packets for it fall, as a dead host
/// would.
struct Full {
    address: SocketAddr,
    _listener: Socket,
    _waiting: Vec<TcpStream>,
}

impl Full {
    async fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        listener.listen(0).expect("an option");
        let address = listener.local_addr().ok().and_then(|address| address.as_socket());
        let address = address.expect("an address");
        let mut waiting = Vec::new();
        // One more than fits does not come about.
        let brief = Duration::from_millis(200);
        while let Ok(taken) = timeout(brief, TcpStream::connect(address)).await {
            waiting.push(taken.expect("a place in the queue"));
        }
        Self { address, _listener: listener, _waiting: waiting }
    }
}

#[tokio::test]
async fn an_address_that_does_not_answer() {
    let mut settings = settings("ServiceA");
    settings.limits.connect_timeout = Duration::from_millis(100);
    let full = Full::new().await;
    let source = Arc::new(Fixed::new([service("b", &[full.address])]));
    let (_proxy, address) = start(settings, source);
    let answer = Client::connect(address).await.get("http://b/").await;
    assert_eq!((answer.status, answer.error()), (502, Some("connect_timeout")), "{answer:?}");
}

/// What lies outside may be far: a CONNECT has ten seconds to get there, and no more.
#[tokio::test]
async fn a_host_outside_that_does_not_answer() {
    let full = Full::new().await;
    let (_proxy, address) = start(settings("ServiceA"), Arc::new(Fixed::new([])));
    let mut client = Client::connect(address).await;
    client.send(format!("CONNECT {0} HTTP/1.1\r\nhost: {0}\r\n\r\n", full.address)).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.error()), (502, Some("connect_timeout")), "{answer:?}");
}
