//! gRPC, through one proxy and through two.

mod again;
mod connections;
mod refused;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use discovery::Fixed;
use h2::Reason;
use hyper::Request;
use hyper::http::request;
use mesh::{BreakerScope, BreakerTerms, Protocol, Service};
use sidecar::Proxy;
use sidecar::settings::{ServicePort, Settings};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::h2_app::App;
use crate::h2_client::{Answer, Client, Stream};
use crate::world::{self, PATIENCE, nobody, provider_settings, service_of, settings};

const FREE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A proxy that knows `services`, and its consumer side for gRPC.
fn start(mut settings: Settings, services: Vec<Service>) -> (Proxy, SocketAddr) {
    settings.listeners.grpc = Some(FREE);
    let proxy = Proxy::start(settings, Arc::new(Fixed::new(services))).expect("the proxy starts");
    let address = proxy.addresses().consumer_grpc.expect("it has a consumer side");
    (proxy, address)
}

fn consumer(instances: &[SocketAddr]) -> (Proxy, SocketAddr) {
    start(settings("ServiceA"), vec![service_of(Protocol::Grpc, "b", instances)])
}

/// A proxy before an application with gRPC on `port`, and its provider side for gRPC.
fn provider(port: u16) -> (Proxy, SocketAddr) {
    let mut settings = provider_settings("b", nobody().port());
    let grpc = ServicePort { protocol: Protocol::Grpc, name: "grpc".to_owned(), port };
    settings.local.service.push(grpc);
    settings.listeners.grpc = Some(FREE);
    let proxy = Proxy::start(settings, Arc::new(Fixed::new([]))).expect("a provider");
    let address = proxy.addresses().provider_grpc[0];
    (proxy, address)
}

fn call(url: &str) -> request::Builder {
    Request::post(url).header("content-type", "application/grpc+proto").header("te", "trailers")
}

/// The status of a call, and our word for it, if the call has neither failed as HTTP nor said more.
fn status(answer: &Answer) -> (Option<&str>, Option<&str>) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("content-type").is_some_and(|t| t.starts_with("application/grpc")));
    let trailer = answer.trailers.get("grpc-status").and_then(|value| value.to_str().ok());
    let word = answer.trailers.get("x-mesher-error").and_then(|value| value.to_str().ok());
    (answer.header("grpc-status").or(trailer), answer.header("x-mesher-error").or(word))
}

#[tokio::test]
async fn a_call_goes_through_both_proxies() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let app = App::each(move |call| {
        let tell = tell.clone();
        async move {
            let _ = tell.send((call.request.uri().clone(), call.request.headers().clone()));
            let mut echoing = call.begin();
            while let Some(data) = echoing.next().await {
                echoing.say(data).await;
            }
            echoing.end("0");
        }
    })
    .await;
    let port = app.address.port();
    let (_provider, instance) = provider(port);
    let (proxy, grpc) = consumer(&[instance]);
    // Also on the port for HTTP, where the content says that it is a call.
    for address in [grpc, proxy.addresses().consumer.expect("a consumer side")] {
        for authority in [format!("b:{port}"), "b".to_owned()] {
            let mut client = Client::connect(address).await;
            let request = call(&format!("http://{authority}/pkg.Service/Method"));
            let answer = client.request(request.header("x-user", "jason"), "hello").await;
            assert_eq!(status(&answer), (Some("0"), None), "{answer:?}");
            assert_eq!(answer.text(), "hello");
            let (uri, headers) = told.recv().await.expect("it was asked");
            assert_eq!(uri, format!("http://{authority}/pkg.Service/Method").as_str());
            for (name, expected) in [
                ("x-user", Some("jason")),
                ("te", Some("trailers")),
                ("content-type", Some("application/grpc+proto")),
                ("x-cse-src-microservice", Some("ServiceA")),
                ("x-forwarded-host", Some(authority.as_str())),
                ("host", None),
                ("connection", None),
                ("transfer-encoding", None),
                ("x-mesher-via", None),
            ] {
                let found = headers.get(name).map(|value| value.to_str().expect("text"));
                assert_eq!(found, expected, "{name} of {headers:?}");
            }
        }
    }
    assert_eq!(app.connections(), 1, "all of them share it");
}

/// As grpc-go does it by `HTTPS_PROXY` and gRPC core by `grpc_proxy`, which says HTTP/1.0.
#[tokio::test]
async fn a_call_through_a_tunnel_on_either_port() {
    let app = App::echo().await;
    let port = app.address.port();
    let (_provider, instance) = provider(port);
    let rest = crate::app::App::saying("rest").await;
    let services = vec![
        service_of(Protocol::Grpc, "b", &[instance]),
        service_of(Protocol::Rest, "r", &[rest.address]),
    ];
    let (proxy, grpc) = start(settings("ServiceA"), services);
    for address in [grpc, proxy.addresses().consumer.expect("a consumer side")] {
        for version in ["HTTP/1.1\r\nhost: b", "HTTP/1.0"] {
            let mut tunnel = world::Client::connect(address).await;
            tunnel.send(format!("CONNECT b:{port} {version}\r\n\r\n")).await;
            assert_eq!(tunnel.head().await.status, 200);
            let tcp = tunnel.into_tcp();
            let mut client = Client::over(tcp, &h2::client::Builder::new()).await;
            for _ in 0..2 {
                let answer = client.request(call(&format!("http://b:{port}/s/m")), "hello").await;
                assert_eq!((answer.text().as_str(), status(&answer)), ("hello", (Some("0"), None)));
            }
        }
        let mut tunnel = world::Client::connect(address).await;
        tunnel.send("CONNECT r:80 HTTP/1.1\r\nhost: r\r\n\r\n").await;
        assert_eq!(tunnel.head().await.status, 200);
        assert_eq!(tunnel.get("/").await.body, "rest", "whichever port it came in at");
        let mut tunnel = world::Client::connect(address).await;
        tunnel.send("CONNECT nobody:80 HTTP/1.1\r\nhost: nobody\r\n\r\n").await;
        assert_eq!(tunnel.answer().await.error(), Some("no_instance"));
    }
}

#[tokio::test]
async fn both_directions_go_on_at_once() {
    let app = App::echo().await;
    let (_provider, instance) = provider(app.address.port());
    let (_consumer, address) = consumer(&[instance]);
    let mut client = Client::connect(address).await;
    let mut stream = client.start(call("http://b/s/bidi"), false).await;
    for round in 0..20 {
        let said = Bytes::from(format!("message {round}"));
        stream.send(said.clone(), false);
        stream.head().await.expect("a head");
        assert_eq!(stream.data().await.expect("the stream is whole"), Some(said));
    }
    stream.send("last", true);
    let answer = stream.answer().await;
    assert_eq!((answer.text().as_str(), status(&answer).0), ("last", Some("0")));
}

#[tokio::test]
async fn long_messages_wait_for_their_reader() {
    const LENGTH: usize = 8 << 20;
    let app = App::echo().await;
    let (_provider, instance) = provider(app.address.port());
    let (_consumer, address) = consumer(&[instance]);
    let mut client = Client::connect(address).await;
    let mut stream = client.start(call("http://b/s/m"), false).await;
    let sent = Bytes::from((0..=255).cycle().take(LENGTH).collect::<Vec<u8>>());
    let upload = stream.send_all(sent.clone());
    let ((), answer) = tokio::join!(upload, stream.answer());
    assert!(answer.body == sent, "{} bytes came back", answer.body.len());
    assert_eq!(status(&answer).0, Some("0"));
}

#[tokio::test]
async fn what_fails_on_the_way_is_told_as_a_status() {
    let app = App::echo().await;
    let (proxy, instance) = provider(app.address.port());
    let (_other, refused) = provider(nobody().port());
    let services = [("b", instance), ("refused", refused), ("gone", nobody())];
    let mut services: Vec<_> =
        services.map(|(name, at)| service_of(Protocol::Grpc, name, &[at])).into();
    services.push(world::service("rest", &[instance]));
    let (_consumer, address) = start(settings("ServiceA"), services);
    let mut client = Client::connect(address).await;
    let own = format!("http://{address}/");
    for (url, code, word) in [
        ("http://b/", "0", None),
        ("http://b:1/", "7", Some("port_denied")),
        ("http://nobody/", "14", Some("no_instance")),
        ("http://rest/", "14", Some("no_instance")),
        ("http://gone/", "14", Some("connect_refused")),
        ("http://refused/", "14", Some("local_refused")),
        ("http://u:p@b/", "3", Some("bad_uri")),
        (&own, "3", Some("bad_uri")),
    ] {
        let answer = client.request(call(url), "hello").await;
        assert_eq!(status(&answer), (Some(code), word), "{url} {answer:?}");
        assert!(code == "0" || answer.header("grpc-message").is_some(), "{answer:?}");
    }
    // What is no call is told in HTTP.
    let answer = client.get("http://nobody/").await;
    assert_eq!((answer.status, answer.header("grpc-status")), (502, None));
    drop(proxy);
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_and_the_instance_hears_of_it() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let app = App::each(move |mut call| {
        let tell = tell.clone();
        async move {
            let left = call.header("grpc-timeout");
            let reset = if call.request.uri().path() == "/s/late" {
                call.is_reset().await
            } else {
                let mut answering = call.begin();
                answering.say("first").await;
                answering.is_reset().await
            };
            let _ = tell.send((left, reset));
        }
    })
    .await;
    let (_provider, instance) = provider(app.address.port());
    let (_consumer, address) = consumer(&[instance]);
    let mut client = Client::connect(address).await;
    for (path, body) in [("/s/late", ""), ("/s/stops", "first")] {
        let request = call(&format!("http://b{path}")).header("grpc-timeout", "300m");
        let answer = client.request(request, "hello").await;
        assert_eq!(status(&answer).0, Some("4"), "{answer:?}");
        assert_eq!(answer.text(), body);
        let heard = timeout(PATIENCE, told.recv()).await.expect("it hears of it");
        assert_eq!(heard, Some((Some("300m".to_owned()), Some(Reason::CANCEL))), "{path}");
    }
}

#[tokio::test]
async fn a_call_without_a_deadline_waits() {
    let app = App::each(|call| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        call.only("0");
    })
    .await;
    let mut settings = settings("ServiceA");
    // What plain requests have must not end it.
    settings.limits.request_timeout = Duration::from_millis(50);
    let (_consumer, address) =
        start(settings, vec![service_of(Protocol::Grpc, "b", &[app.address])]);
    let mut client = Client::connect(address).await;
    let answer = client.request(call("http://b/s/watch"), "hello").await;
    assert_eq!(status(&answer), (Some("0"), None));
    let plain = client.request(Request::post("http://b/"), "hello").await;
    assert_eq!((plain.status, plain.header("x-mesher-error")), (504, Some("timeout")));
}

#[tokio::test]
async fn a_client_that_gives_up_is_given_up_by_all() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let app = App::each(move |mut call| {
        let tell = tell.clone();
        async move {
            if call.request.uri().path() == "/s/begun" {
                let mut answering = call.begin();
                answering.say("first").await;
                let _ = tell.send(None);
                let _ = tell.send(answering.is_reset().await);
            } else {
                let _ = tell.send(None);
                let _ = tell.send(call.is_reset().await);
            }
        }
    })
    .await;
    let (_provider, instance) = provider(app.address.port());
    let (_consumer, address) = consumer(&[instance]);
    let mut client = Client::connect(address).await;
    for (path, alone) in [("/s/begun", false), ("/s/waits", false), ("/s/waits", true)] {
        let mut stream: Stream = client.start(call(&format!("http://b{path}")), alone).await;
        if !alone {
            stream.send("hello", false);
        }
        assert_eq!(told.recv().await, Some(None), "{path} is under way");
        if path == "/s/begun" {
            stream.head().await.expect("a head");
        }
        drop(stream);
        let heard = timeout(PATIENCE, told.recv()).await.expect("the instance hears of it");
        assert_eq!(heard, Some(Some(Reason::CANCEL)), "{path} {alone}");
    }
}

#[tokio::test]
async fn a_reset_by_the_instance_is_told_as_what_it_is() {
    let app = App::each(|call| async move {
        match call.request.uri().path() {
            "/s/cancel" => call.reset(Reason::CANCEL),
            "/s/calm" => call.reset(Reason::ENHANCE_YOUR_CALM),
            "/s/internal" => call.reset(Reason::INTERNAL_ERROR),
            _ => {
                let mut answering = call.begin();
                answering.say("first").await;
                // Once it was read.
                answering.next().await;
                answering.reset(Reason::CANCEL);
            }
        }
    })
    .await;
    let (_consumer, address) = consumer(&[app.address]);
    let mut client = Client::connect(address).await;
    for (path, code) in [("/s/cancel", "1"), ("/s/calm", "8"), ("/s/internal", "13")] {
        let answer = client.request(call(&format!("http://b{path}")), "hello").await;
        assert_eq!(status(&answer), (Some(code), Some("upstream_reset")), "{path}");
    }
    let mut begun = client.start(call("http://b/s/begun"), false).await;
    begun.head().await.expect("a head");
    assert_eq!(begun.data().await.expect("a message"), Some(Bytes::from("first")));
    begun.send("go on", false);
    let error = begun.data().await.expect_err("it is reset");
    assert_eq!(error.reason(), Some(Reason::CANCEL));
}

#[tokio::test]
async fn the_breaker_looks_at_trailers() {
    let app = App::each(|call| async move {
        let status = call.header("x-status").unwrap_or_default();
        let mut answering = call.begin();
        answering.say("hello").await;
        answering.end(&status);
    })
    .await;
    let (service, instance) = (BreakerScope::Service, BreakerScope::Instance);
    for (code, scope, opens) in [
        ("5", service, false),
        ("14", service, true),
        ("5", instance, false),
        ("14", instance, true),
    ] {
        let mut settings = settings("ServiceA");
        let terms = BreakerTerms { scope, enabled: true, volume: 10, ..BreakerTerms::default() };
        settings.governance.consumer.breaker = terms;
        let (_consumer, address) =
            start(settings, vec![service_of(Protocol::Grpc, "b", &[app.address])]);
        let mut client = Client::connect(address).await;
        for _ in 0..10 {
            let request = call("http://b/s/m").header("x-status", code);
            assert_eq!(status(&client.request(request, "").await), (Some(code), None));
        }
        let answer = client.request(call("http://b/s/m").header("x-status", "0"), "").await;
        let expected = if opens { (Some("14"), Some("circuit_open")) } else { (Some("0"), None) };
        assert_eq!(status(&answer), expected, "after ten times {code}");
    }
}

#[tokio::test]
async fn http1_reaches_an_endpoint_of_http2() {
    let app = App::echo().await;
    let (_consumer, address) = consumer(&[app.address]);
    let mut client = world::Client::connect(address).await;
    for _ in 0..3 {
        let answer = client.request("POST", "http://b/x", "", "hello").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "hello"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_call_goes_out_to_where_no_service_is() {
    let app = App::echo().await;
    let (_consumer, address) = consumer(&[]);
    let mut client = Client::connect(address).await;
    let answer = client.request(call(&format!("http://{}/s/m", app.address)), "hello").await;
    assert_eq!((status(&answer).0, answer.text().as_str()), (Some("0"), "hello"));
}
