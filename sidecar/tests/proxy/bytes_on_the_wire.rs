//! What exactly is written: framing, and messages that try to be two at once.

use crate::app::App;
use crate::world::{Client, consumer, service};

#[tokio::test]
async fn heads_that_could_be_read_in_two_ways_are_refused() {
    let app = App::echo().await;
    let (_proxy, address) = consumer([service("b", &[app.address])]);
    let post = "POST http://b/ HTTP/1.1\r\nhost: b\r\n";
    for (request, status) in [
        (format!("{post}content-length: 3\r\ncontent-length: 4\r\n\r\nabcd"), 400),
        (format!("{post}content-length: 3, 3\r\n\r\nabc"), 400),
        (format!("{post}content-length: +3\r\n\r\nabc"), 400),
        (format!("{post}content-length: -3\r\n\r\nabc"), 400),
        (format!("{post}content-length : 3\r\n\r\nabc"), 400),
        (format!("{post}x: a\r\n b\r\n\r\n"), 400),
        (format!("{post}transfer-encoding: gzip\r\n\r\n"), 400),
        (format!("{post}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501),
        (format!("{post}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"), 400),
        (format!("{post}host: c\r\n\r\n"), 400),
        ("GET http://b/ HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("POST http://b/ HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), 400),
        (format!("{post}x: a\0b\r\n\r\n"), 400),
        (format!("{post}: a\r\n\r\n"), 400),
        (format!("GET http://b/{} HTTP/1.1\r\nhost: b\r\n\r\n", "a".repeat(70_000)), 431),
    ] {
        let mut client = Client::connect(address).await;
        client.send(&request).await;
        let shown = &request[..request.len().min(120)];
        assert_eq!(client.head().await.status, status, "{shown:?}");
    }
    assert_eq!(app.connections(), 0, "none of them went on");
}

#[tokio::test]
async fn what_goes_on_is_one_plain_request() {
    let app = App::echo().await;
    let (_proxy, address) = consumer([service("b", &[app.address])]);
    let post = "POST http://b/ HTTP/1.1\r\nhost: b\r\n";
    for (request, wanted, unwanted) in [
        // The length beside chunked is gone, in whatever order.
        (
            format!("{post}content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
            "transfer-encoding: chunked",
            "content-length",
        ),
        (
            format!("{post}transfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
            "transfer-encoding: chunked",
            "content-length",
        ),
        // Equal lengths are one.
        (
            format!("{post}content-length: 3\r\ncontent-length: 3\r\n\r\nabc"),
            "content-length: 3\r\n",
            "content-length: 3\r\ncontent-length",
        ),
        // Bare line feeds are none when it leaves.
        (
            "POST http://b/ HTTP/1.1\nhost: b\ncontent-length: 3\n\nabc".to_owned(),
            "POST / HTTP/1.1\r\nhost: b\r\ncontent-length: 3\r\n",
            "HTTP/1.1\nhost",
        ),
        // A GET with a body keeps it.
        (
            "GET http://b/ HTTP/1.1\r\nhost: b\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                .to_owned(),
            "3\r\nabc\r\n0\r\n\r\n",
            "content-length",
        ),
        // Whoever speaks an older version is spoken for in ours.
        ("GET http://b/ HTTP/1.0\r\n\r\n".to_owned(), "GET / HTTP/1.1\r\nhost: b\r\n", "HTTP/1.0"),
        // The URL's host wins.
        ("GET http://b/ HTTP/1.1\r\nhost: c\r\n\r\n".to_owned(), "host: b\r\n", "host: c"),
    ] {
        let mut client = Client::connect(address).await;
        client.send(&request).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 200, "{request:?} {answer:?}");
        assert!(answer.body.contains(wanted), "{request:?} became {:?}", answer.body);
        assert!(!answer.body.contains(unwanted), "{request:?} became {:?}", answer.body);
    }
}
