//! Clients that speak HTTP/2 without having asked before.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use discovery::Fixed;
use hyper::header::HeaderValue;
use hyper::{Method, Request};
use sidecar::settings::Limits;
use sidecar::{Phase, Proxy};
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::app::App;
use crate::h2_client::{Client, GoneAway};
use crate::world::{self, PATIENCE, consumer, provider_settings, service, settings, start};

#[tokio::test]
async fn a_request_becomes_one_of_http1_for_a_rest_endpoint() {
    let app = App::echo().await;
    let (_proxy, address) = consumer([service("ServiceB", &[app.address])]);
    let mut client = Client::connect(address).await;
    let request = Request::post("http://ServiceB:8080/api/x?y=1")
        .header("x-user", "jason")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers");
    let answer = client.request(request, "hello").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let asked = answer.text();
    assert!(asked.starts_with("POST /api/x?y=1 HTTP/1.1\r\n"), "{asked}");
    for line in [
        "host: ServiceB:8080\r\n",
        "x-user: jason\r\n",
        "cookie: a=1; b=2\r\n",
        "x-forwarded-port: 8080\r\n",
        "transfer-encoding: chunked\r\n",
        "te: trailers\r\nconnection: te\r\n",
        "\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        assert!(asked.contains(line), "{line:?} is not in {asked}");
    }
    let asked = client.get("http://ServiceB/").await.text();
    assert!(!asked.contains("transfer-encoding"), "there is no body: {asked}");
}

#[tokio::test]
async fn many_requests_at_once_on_one_connection() {
    let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (Arc::clone(&began), Arc::clone(&go_on));
    let app = App::each(move |mut peer, _| {
        let (began, go_on) = (Arc::clone(&told.0), Arc::clone(&told.1));
        async move {
            while let Some(request) = peer.request().await {
                if request.starts_with("GET /slow") {
                    began.notify_one();
                    go_on.notified().await;
                }
                peer.answer(request.split(' ').nth(1).unwrap_or_default()).await;
            }
        }
    })
    .await;
    let (_proxy, address) = consumer([service("b", &[app.address])]);
    let mut client = Client::connect(address).await;
    let slow = client.start(Request::get("http://b/slow"), true).await;
    began.notified().await;
    let others: Vec<_> = (0..50).map(|i| format!("/{i}")).collect();
    for path in &others {
        assert_eq!(client.get(&format!("http://b{path}")).await.text(), *path);
    }
    go_on.notify_one();
    assert_eq!(slow.answer().await.text(), "/slow");
}

#[tokio::test]
async fn whom_it_is_for_is_said_once() {
    let app = App::echo().await;
    let (_proxy, address) = consumer([service("b", &[app.address])]);
    let mut client = Client::connect(address).await;
    let own = format!("http://{address}/");
    for (request, status, error) in [
        (Request::get("http://b/").header("host", "b"), 200, None),
        (Request::get("http://b/").header("host", "c"), 400, Some("bad_uri")),
        (Request::get("https://b/"), 400, Some("bad_uri")),
        (Request::get("http://nobody/"), 502, Some("no_instance")),
        (Request::get(&own), 400, Some("bad_uri")),
        (Request::builder().method(Method::CONNECT).uri("b:80"), 405, Some("bad_uri")),
    ] {
        let shown = format!("{request:?}");
        let answer = client.request(request, "").await;
        let found = (answer.status, answer.header("x-mesher-error"));
        assert_eq!(found, (status, error), "{shown} {answer:?}");
    }
    let head = client.request(Request::head("http://nobody/"), "").await;
    assert_eq!((head.status, head.text().as_str()), (502, ""), "nobody asked for more");
    let mut many = Request::get("http://b/");
    for _ in 0..=Limits::default().header_fields {
        many = many.header("x", "1");
    }
    assert_eq!(client.request(many, "").await.status, 431);
    let long = HeaderValue::from_bytes(&vec![b'a'; 70_000]).expect("a value");
    assert_eq!(client.request(Request::get("http://b/").header("x", long), "").await.status, 431);
    assert_eq!(app.connections(), 1, "the others did not go on");
}

#[tokio::test]
async fn the_application_gets_what_others_send_it_by_http2() {
    let app = App::echo().await;
    let settings = provider_settings("ServiceB", app.address.port());
    let proxy = Proxy::start(settings, Arc::new(Fixed::new([]))).expect("a provider");
    let mut client = Client::connect(proxy.addresses().provider[0]).await;
    // By whatever name they reached it, as with HTTP/1.
    for host in ["ServiceB", "orders.example.com", "127.0.0.2:30101"] {
        let asked = client.get(&format!("http://{host}/x")).await.text();
        assert!(asked.starts_with("GET /x HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(&format!("x-forwarded-host: {host}\r\n")), "{asked}");
    }
}

#[tokio::test]
async fn bodies_are_passed_on_as_fast_as_they_are_read() {
    const LENGTH: usize = 8 << 20;
    let app = App::each(|mut peer, _| async move {
        peer.head().await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n");
        peer.send(head).await;
        peer.echo(LENGTH).await;
    })
    .await;
    let (_proxy, address) = consumer([service("b", &[app.address])]);
    let mut client = Client::connect(address).await;
    let request = Request::post("http://b/").header("content-length", LENGTH);
    let mut stream = client.start(request, false).await;
    let sent = Bytes::from((0..=255).cycle().take(LENGTH).collect::<Vec<u8>>());
    let upload = stream.send_all(sent.clone());
    let answer = stream.answer();
    let ((), answer) = tokio::join!(upload, answer);
    assert!(answer.body == sent, "{} bytes came back", answer.body.len());
}

#[tokio::test]
async fn trailers_reach_the_client() {
    let app = App::each(|mut peer, _| async move {
        peer.request().await;
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
        peer.send(head).await;
        peer.send("3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n").await;
        peer.request().await;
    })
    .await;
    let (_proxy, address) = consumer([service("b", &[app.address])]);
    let answer = Client::connect(address).await.get("http://b/").await;
    assert_eq!(answer.text(), "abc");
    assert_eq!(answer.trailers["x-sum"], "6");
}

#[tokio::test]
async fn a_client_that_gives_up_closes_the_way_to_the_instance() {
    let (began, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (Arc::clone(&began), Arc::clone(&ended));
    let app = App::each(move |mut peer, number| {
        let (began, ended) = (Arc::clone(&told.0), Arc::clone(&told.1));
        async move {
            peer.request().await;
            if number > 0 {
                return peer.answer("other").await;
            }
            began.notify_one();
            while peer.tcp.read_u8().await.is_ok() {}
            ended.notify_one();
        }
    })
    .await;
    let (_proxy, address) = consumer([service("b", &[app.address])]);
    let mut client = Client::connect(address).await;
    let slow = client.start(Request::get("http://b/"), true).await;
    began.notified().await;
    drop(slow);
    timeout(PATIENCE, ended.notified()).await.expect("the instance hears of it");
    assert_eq!(client.get("http://b/").await.text(), "other", "the connection goes on");
}

#[tokio::test]
async fn a_response_that_breaks_off_resets_its_stream_only() {
    let app = App::each(|mut peer, number| async move {
        while peer.request().await.is_some() {
            if number == 0 {
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
                return peer.reset();
            }
            peer.answer("whole").await;
        }
    })
    .await;
    let (_proxy, address) = consumer([service("b", &[app.address])]);
    let mut client = Client::connect(address).await;
    let broken = client.start(Request::get("http://b/"), true).await;
    let error = broken.try_answer().await.expect_err("it must not look whole");
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{error}");
    assert_eq!(client.get("http://b/").await.text(), "whole");
}

#[tokio::test]
async fn a_draining_proxy_says_goaway_and_answers_what_it_has() {
    let app = App::saying("b").await;
    let settings = provider_settings("ServiceB", app.address.port());
    let proxy = Proxy::start(settings, Arc::new(Fixed::new([]))).expect("a proxy");
    let provider = proxy.addresses().provider[0];
    let mut kept = Client::connect(provider).await;
    assert_eq!(kept.get("http://ServiceB/").await.text(), "b");
    proxy.lifecycle().enter(Phase::Draining);
    for mut client in [kept, Client::connect(provider).await] {
        let answer = client.get("http://ServiceB/").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "b"));
        assert_eq!(client.gone_away().await, GoneAway::Politely);
    }
    proxy.shutdown().await;
}

#[tokio::test]
async fn what_is_in_flight_is_answered_before_the_end() {
    let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (Arc::clone(&began), Arc::clone(&go_on));
    let app = App::each(move |mut peer, _| {
        let (began, go_on) = (Arc::clone(&told.0), Arc::clone(&told.1));
        async move {
            peer.request().await;
            began.notify_one();
            go_on.notified().await;
            peer.answer("done").await;
        }
    })
    .await;
    let (proxy, address) = consumer([service("b", &[app.address])]);
    let mut client = Client::connect(address).await;
    let slow = client.start(Request::get("http://b/"), true).await;
    began.notified().await;
    let idle = Client::connect(address).await;
    let ended = tokio::spawn(proxy.shutdown());
    assert_eq!(idle.gone_away().await, GoneAway::Politely);
    assert!(!ended.is_finished(), "it waits for what is in flight");
    go_on.notify_one();
    assert_eq!(slow.answer().await.text(), "done");
    assert_eq!(client.gone_away().await, GoneAway::Politely);
    timeout(PATIENCE, ended).await.expect("it ends").expect("without a panic");
}

#[tokio::test]
async fn a_connection_idles_from_its_last_answer_on() {
    let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (Arc::clone(&began), Arc::clone(&go_on));
    let app = App::each(move |mut peer, _| {
        let (began, go_on) = (Arc::clone(&told.0), Arc::clone(&told.1));
        async move {
            while let Some(request) = peer.request().await {
                if request.starts_with("GET /slow") {
                    began.notify_one();
                    go_on.notified().await;
                }
                peer.answer("b").await;
            }
        }
    })
    .await;
    let mut settings = settings("ServiceA");
    let short = Duration::from_millis(100);
    // What HTTP/1 gives a head must not end a connection on which something else is read.
    settings.limits = Limits { idle_timeout: short, header_timeout: short, ..Limits::default() };
    let (_proxy, address) = start(settings, Arc::new(Fixed::new([service("b", &[app.address])])));
    let mut busy = Client::connect(address).await;
    let slow = busy.start(Request::get("http://b/slow"), true).await;
    began.notified().await;
    assert_eq!(busy.get("http://b/fast").await.text(), "b");
    let idle = Client::connect(address).await;
    assert_eq!(idle.gone_away().await, GoneAway::Politely);
    go_on.notify_one();
    assert_eq!(slow.answer().await.text(), "b");
    assert_eq!(busy.gone_away().await, GoneAway::Politely);
}

#[tokio::test]
async fn a_flood_of_resets_ends_the_connection() {
    let app = App::each(|mut peer, _| async move {
        peer.request().await;
        peer.request().await;
    })
    .await;
    let (_proxy, address) = consumer([service("b", &[app.address])]);
    let mut flood = Client::connect(address).await;
    let flooded = async {
        // Far more than any client resets by chance.
        for _ in 0..1_000 {
            let mut streams = Vec::new();
            for _ in 0..250 {
                match flood.try_start(Request::get("http://b/"), true).await {
                    Ok(stream) => streams.push(stream),
                    Err(error) => return error,
                }
            }
            drop(streams);
            // The connection is another task.
            tokio::task::yield_now().await;
        }
        panic!("it is served for ever");
    };
    let error = timeout(PATIENCE, flooded).await.expect("the proxy keeps up");
    assert!(error.is_go_away() || error.is_io(), "{error}");
    // Others are served as before.
    let app = App::saying("b").await;
    let (_proxy, address) = consumer([service("b", &[app.address])]);
    assert_eq!(world::Client::connect(address).await.get("http://b/").await.body, "b");
}
