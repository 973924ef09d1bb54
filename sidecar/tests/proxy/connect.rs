//! CONNECT: to services, and out of the mesh.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use discovery::Fixed;
use hyper::{Request, Version};
use mesh::{Passthrough, Service};
use sidecar::Proxy;
use sidecar::settings::Settings;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::app::App;
use crate::h2_client;
use crate::world::{
    Client, PATIENCE, consumer, mesh_of_two, nobody, provider_settings, service, settings, start,
};

/// What TLS begins with, and then no more of it.
const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on";

/// A tunnel to `to`; the answer to its CONNECT has been read.
async fn tunnel(proxy: SocketAddr, to: &str) -> Client {
    let mut client = Client::connect(proxy).await;
    client.send(format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n\r\n")).await;
    let answer = client.head().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for line in ["content-length", "transfer-encoding", "connection"] {
        assert_eq!(answer.header(line), None, "{answer:?}");
    }
    client
}

/// A service whose one instance speaks TLS itself.
fn tls_service(name: &str, address: SocketAddr) -> Service {
    let plain = service(name, &[address]);
    let mut instances: Vec<_> = plain.instances().iter().map(|i| (**i).clone()).collect();
    instances[0].endpoints[0].tls = true;
    Service::new(plain.key.clone(), instances)
}

#[tokio::test]
async fn requests_in_a_tunnel_to_a_service_are_requests_to_it() {
    let (one, two) = (App::echo().await, App::echo().await);
    let other = App::saying("other").await;
    let services =
        [service("ServiceB", &[one.address, two.address]), service("Other", &[other.address])];
    let (_proxy, address) = consumer(services);
    let mut client = tunnel(address, "ServiceB:8080").await;
    for host in ["ServiceB:8080", "Other", "www.example.com"] {
        let line = format!("GET /x HTTP/1.1\r\nhost: {host}\r\n\r\n");
        client.send(line).await;
        let asked = client.answer().await.body;
        for line in [
            "GET /x HTTP/1.1\r\n".to_owned(),
            format!("host: {host}\r\n"),
            "x-forwarded-port: 8080\r\n".to_owned(),
            "x-cse-src-microservice: ServiceA\r\n".to_owned(),
        ] {
            assert!(asked.contains(&line), "{line:?} is not in {asked}");
        }
    }
    assert_eq!((one.connections(), two.connections()), (1, 1), "instances take turns");
    let answer = client.request("GET", "http://Other/y", "", "").await;
    assert!(answer.body.starts_with("GET /y HTTP/1.1\r\nhost: Other\r\n"), "{answer:?}");
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn the_port_that_every_connect_names_is_none_when_the_url_had_none() {
    let app = App::echo().await;
    let (_proxy, address) = consumer([service("ServiceB", &[app.address])]);
    for (port, host, forwarded) in [
        (80, "ServiceB", None),
        (80, "ServiceB:80", Some("x-forwarded-port: 80\r\n")),
        (81, "ServiceB", Some("x-forwarded-port: 81\r\n")),
    ] {
        let mut client = tunnel(address, &format!("ServiceB:{port}")).await;
        client.send(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        let asked = client.answer().await.body;
        assert_eq!(asked.contains("x-forwarded-port"), forwarded.is_some(), "{port} {asked}");
        assert!(asked.contains(forwarded.unwrap_or_default()), "{port} {asked}");
    }
}

#[tokio::test]
async fn old_clients_and_hasty_ones() {
    let app = App::saying("b").await;
    let (_proxy, address) = consumer([service("ServiceB", &[app.address])]);
    let get = "GET / HTTP/1.1\r\nhost: ServiceB\r\n\r\n";
    for (connect, version) in [
        ("CONNECT ServiceB:80 HTTP/1.0\r\n\r\n", "HTTP/1.0 200 "),
        ("CONNECT ServiceB:80 HTTP/1.1\r\n\r\n", "HTTP/1.1 200 "),
        (
            "CONNECT ServiceB:80 HTTP/1.1\r\nhost: ServiceB:80\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 200 ",
        ),
    ] {
        // They do not wait for the answer.
        let mut client = Client::connect(address).await;
        client.send(format!("{connect}{get}")).await;
        let head = client.head().await.head;
        assert!(head.starts_with(version), "{head}");
        assert_eq!(client.answer().await.body, "b");
        client.send(get).await;
        assert_eq!(client.answer().await.body, "b");
    }
}

#[tokio::test]
async fn curl_by_way_of_a_tunnel() {
    let app = App::echo().await;
    let (_provider, _consumer, address) = mesh_of_two(app.address.port());
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "-p", "-x", &format!("http://{address}"), "--max-time", "20"]);
    for url in [format!("http://ServiceB:{}/one", app.address.port()), "http://ServiceB/two".into()]
    {
        curl.arg(url);
    }
    curl.env_clear().stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || curl.output()).await.expect("it ran");
    let output = match output {
        Ok(output) => output,
        Err(error) => return testbed::skip(&format!("curl cannot be run: {error}")),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("GET /one HTTP/1.1") && text.contains("GET /two HTTP/1.1"), "{text}");
}

#[tokio::test]
async fn what_is_no_http_passes_as_it_is_to_the_outside() {
    let app = App::each(|mut peer, _| async move {
        let heard = peer.rest().await;
        peer.send(heard).await;
    })
    .await;
    let (_proxy, address) = consumer([]);
    for said in [HELLO, b"\0", b"QUIT\r\n", b"SSH-2.0-x y\r\n", b"PRI * HTTP/2"] {
        let mut client = tunnel(address, &app.address.to_string()).await;
        client.send(said).await;
        client.end().await;
        assert_eq!(client.rest().await, said);
    }
}

#[tokio::test]
async fn who_says_nothing_hears_what_the_other_side_says() {
    let app = App::each(|mut peer, _| async move {
        peer.send("220 mail\r\n").await;
        assert_eq!(peer.rest().await, b"QUIT\r\n");
    })
    .await;
    let (_proxy, address) = consumer([]);
    let mut client = tunnel(address, &app.address.to_string()).await;
    assert_eq!(client.until(b"\r\n").await, b"220 mail\r\n");
    client.send("QUIT\r\n").await;
    client.end().await;
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn requests_in_a_tunnel_to_the_outside_are_requests_too() {
    let app = App::echo().await;
    let (_proxy, address) = consumer([]);
    let mut client = tunnel(address, &app.address.to_string()).await;
    for _ in 0..3 {
        let lines = "proxy-authorization: Basic eDp5\r\n";
        let answer = client.request("POST", "/", lines, "body").await;
        assert!(answer.body.ends_with("\r\n\r\nbody"), "{answer:?}");
        assert!(!answer.body.contains("proxy-authorization"), "{answer:?}");
    }
    assert_eq!(app.connections(), 1, "the first one serves");
}

#[tokio::test]
async fn tls_goes_to_an_instance_that_speaks_it_and_to_no_other() {
    let app = App::each(|mut peer, _| async move {
        let heard = peer.rest().await;
        peer.send(heard).await;
    })
    .await;
    let (_proxy, address) =
        consumer([service("Plain", &[app.address]), tls_service("Secure", app.address)]);
    let mut client = tunnel(address, "Plain:443").await;
    client.send(HELLO).await;
    client.is_reset().await;
    assert_eq!(app.connections(), 0, "it would not understand a word");

    let mut client = tunnel(address, "Secure:443").await;
    client.send(HELLO).await;
    client.end().await;
    assert_eq!(client.rest().await, HELLO);
}

#[tokio::test]
async fn what_cannot_be_connected_to() {
    let (app, gone) = (App::saying("outside").await, nobody());
    let (_proxy, address) = consumer([service("Empty", &[]), service("ServiceB", &[app.address])]);
    for (to, lines, status, error) in [
        ("Empty:80", "", 502, "no_instance"),
        ("Nobody:80", "", 502, "no_instance"),
        (&gone.to_string(), "", 502, "connect_refused"),
        (&address.to_string(), "", 508, "loop"),
        ("ServiceB", "", 400, "bad_uri"),
        ("ServiceB:0", "", 400, "bad_uri"),
        ("u@ServiceB:80", "", 400, "bad_uri"),
        ("http://ServiceB:80/", "", 400, "bad_uri"),
        ("ServiceB:80", "content-length: 3\r\n", 400, "bad_uri"),
        ("ServiceB:80", "transfer-encoding: chunked\r\n", 400, "bad_uri"),
    ] {
        let mut client = Client::connect(address).await;
        client.send(format!("CONNECT {to} HTTP/1.1\r\nhost: x\r\n{lines}\r\n")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.error()), (status, Some(error)), "{to} {answer:?}");
    }
    let mut client = tunnel(address, "ServiceB:80").await;
    assert_eq!(client.request("GET", "/", "", "").await.status, 200);
    client.send("CONNECT ServiceB:80 HTTP/1.1\r\nhost: ServiceB:80\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 405, "an instance is no proxy");
}

#[tokio::test]
async fn what_is_let_out_is_a_policy() {
    let app = App::saying("outside").await;
    let port = app.address.port();
    for (passthrough, host, status) in [
        (Passthrough::External, "127.0.0.1", 200),
        (Passthrough::External, "localhost", 502),
        (Passthrough::All, "localhost", 200),
        (Passthrough::None, "127.0.0.1", 403),
    ] {
        let settings = Settings { passthrough, ..settings("ServiceA") };
        let (_proxy, address) = start(settings, Arc::new(Fixed::new([])));
        let mut client = Client::connect(address).await;
        client.send(format!("CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert_eq!(client.head().await.status, status, "{passthrough:?} {host}");
    }
}

#[tokio::test]
async fn no_name_leads_back() {
    let settings = Settings { passthrough: Passthrough::All, ..settings("ServiceA") };
    let (proxy, address) = start(settings, Arc::new(Fixed::new([])));
    let admin = proxy.addresses().admin[0];
    for to in [
        address.to_string(),
        format!("localhost:{}", address.port()),
        format!("[::ffff:127.0.0.1]:{}", address.port()),
        admin.to_string(),
    ] {
        let mut client = Client::connect(address).await;
        client.send(format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n\r\n")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.error()), (508, Some("loop")), "{to} {answer:?}");
    }
}

#[tokio::test]
async fn a_tunnel_to_a_service_may_be_silent_like_any_connection() {
    let app = App::saying("b").await;
    let (proxy, address) = consumer([service("ServiceB", &[app.address])]);
    let mut client = tunnel(address, "ServiceB:80").await;
    let mut silent = tunnel(address, "ServiceB:80").await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    client.send("GET / HTTP/1.1\r\nhost: ServiceB\r\n\r\n").await;
    assert_eq!(client.answer().await.body, "b");
    let ended = tokio::spawn(proxy.shutdown());
    assert!(client.rest().await.is_empty(), "and it ends like one");
    silent.is_reset().await;
    timeout(PATIENCE, ended).await.expect("it ends").expect("without a panic");
}

#[tokio::test]
async fn http2_in_a_tunnel_and_no_tunnel_in_http2() {
    let app = App::echo().await;
    let (_proxy, address) = consumer([service("ServiceB", &[app.address])]);
    let tcp = tunnel(address, "ServiceB:8080").await.into_tcp();
    let mut client = h2_client::Client::over(tcp, &h2::client::Builder::new()).await;
    for authority in ["ServiceB:8080", "elsewhere"] {
        let request = Request::post(format!("http://{authority}/x")).version(Version::HTTP_2);
        let answer = client.request(request, "body").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let asked = answer.text();
        for line in [&format!("host: {authority}\r\n"), "x-forwarded-port: 8080\r\n"] {
            assert!(asked.contains(line), "{line:?} is not in {asked}");
        }
    }
    let mut client = h2_client::Client::connect(address).await;
    let connect = || Request::connect("ServiceB:80").version(Version::HTTP_2);
    let answer = client.request(connect(), "").await;
    assert_eq!((answer.status, answer.header("x-mesher-error")), (405, Some("bad_uri")));
    let request = Request::get("http://ServiceB/").version(Version::HTTP_2);
    assert_eq!(client.request(request, "").await.status, 200, "the others go on");
}

#[tokio::test]
async fn an_upgrade_in_a_tunnel() {
    let app = App::each(|mut peer, _| async move {
        peer.head().await;
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n",
        )
        .await;
        peer.echo(5).await;
    })
    .await;
    let settings = provider_settings("ServiceB", app.address.port());
    let provider = Proxy::start(settings, Arc::new(Fixed::new([]))).expect("a provider");
    let (_consumer, address) = consumer([service("ServiceB", &[provider.addresses().provider[0]])]);
    let mut client = tunnel(address, "ServiceB:80").await;
    let ask = "GET / HTTP/1.1\r\nhost: ServiceB\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    client.send(format!("{ask}hello")).await;
    assert_eq!(client.head().await.status, 101);
    assert_eq!(client.rest().await, b"hello");
    assert!(TcpStream::connect(address).await.is_ok());
}
