//! Instances that want TLS.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use discovery::Fixed;
use rustls::{HandshakeKind, ServerConfig};
use sidecar::Proxy;
use sidecar::settings::Tls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::authority::{Authority, Leaf, Mount};
use super::{metric, provider, secured_service};
use crate::app::App;
use crate::world::{Client, service, settings, start};

/// A proxy that calls `ServiceB` at `addresses` as `tags` say.
fn consumer<const N: usize>(
    addresses: &[SocketAddr],
    tags: [(&str, Tls); N],
) -> (Proxy, SocketAddr) {
    let mut settings = settings("ServiceA");
    settings.tls = tags.into_iter().map(|(tag, tls)| (tag.to_owned(), tls)).collect();
    start(settings, Arc::new(Fixed::new([secured_service("ServiceB", addresses)])))
}

#[tokio::test]
async fn from_one_application_to_another_with_both_proven() {
    let authority = Authority::new();
    let (b, a) = (authority.issue(&["ServiceB"]), authority.issue(&["ServiceA"]));
    let (mount_b, mount_a) = (Mount::new(&authority, &b), Mount::new(&authority, &a));
    let app = App::echo().await;
    let provider = provider(app.address.port(), mount_b.mutual());
    let address = provider.addresses().provider[0];
    let (proxy, consumer) = consumer(&[address], [("ServiceB.rest.Consumer", mount_a.mutual())]);
    let mut client = Client::connect(consumer).await;
    let body = "0123456789abcdef".repeat(1 << 16);
    for _ in 0..3 {
        let answer = client.request("POST", "http://ServiceB/api", "", &body).await;
        assert_eq!(answer.status, 200, "{:?}", answer.head);
        assert!(answer.body.ends_with(&body));
    }
    let made = "mesher_tls_handshakes_total{side=\"client\",result=\"ok\"}";
    assert_eq!(metric(&proxy, made).await, Some(1.0), "the connection is kept");
}

#[tokio::test]
async fn what_an_instance_has_to_prove() {
    let (authority, other) = (Authority::new(), Authority::new());
    let here = Mount::new(&authority, &authority.issue(&["ServiceA"]));
    let elsewhere = Mount::new(&other, &other.issue(&["ServiceA"]));
    let app = App::saying("b").await;
    let of = |names: &[&str]| Mount::new(&authority, &authority.issue(names));
    let right = of(&["ServiceB"]);
    let wrong = of(&["ServiceC"]);
    let mutual = Tls { verify_peer: Some(true), ..right.mutual() };
    let named = Tls { server_name: Some("ServiceC".to_owned()), ..here.trusted() };
    let trusting = Tls { verify_peer: Some(false), ..elsewhere.trusted() };
    for (case, shown, tag, tls, works) in [
        ("its CA and name", right.shown(), "ServiceB.rest.Consumer", here.trusted(), true),
        ("the tag of any service", right.shown(), "rest.Consumer", here.trusted(), true),
        ("bare keys", right.shown(), "", here.trusted(), true),
        ("another's tag", right.shown(), "ServiceC.rest.Consumer", here.trusted(), false),
        ("another CA", right.shown(), "rest.Consumer", elsewhere.trusted(), false),
        ("another name", wrong.shown(), "rest.Consumer", here.trusted(), false),
        ("the name that was asked for", wrong.shown(), "rest.Consumer", named, true),
        ("nothing, on request", wrong.shown(), "rest.Consumer", trusting, true),
        ("we show nothing", mutual.clone(), "rest.Consumer", here.trusted(), false),
        ("we show our own", mutual.clone(), "rest.Consumer", here.mutual(), true),
        (
            "we show another CA's",
            mutual,
            "rest.Consumer",
            { Tls { ca: here.trusted().ca, ..elsewhere.mutual() } },
            false,
        ),
    ] {
        let provider = provider(app.address.port(), shown);
        let (_proxy, consumer) = consumer(&[provider.addresses().provider[0]], [(tag, tls)]);
        let answer = Client::connect(consumer).await.get("http://ServiceB/").await;
        let wanted = if works { (200, None) } else { (502, Some("tls_failed")) };
        assert_eq!((answer.status, answer.error()), wanted, "{case}: {answer:?}");
    }
}

#[tokio::test]
async fn an_instance_without_a_session_is_passed_over() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mount = Mount::new(&authority, &authority.issue(&["ServiceB"]));
    let stranger = Mount::new(&other, &other.issue(&["ServiceB"]));
    let app = App::echo().await;
    let (good, bad) = (
        provider(app.address.port(), mount.shown()),
        provider(app.address.port(), stranger.shown()),
    );
    // And one that speaks no TLS at all.
    let plain = App::each(|mut peer, _| async move {
        peer.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let addresses = [bad.addresses().provider[0], plain.address, good.addresses().provider[0]];
    for pair in [[addresses[0], addresses[2]], [addresses[1], addresses[2]]] {
        let (proxy, consumer) = consumer(&pair, [("rest.Consumer", mount.trusted())]);
        let mut client = Client::connect(consumer).await;
        for i in 0..10 {
            let body = format!("body {i}");
            let answer = client.request("POST", "http://ServiceB/", "", &body).await;
            assert!(answer.status == 200 && answer.body.ends_with(&body), "{answer:?}");
        }
        let failed = "mesher_tls_handshakes_total{side=\"client\",result=\"failed\"}";
        let failed = metric(&proxy, failed).await.expect("it is counted");
        assert!((1.0..10.0).contains(&failed), "it is left out for a while: {failed}");
        let evicted = metric(&proxy, "mesher_evictions_total{reason=\"tls\"}").await;
        assert_eq!(evicted, Some(failed), "one after the other, each counts");
    }
}

#[tokio::test]
async fn plain_text_and_tls_never_share_a_connection() {
    let authority = Authority::new();
    let mount = Mount::new(&authority, &authority.issue(&["ServiceB"]));
    let app = App::saying("b").await;
    let provider = provider(app.address.port(), mount.shown());
    let address = provider.addresses().provider[0];
    let source = Arc::new(Fixed::new([secured_service("ServiceB", &[address])]));
    let mut settings = settings("ServiceA");
    settings.tls.insert("rest.Consumer".to_owned(), mount.trusted());
    let (_proxy, consumer) = start(settings, Arc::clone(&source) as _);
    let mut client = Client::connect(consumer).await;
    assert_eq!(client.get("http://ServiceB/").await.body, "b");
    // The same address, registered without TLS: a connection of its own, which the port refuses.
    source.change(|snapshot| snapshot.put(service("ServiceB", &[address])));
    let refused = async { while client.get("http://ServiceB/").await.status != 400 {} };
    tokio::time::timeout(crate::world::PATIENCE, refused).await.expect("it is plain text");
    source.change(|snapshot| snapshot.put(secured_service("ServiceB", &[address])));
    let back = async { while client.get("http://ServiceB/").await.body != "b" {} };
    tokio::time::timeout(crate::world::PATIENCE, back).await.expect("it is TLS again");
}

#[tokio::test]
async fn without_a_tag_there_is_no_plain_text_instead() {
    let app = App::saying("b").await;
    let (_proxy, consumer) = consumer(&[app.address], []);
    let answer = Client::connect(consumer).await.get("http://ServiceB/").await;
    assert_eq!((answer.status, answer.error()), (502, Some("tls_failed")), "{answer:?}");
    assert!(answer.body.contains("not set up"), "{answer:?}");
    assert_eq!(app.connections(), 0);
}

/// A server with TLS that answers each connection once, and what it saw of the handshakes.
async fn answers_once(leaf: &Leaf, farewell: bool) -> (SocketAddr, Arc<Mutex<Vec<HandshakeKind>>>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(leaf.chain(), leaf.private_key())
        .expect("a pair");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kinds = Arc::clone(&seen);
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        loop {
            let (tcp, _) = listener.accept().await.expect("a connection");
            let Ok(mut session) = acceptor.accept(tcp).await else { continue };
            kinds.lock().expect("a lock").extend(session.get_ref().1.handshake_kind());
            let mut read = Vec::new();
            while !read.ends_with(b"\r\n\r\n") && session.read_buf(&mut read).await.is_ok() {}
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            let open = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nsome of it";
            let _ = session.write_all(if farewell { head } else { open }.as_bytes()).await;
            let _ = session.flush().await;
            if farewell {
                let _ = session.shutdown().await;
            }
        }
    });
    (address, seen)
}

#[tokio::test]
async fn a_session_is_resumed_and_what_was_closed_is_not_used_again() {
    let authority = Authority::new();
    let leaf = authority.issue(&["ServiceB"]);
    let mount = Mount::new(&authority, &leaf);
    let (address, seen) = answers_once(&leaf, true).await;
    let (_proxy, consumer) = consumer(&[address], [("rest.Consumer", mount.trusted())]);
    let mut client = Client::connect(consumer).await;
    for _ in 0..4 {
        // The look at the connection sees the farewell below TLS.
        let answer = client.request("POST", "http://ServiceB/", "", "").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{answer:?}");
    }
    let seen = seen.lock().expect("a lock").clone();
    assert_eq!(seen.len(), 4);
    assert_eq!(seen[0], HandshakeKind::Full);
    assert!(seen[1..].iter().all(|kind| *kind == HandshakeKind::Resumed), "{seen:?}");
}

#[tokio::test]
async fn an_end_without_a_farewell_does_not_look_whole() {
    let authority = Authority::new();
    let leaf = authority.issue(&["ServiceB"]);
    let mount = Mount::new(&authority, &leaf);
    let (address, _) = answers_once(&leaf, false).await;
    let (_proxy, consumer) = consumer(&[address], [("rest.Consumer", mount.trusted())]);
    let mut client = Client::connect(consumer).await;
    client.send("GET http://ServiceB/ HTTP/1.1\r\nhost: ServiceB\r\n\r\n").await;
    assert!(client.is_reset().await, "somebody may have cut it short");
}
