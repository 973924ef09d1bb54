//! Clients that come in.

use std::sync::Arc;
use std::time::Duration;

use discovery::Fixed;
use rustls::ProtocolVersion;
use rustls::version::TLS12;
use sidecar::settings::{Tls, TlsVersion};
use sidecar::{Phase, Proxy};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::authority::{Authority, Dialer, Mount};
use super::{VERSIONS, metric, metric_becomes, provider, provider_with};
use crate::app::App;
use crate::h2_client;
use crate::world::{Client, PATIENCE, provider_settings, service};

#[tokio::test]
async fn both_sides_speak_tls_by_their_tags() {
    let authority = Authority::new();
    let mount = Mount::new(&authority, &authority.issue(&["ServiceB", "localhost"]));
    let app = App::echo().await;
    let tags = [("ServiceB.rest.Provider", mount.shown()), ("mesher.Provider", mount.shown())];
    let proxy = provider_with(app.address.port(), tags, |_| {});
    let provider = proxy.addresses().provider[0];
    let consumer = proxy.addresses().consumer.expect("a consumer side");

    for versions in [&VERSIONS[..1], &VERSIONS[1..]] {
        let mut dialer = Dialer::new(&authority, versions);
        dialer.0.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut client = dialer.dial(provider, "ServiceB").await.expect("a session");
        let (_, session) = client.stream().get_ref();
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        for _ in 0..2 {
            // Some of it is in flight both ways, and none of it is lost.
            let body = "0123456789abcdef".repeat(1 << 16);
            let answer = client.request("POST", "/x", "", &body).await;
            assert_eq!(answer.status, 200);
            assert!(answer.body.starts_with("POST /x HTTP/1.1\r\n"));
            assert!(answer.body.ends_with(&body));
        }
    }
    let dialer = Dialer::new(&authority, &VERSIONS);
    let mut client = dialer.dial(consumer, "localhost").await.expect("a session");
    let url = format!("http://{}/out", app.address);
    assert!(client.get(&url).await.body.starts_with("GET /out HTTP/1.1\r\n"));
    let made = metric(&proxy, "mesher_tls_handshakes_total{side=\"server\",result=\"ok\"}").await;
    assert_eq!(made, Some(3.0));
}

#[tokio::test]
async fn http2_is_agreed_on_where_the_client_can() {
    let authority = Authority::new();
    let mount = Mount::new(&authority, &authority.issue(&["ServiceB"]));
    let app = App::echo().await;
    let (other, outside) = (App::echo().await, App::echo().await);
    let mut settings = provider_settings("ServiceB", app.address.port());
    for tag in ["ServiceB.rest.Provider", "mesher.Provider"] {
        settings.tls.insert(tag.to_owned(), mount.shown());
    }
    let source = Arc::new(Fixed::new([service("ServiceC", &[other.address])]));
    let proxy = Proxy::start(settings, source).expect("a proxy");
    let mut dialer = Dialer::new(&authority, &VERSIONS);
    dialer.0.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    for (address, host) in [
        (proxy.addresses().provider[0], "ServiceB"),
        (proxy.addresses().consumer.expect("a consumer side"), "ServiceC"),
    ] {
        let client = dialer.dial(address, "ServiceB").await.expect("a session");
        assert_eq!(client.stream().get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let builder = h2::client::Builder::new();
        let mut client = h2_client::Client::over(client.into_tcp(), &builder).await;
        for scheme in ["https", "http"] {
            let answer = client.get(&format!("{scheme}://{host}/api")).await;
            assert_eq!(answer.status, 200, "{scheme} {host} {answer:?}");
            let asked = answer.text();
            assert!(asked.starts_with("GET /api HTTP/1.1\r\n"), "{asked}");
            assert!(asked.contains(&format!("host: {host}\r\n")), "{asked}");
        }
        client.get(&format!("https://{}/", outside.address)).await;
        assert_eq!(outside.connections(), 0, "what was to be secret is not sent on as plain text");
    }
}

#[tokio::test]
async fn plain_text_is_answered_and_counted() {
    let authority = Authority::new();
    let mount = Mount::new(&authority, &authority.issue(&["ServiceB"]));
    let app = App::echo().await;
    let proxy = provider(app.address.port(), mount.shown());
    let provider = proxy.addresses().provider[0];
    let mut client = Client::connect(provider).await;
    let answer = client.get("/").await;
    assert_eq!((answer.status, answer.error()), (400, Some("tls_failed")), "{answer:?}");
    assert!(answer.body.contains("speaks TLS"), "{answer:?}");
    assert!(client.rest().await.is_empty(), "and it closes");
    let mut other = Client::connect(provider).await;
    other.send("\0\0\0").await;
    assert!(other.is_reset().await || other.rest().await.is_empty());
    let line = "mesher_tls_handshakes_total{side=\"server\",result=\"plain_text\"}";
    metric_becomes(&proxy, line, 2.0).await;
    assert_eq!(app.connections(), 0);
    // The consumer side has a tag of its own.
    let mut local = Client::connect(proxy.addresses().consumer.expect("it is there")).await;
    assert_eq!(local.get(&format!("http://{}/", app.address)).await.status, 200);
}

#[tokio::test]
async fn who_has_to_prove_itself_and_does_not_gets_nowhere() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mount = Mount::new(&authority, &authority.issue(&["ServiceB"]));
    let app = App::saying("b").await;
    let proxy = provider(app.address.port(), mount.mutual());
    let provider = proxy.addresses().provider[0];
    let ours = Dialer::showing(&authority, &authority.issue(&["ServiceA"]));
    let mut client = ours.dial(provider, "ServiceB").await.expect("a session");
    assert_eq!(client.get("/").await.body, "b");

    let stranger = Dialer::showing(&authority, &other.issue(&["ServiceA"]));
    for dialer in [Dialer::new(&authority, &VERSIONS), Dialer::new(&authority, &[&TLS12]), stranger]
    {
        // With TLS 1.3 the client learns of it when it reads.
        if let Ok(mut client) = dialer.dial(provider, "ServiceB").await {
            assert!(client.is_reset().await, "an alert, and no answer");
        }
    }
    let line = "mesher_tls_handshakes_total{side=\"server\",result=\"failed\"}";
    metric_becomes(&proxy, line, 3.0).await;
    assert_eq!(app.connections(), 1);
}

#[tokio::test]
async fn versions_and_suites_are_those_that_were_named() {
    let authority = Authority::new();
    let mount = Mount::new(&authority, &authority.issue(&["ServiceB"]));
    let app = App::saying("b").await;
    let suites = |name: &str| Tls { cipher_suites: vec![name.to_owned()], ..mount.shown() };
    let newest = Tls { oldest_version: TlsVersion::Tls13, ..mount.shown() };
    // The key is an elliptic curve's, so that a suite for RSA alone leaves nothing to agree on.
    for (tls, old, new) in [
        (newest, false, true),
        (suites("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), false, true),
        (suites("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"), true, true),
    ] {
        let proxy = provider(app.address.port(), tls.clone());
        let provider = proxy.addresses().provider[0];
        for (version, wanted) in [(VERSIONS[1], old), (VERSIONS[0], new)] {
            let dialed = Dialer::new(&authority, &[version]).dial(provider, "ServiceB").await;
            assert_eq!(dialed.is_ok(), wanted, "{tls:?} {:?}", version.version);
            if version.version == ProtocolVersion::TLSv1_2
                && let Ok(client) = dialed
            {
                let suite = client.stream().get_ref().1.negotiated_cipher_suite();
                assert_eq!(format!("{:?}", suite.expect("one").suite()), tls.cipher_suites[0]);
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_go_on_is_let_go_of() {
    let authority = Authority::new();
    let mount = Mount::new(&authority, &authority.issue(&["ServiceB"]));
    let app = App::saying("b").await;
    let tags = [("ServiceB.rest.Provider", mount.shown())];
    let proxy = provider_with(app.address.port(), tags, |settings| {
        settings.limits.handshake_timeout = Duration::from_millis(200);
    });
    let provider = proxy.addresses().provider[0];
    let mut silent = Client::connect(provider).await;
    let mut half = Client::connect(provider).await;
    half.send([22, 3, 1]).await;
    assert!(silent.rest().await.is_empty());
    half.is_reset().await;
    let line = "mesher_tls_handshakes_total{side=\"server\",result=\"timeout\"}";
    metric_becomes(&proxy, line, 2.0).await;
}

#[tokio::test]
async fn sessions_are_made_a_number_at_a_time() {
    const AT_ONCE: usize = 256;
    let authority = Authority::new();
    let mount = Mount::new(&authority, &authority.issue(&["ServiceB"]));
    let app = App::saying("b").await;
    let tags = [("ServiceB.rest.Provider", mount.shown())];
    let proxy = provider_with(app.address.port(), tags, |settings| {
        settings.limits.handshake_timeout = PATIENCE * 2;
    });
    let provider = proxy.addresses().provider[0];
    let mut stalled = Vec::new();
    for _ in 0..AT_ONCE {
        let mut tcp = TcpStream::connect(provider).await.expect("a connection");
        tcp.write_all(&[22, 3, 1]).await.expect("it is taken");
        stalled.push(tcp);
    }
    // One that says nothing is not in the way.
    let _silent = TcpStream::connect(provider).await.expect("a connection");
    let dialer = Dialer::new(&authority, &VERSIONS);
    let next = dialer.dial(provider, "ServiceB");
    tokio::pin!(next);
    // It has its turn when one of those before it has ended; until then it waits.
    let waits = timeout(Duration::from_millis(300), &mut next).await.is_err();
    drop(stalled.pop());
    let mut client = timeout(PATIENCE, next).await.expect("its turn").expect("a session");
    assert_eq!(client.get("/").await.body, "b");
    assert!(waits);
}

#[tokio::test]
async fn what_is_idle_when_the_proxy_ends_is_closed_properly() {
    let authority = Authority::new();
    let mount = Mount::new(&authority, &authority.issue(&["ServiceB"]));
    let app = App::saying("b").await;
    let proxy = provider(app.address.port(), mount.shown());
    let provider = proxy.addresses().provider[0];
    let dialer = Dialer::new(&authority, &VERSIONS);
    let mut idle = dialer.dial(provider, "ServiceB").await.expect("a session");
    assert_eq!(idle.get("/").await.body, "b");
    let mut silent = dialer.dial(provider, "ServiceB").await.expect("a session");
    let mut before = Client::connect(provider).await;
    proxy.lifecycle().enter(Phase::Draining);
    let ended = tokio::spawn(proxy.shutdown());
    // An end without a farewell would be an error here.
    assert!(idle.rest().await.is_empty());
    assert!(silent.rest().await.is_empty());
    assert!(before.rest().await.is_empty());
    timeout(PATIENCE, ended).await.expect("it ends").expect("without a panic");
}

#[tokio::test]
async fn who_makes_a_session_while_the_proxy_ends_holds_up_nothing() {
    let authority = Authority::new();
    let mount = Mount::new(&authority, &authority.issue(&["ServiceB"]));
    let app = App::saying("b").await;
    let tags = [("ServiceB.rest.Provider", mount.shown())];
    let proxy = provider_with(app.address.port(), tags, |settings| {
        settings.limits.handshake_timeout = PATIENCE * 2;
        settings.limits.drain_timeout = PATIENCE * 2;
    });
    let provider = proxy.addresses().provider[0];
    let dialer = Dialer::new(&authority, &VERSIONS);
    let mut stalled = Client::connect(provider).await;
    stalled.send([22, 3, 1]).await;
    let silent = TcpStream::connect(provider).await.expect("a connection");
    // Both are taken before the proxy closes; one makes its session while it does, if it is in time.
    let line = "mesher_tls_handshakes_total{side=\"server\",result=\"ok\"}";
    drop(dialer.dial(provider, "ServiceB").await.expect("a session"));
    metric_becomes(&proxy, line, 1.0).await;
    let ended = tokio::spawn(proxy.shutdown());
    if let Ok(mut silent) = dialer.over(silent, "ServiceB").await {
        assert!(silent.rest().await.is_empty());
    }
    stalled.is_reset().await;
    timeout(PATIENCE, ended).await.expect("it ends").expect("without a panic");
}

#[tokio::test]
async fn the_admin_port_has_a_tag_of_its_own_and_loopback_stays_plain() {
    let authority = Authority::new();
    let mount = Mount::new(&authority, &authority.issue(&["ServiceB"]));
    let app = App::saying("b").await;
    let tags = [("ServiceB.rest-admin.Provider", mount.shown()), ("", mount.shown())];
    let proxy = provider_with(app.address.port(), tags, |_| {});
    let admin = &proxy.addresses().admin;
    let (loopback, pod) = (admin[0], admin[1]);
    let mut plain = Client::connect(loopback).await;
    assert_eq!(plain.get("/healthz").await.status, 200);
    let status = plain.get("/v1/mesher/status").await.body;
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let certificates = status["certificates"].as_array().expect("a list");
    let tags = certificates.iter().map(|shown| shown["tag"].as_str());
    assert_eq!(tags.collect::<Vec<_>>(), [Some(""), Some("ServiceB.rest-admin.Provider")]);
    for shown in certificates {
        assert!(shown["expiresInSeconds"].as_f64().is_some_and(|left| left > 0.0), "{shown}");
        assert_eq!(shown["names"], serde_json::json!(["ServiceB"]));
        assert!(shown.get("fault").is_none(), "{shown}");
    }
    let listeners = status["listeners"].as_array().expect("a list").iter();
    let admin_ports = listeners.filter(|one| one["side"] == "admin").map(|one| one["tls"] == true);
    assert_eq!(admin_ports.collect::<Vec<_>>(), [false, true]);
    let dialer = Dialer::new(&authority, &VERSIONS);
    let mut secured = dialer.dial(pod, "ServiceB").await.expect("a session");
    assert_eq!(secured.get("/healthz").await.status, 200);
    assert_eq!(secured.get("/v1/mesher/health").await.status, 404, "for loopback alone");
}
