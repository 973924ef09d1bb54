//! Responses and bodies of every shape.

use std::sync::Arc;

use discovery::Fixed;
use sidecar::settings::{HeaderCase, Settings};

use crate::app::App;
use crate::world::{Client, consumer, service, settings, start};

/// An application that answers every request with these bytes, and closes if they need that.
async fn answering(response: &'static str) -> App {
    App::each(move |mut peer, _| async move {
        while peer.request().await.is_some() {
            peer.send(response).await;
            if !response.contains("content-length") && !response.contains("chunked") {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn responses_of_every_shape() {
    for (method, response, status, body, line, unwanted) in [
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            200,
            "ok",
            "content-length: 2",
            "-",
        ),
        ("GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "until the end", "chunked", "-"),
        ("GET", "HTTP/1.0 200 OK\r\n\r\nold", 200, "old", "HTTP/1.1 200", "-"),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            200,
            "ok",
            "transfer-encoding: chunked",
            "content-length",
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            200,
            "ok",
            "transfer-encoding: chunked",
            "content-length",
        ),
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", 200, "", "content-length: 7", "-"),
        (
            "GET",
            "HTTP/1.1 204 No Content\r\nx: content-length\r\n\r\n",
            204,
            "",
            "204 No Content",
            "chunked",
        ),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\netag: \"content-length\"\r\n\r\n",
            304,
            "",
            "etag",
            "chunked",
        ),
        (
            "GET",
            "HTTP/1.1 200 Fine\r\ncontent-length: 0\r\n\r\n",
            200,
            "",
            "HTTP/1.1 200 Fine",
            "-",
        ),
        (
            "GET",
            "HTTP/1.1 302 Found\r\nlocation: http://b/2\r\ncontent-length: 0\r\n\r\n",
            302,
            "",
            "location: http://b/2",
            "-",
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nset-cookie: a\r\nset-cookie: b\r\ncontent-length: 0\r\n\r\n",
            200,
            "",
            "set-cookie: a\r\nset-cookie: b",
            "-",
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\ncontent-length: 0\r\n\r\n",
            200,
            "",
            "content-length: 0",
            "x-hop",
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nok",
            502,
            "",
            "",
            "-",
        ),
        ("GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nx", 502, "", "", "-"),
        ("GET", "SSH-2.0-OpenSSH_9.2\r\n", 502, "", "", "-"),
    ] {
        let app = answering(response).await;
        let (_proxy, address) = consumer([service("b", &[app.address])]);
        let mut client = Client::connect(address).await;
        let answer = client.request(method, "http://b/", "", "").await;
        assert_eq!(answer.status, status, "{response:?} {answer:?}");
        if status != 502 {
            assert_eq!(answer.body, body, "{response:?} {answer:?}");
        }
        assert!(answer.head.contains(line), "{line:?} is not in {answer:?}");
        assert!(unwanted == "-" || !answer.head.contains(unwanted), "{unwanted:?} in {answer:?}");
        assert!(!answer.head.contains("content-type: application"), "nothing is made up");
    }
}

#[tokio::test]
async fn a_body_is_asked_for_by_us_when_somebody_takes_it() {
    let app = App::echo().await;
    let (_proxy, address) = consumer([service("b", &[app.address]), service("nobody", &[])]);
    let head = |host| {
        format!(
            "POST http://{host}/ HTTP/1.1\r\nhost: {host}\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n"
        )
    };
    let mut client = Client::connect(address).await;
    client.send(head("b")).await;
    assert_eq!(client.head().await.status, 100);
    client.send("body").await;
    let answer = client.answer().await;
    assert!(answer.body.ends_with("\r\n\r\nbody"), "{answer:?}");
    assert!(!answer.body.contains("expect"), "{answer:?}");

    let mut client = Client::connect(address).await;
    client.send(head("nobody")).await;
    assert_eq!(client.answer().await.status, 502, "a body that nobody takes is not asked for");
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let app = App::each(|mut peer, _| async move {
        let request = peer.request_with_trailers().await;
        let sent = request.contains("x-sum: 1");
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-total\r\n\r\n";
        peer.send(format!("{head}2\r\nok\r\n0\r\nx-total: {sent}\r\n\r\n")).await;
    })
    .await;
    let (_proxy, address) = consumer([service("b", &[app.address])]);
    let mut client = Client::connect(address).await;
    let head = "POST http://b/ HTTP/1.1\r\nhost: b\r\nte: trailers\r\nconnection: te\r\n";
    let body =
        "transfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n";
    client.send(format!("{head}{body}")).await;
    assert_eq!(client.head().await.status, 200);
    let rest = client.until(b"true\r\n\r\n").await;
    assert_eq!(String::from_utf8_lossy(&rest), "2\r\nok\r\n0\r\nx-total: true\r\n\r\n");
}

#[tokio::test]
async fn header_names_in_title_case_for_who_needs_it() {
    let app = App::echo().await;
    let settings = Settings { header_case: HeaderCase::Title, ..settings("ServiceA") };
    let source = Arc::new(Fixed::new([service("b", &[app.address])]));
    let (_proxy, address) = start(settings, source);
    let mut client = Client::connect(address).await;
    client.send("GET http://b/ HTTP/1.1\r\nhost: b\r\nx-user-name: jason\r\n\r\n").await;
    let head = client.head().await.head;
    assert!(head.contains("\r\nContent-Length: "), "{head}");
    let asked = String::from_utf8(client.until(b"\r\n\r\n").await).expect("text");
    assert!(asked.contains("\r\nX-User-Name: jason\r\n"), "{asked}");
}

#[tokio::test]
async fn requests_that_were_sent_ahead_are_answered_in_order() {
    let app = App::echo().await;
    let (_proxy, address) = consumer([service("b", &[app.address])]);
    let mut client = Client::connect(address).await;
    for i in 0..20 {
        client.send(format!("GET http://b/{i} HTTP/1.1\r\nhost: b\r\n\r\n")).await;
    }
    for i in 0..20 {
        let answer = client.answer().await;
        assert!(answer.body.starts_with(&format!("GET /{i} ")), "{answer:?}");
    }
}

#[tokio::test]
async fn a_long_body_goes_through_in_both_directions_at_once() {
    const LENGTH: usize = 8 << 20;
    let app = App::each(|mut peer, _| async move {
        peer.head().await;
        peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n")).await;
        peer.echo(LENGTH).await;
    })
    .await;
    let (_proxy, address) = consumer([service("b", &[app.address])]);
    let mut client = Client::connect(address).await;
    let head = format!("POST http://b/ HTTP/1.1\r\nhost: b\r\ncontent-length: {LENGTH}\r\n\r\n");
    client.send(head).await;
    assert_eq!(client.head().await.status, 200, "the answer may begin before the request ends");
    let block: Vec<u8> = (0..=255).cycle().take(64 << 10).collect();
    for _ in 0..LENGTH / block.len() {
        client.send(&block).await;
        assert!(client.exactly(block.len()).await == block, "it comes back as it went");
    }
}
