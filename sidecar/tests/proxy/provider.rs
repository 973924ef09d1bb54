//! The provider side: to the application, and nowhere else.

use std::sync::Arc;

use discovery::Fixed;
use sidecar::Proxy;

use crate::app::App;
use crate::world::{Client, nobody, provider_settings};

async fn before(port: u16) -> (Proxy, Client) {
    let source = Arc::new(Fixed::new([]));
    let proxy = Proxy::start(provider_settings("ServiceB", port), source).expect("a proxy");
    let client = Client::connect(proxy.addresses().provider[0]).await;
    (proxy, client)
}

#[tokio::test]
async fn the_application_gets_the_request_as_it_was_sent() {
    let app = App::echo().await;
    let (_proxy, mut client) = before(app.address.port()).await;
    let lines = "x-cse-context: {\"x-cse-src-microservice\":\"ServiceA\"}\r\nx-mesher-via: 1\r\n";
    let answer = client.request("GET", "/api/x?y=1", lines, "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let asked = answer.body;
    assert!(asked.starts_with("GET /api/x?y=1 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("x-cse-context: {\"x-cse-src-microservice\":\"ServiceA\"}\r\n"));
    assert!(!asked.contains("x-mesher-via"), "{asked}");
}

#[tokio::test]
async fn the_port_is_one_of_the_applications() {
    let (app, other) = (App::saying("app").await, App::saying("other").await);
    let (_proxy, mut client) = before(app.address.port()).await;
    let line = |port: String| format!("x-forwarded-port: {port}\r\n");
    for (lines, status, error, body) in [
        (String::new(), 200, None, "app"),
        (line(app.address.port().to_string()), 200, None, "app"),
        (line(other.address.port().to_string()), 403, Some("port_denied"), "port "),
        (line("0".to_owned()), 400, Some("bad_uri"), "malformed"),
        (line("+80".to_owned()), 400, Some("bad_uri"), "malformed"),
    ] {
        let answer = client.request("GET", "/", &lines, "").await;
        assert_eq!((answer.status, answer.error()), (status, error), "{lines} {answer:?}");
        assert!(answer.body.starts_with(body), "{answer:?}");
    }
}

#[tokio::test]
async fn it_is_no_way_to_elsewhere() {
    let (app, other) = (App::saying("app").await, App::saying("other").await);
    let (_proxy, mut client) = before(app.address.port()).await;
    let elsewhere = format!("http://{}/", other.address);
    let answer = client.get(&elsewhere).await;
    assert_eq!((answer.status, answer.error()), (403, Some("passthrough_denied")), "{answer:?}");
    assert_eq!(client.get("http://ServiceB/").await.body, "app", "its own name is no elsewhere");
    client.send("CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 405);
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn an_application_that_does_not_listen() {
    let (_proxy, mut client) = before(nobody().port()).await;
    let answer = client.get("/").await;
    assert_eq!((answer.status, answer.error()), (502, Some("local_refused")), "{answer:?}");
}

#[tokio::test]
async fn the_word_for_our_errors_is_ours() {
    let app = App::each(|mut peer, _| async move {
        while peer.request().await.is_some() {
            peer.send("HTTP/1.1 200 OK\r\nx-mesher-error: draining\r\ncontent-length: 2\r\n\r\nok")
                .await;
        }
    })
    .await;
    let (_proxy, mut client) = before(app.address.port()).await;
    let answer = client.get("/").await;
    assert_eq!((answer.body.as_str(), answer.error()), ("ok", None));
}
