//! The consumer side: names, routes, refusals.

use std::sync::Arc;

use discovery::Fixed;
use mesh::Passthrough;

use crate::app::App;
use crate::world::{Client, consumer, nobody, service, settings, start};

#[tokio::test]
async fn an_absolute_url_reaches_an_instance_as_a_plain_request() {
    let app = App::echo().await;
    let (_proxy, address) = consumer([service("ServiceB", &[app.address])]);
    let mut client = Client::connect(address).await;
    let lines = "x-user: jason\r\nx-forwarded-port: 22\r\nproxy-connection: keep-alive\r\n";
    let answer = client.request("GET", "http://ServiceB:8080/api/x?y=1", lines, "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let asked = answer.body;
    assert!(asked.starts_with("GET /api/x?y=1 HTTP/1.1\r\n"), "{asked}");
    for line in [
        "host: ServiceB:8080\r\n",
        "x-user: jason\r\n",
        "x-forwarded-port: 8080\r\n",
        "x-cse-context: {\"x-cse-src-microservice\":\"ServiceA\"}\r\n",
        "x-cse-src-microservice: ServiceA\r\n",
        "te: trailers\r\n",
    ] {
        assert!(asked.contains(line), "{line:?} is not in {asked}");
    }
    assert_eq!(asked.matches("x-forwarded-port").count(), 1);
    assert!(!asked.contains("proxy-connection"), "{asked}");
}

#[tokio::test]
async fn one_connection_serves_many_requests_on_both_sides() {
    let app = App::echo().await;
    let (_proxy, address) = consumer([service("ServiceB", &[app.address])]);
    let mut client = Client::connect(address).await;
    for i in 0..20 {
        let url = format!("http://ServiceB/{i}");
        let answer = client.request("POST", &url, "", &format!("body {i}")).await;
        assert!(answer.body.starts_with(&format!("POST /{i} HTTP/1.1")), "{answer:?}");
        assert!(answer.body.ends_with(&format!("body {i}")), "{answer:?}");
    }
    assert_eq!(app.connections(), 1);
}

#[tokio::test]
async fn instances_take_turns() {
    let (one, two) = (App::saying("one").await, App::saying("two").await);
    let (_proxy, address) = consumer([service("ServiceB", &[one.address, two.address])]);
    let mut client = Client::connect(address).await;
    let mut said = Vec::new();
    for _ in 0..10 {
        said.push(client.get("http://ServiceB/").await.body);
    }
    assert_eq!(said.iter().filter(|word| *word == "one").count(), 5, "{said:?}");
}

#[tokio::test]
async fn a_plain_request_is_taken_where_host_names_a_service() {
    let app = App::saying("b").await;
    let (_proxy, address) = consumer([service("ServiceB", &[app.address])]);
    let mut client = Client::connect(address).await;
    client.send("GET /x HTTP/1.1\r\nhost: ServiceB:80\r\n\r\n").await;
    assert_eq!(client.answer().await.body, "b");
    client.send("GET /x HTTP/1.1\r\nhost: example.com\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.error()), (400, Some("bad_uri")));
    assert!(answer.body.starts_with("Invalid uri, please check:\n1, For provider"), "{answer:?}");
}

#[tokio::test]
async fn http_1_0_without_a_host() {
    let app = App::saying("b").await;
    let (_proxy, address) = consumer([service("ServiceB", &[app.address])]);
    let mut client = Client::connect(address).await;
    client.send("GET http://ServiceB/x HTTP/1.0\r\n\r\n").await;
    let answer = client.answer().await;
    assert!(answer.head.starts_with("HTTP/1.0 200 OK\r\n"), "{answer:?}");
    assert_eq!(answer.body, "b");
    assert!(client.rest().await.is_empty(), "HTTP/1.0 ends with its response");
}

#[tokio::test]
async fn whom_nobody_can_be_found_for() {
    let outside = App::saying("outside").await;
    let gone = nobody();
    let services = [service("Empty", &[]), service("Gone", &[gone])];
    let (_proxy, address) = consumer(services);
    let own = format!("http://{address}/x");
    let direct = format!("http://{}/x", outside.address);
    for (url, status, error, text) in [
        ("http://Empty/", 502, Some("no_instance"), "lb: No available instance, key: Empty("),
        ("http://Nobody/", 502, Some("no_instance"), "lb: No available instance, key: Nobody("),
        ("http://Gone/", 502, Some("connect_refused"), "connect: connection refused"),
        (&own, 400, Some("bad_uri"), "uri format must be: http://serviceName/api"),
        ("https://Empty/", 400, Some("bad_uri"), "only http:// can be asked for"),
        ("http://u:p@Empty/", 400, Some("bad_uri"), "invalid uri: a user stands before the host"),
        (&direct, 200, None, "outside"),
    ] {
        let answer = Client::connect(address).await.get(url).await;
        assert_eq!((answer.status, answer.error()), (status, error), "{url} {answer:?}");
        assert!(answer.body.starts_with(text), "{url} {answer:?}");
    }
}

#[tokio::test]
async fn what_is_let_out_is_a_policy() {
    let outside = App::saying("outside").await;
    let port = outside.address.port();
    let cases = [
        (Passthrough::External, "127.0.0.1", 200),
        (Passthrough::External, "localhost", 502),
        (Passthrough::All, "localhost", 200),
        (Passthrough::None, "127.0.0.1", 403),
    ];
    for (passthrough, host, status) in cases {
        let settings = sidecar::settings::Settings { passthrough, ..settings("ServiceA") };
        let (_proxy, address) = start(settings, Arc::new(Fixed::new([])));
        let answer = Client::connect(address).await.get(&format!("http://{host}:{port}/")).await;
        assert_eq!(answer.status, status, "{passthrough:?} {host} {answer:?}");
    }
}

#[tokio::test]
async fn nothing_of_the_mesh_goes_outside() {
    let outside = App::echo().await;
    let (_proxy, address) = consumer([]);
    let url = format!("http://{}/", outside.address);
    let asked = Client::connect(address).await.get(&url).await.body;
    assert!(!asked.contains("x-cse") && !asked.contains("x-mesher"), "{asked}");
}
