//! What goes on inside of sessions: gRPC, upgrades and tunnels, with TLS on each of their ways.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use discovery::Fixed;
use hyper::Request;
use mesh::{Endpoint, Instance, InstanceId, Protocol, Service, ServiceKey, Status, Tags};
use sidecar::Proxy;
use sidecar::settings::ServicePort;

use super::authority::{Authority, Dialer, Mount};
use super::{VERSIONS, metric};
use crate::app::App;
use crate::world::{provider_settings, settings};
use crate::{h2_app, h2_client};

const FREE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A proxy before an application and one of its clients, each with TLS on all listeners, and each
/// has to prove to the other who it is.
struct Mesh {
    consumer: Proxy,
    provider: Proxy,
    authority: Authority,
    _mount: Mount,
}

impl Mesh {
    fn start(rest: u16, grpc: u16) -> Self {
        let authority = Authority::new();
        let names = ["ServiceA", "ServiceB", "localhost"];
        let mount = Mount::new(&authority, &authority.issue(&names));
        let mut settings_b = provider_settings("ServiceB", rest);
        settings_b.local.service.push(ServicePort {
            protocol: Protocol::Grpc,
            name: "grpc".to_owned(),
            port: grpc,
        });
        settings_b.listeners.grpc = Some(FREE);
        settings_b.tls.insert("ServiceB.rest.Provider".to_owned(), mount.mutual());
        let provider = Proxy::start(settings_b, Arc::new(Fixed::new([]))).expect("a provider");

        let reached = provider.addresses();
        let endpoint =
            |protocol, address| Endpoint { protocol, address, tls: true, service_port: None };
        let instance = Instance {
            id: InstanceId("one".into()),
            version: "1.0.0".parse().expect("a version"),
            status: Status::Up,
            endpoints: vec![
                endpoint(Protocol::Rest, reached.provider[0]),
                endpoint(Protocol::Grpc, reached.provider_grpc[0]),
            ],
            tags: Tags::new(),
        };
        let service = Service::new(ServiceKey::new("default", "ServiceB"), [instance]);
        let mut settings_a = settings("ServiceA");
        settings_a.listeners.grpc = Some(FREE);
        settings_a.tls.insert("mesher.Provider".to_owned(), mount.shown());
        settings_a.tls.insert("rest.Consumer".to_owned(), mount.mutual());
        let source = Arc::new(Fixed::new([service]));
        let consumer = Proxy::start(settings_a, source).expect("a consumer");
        Self { consumer, provider, authority, _mount: mount }
    }

    /// How its own application makes its sessions, to speak one of these.
    fn dialer(&self, protocols: &[&str]) -> Dialer {
        let mut dialer = Dialer::new(&self.authority, &VERSIONS);
        dialer.0.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        dialer
    }

    fn http(&self) -> SocketAddr {
        self.consumer.addresses().consumer.expect("a consumer side")
    }
}

#[tokio::test]
async fn a_stream_of_grpc_goes_both_ways() {
    let app = h2_app::App::echo().await;
    let mesh = Mesh::start(1, app.address.port());
    let grpc = mesh.consumer.addresses().consumer_grpc.expect("a consumer side");
    let session = mesh.dialer(&["h2"]).dial(grpc, "localhost").await.expect("a session");
    let builder = h2::client::Builder::new();
    let mut client = h2_client::Client::over(session.into_tcp(), &builder).await;
    for scheme in ["https", "http"] {
        let url = format!("{scheme}://ServiceB/s/bidi");
        let request = Request::post(url).header("content-type", "application/grpc");
        let mut stream = client.start(request.header("te", "trailers"), false).await;
        for round in 0..20 {
            let said = Bytes::from(format!("message {round}"));
            stream.send(said.clone(), false);
            stream.head().await.expect("a head");
            assert_eq!(stream.data().await.expect("the stream is whole"), Some(said));
        }
        stream.send("last", true);
        let answer = stream.answer().await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "last"));
        assert_eq!(answer.trailers["grpc-status"], "0", "{answer:?}");
    }
    let made = "mesher_tls_handshakes_total{side=\"client\",result=\"ok\"}";
    assert_eq!(metric(&mesh.consumer, made).await, Some(1.0), "the calls share a connection");
    let made = "mesher_tls_handshakes_total{side=\"server\",result=\"ok\"}";
    assert_eq!(metric(&mesh.provider, made).await, Some(1.0));
}

#[tokio::test]
async fn an_upgraded_connection_whose_sides_end_alone() {
    let app = App::each(|mut peer, _| async move {
        peer.head().await;
        let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n";
        peer.send(format!("{head}\r\nhello")).await;
        let heard = peer.rest().await;
        peer.send(format!("heard {}", String::from_utf8_lossy(&heard))).await;
    })
    .await;
    let mesh = Mesh::start(app.address.port(), 1);
    let dialer = mesh.dialer(&["http/1.1"]);
    let mut client = dialer.dial(mesh.http(), "localhost").await.expect("a session");
    let head = "GET http://ServiceB/chat HTTP/1.1\r\nhost: ServiceB\r\n";
    client.send(format!("{head}connection: upgrade\r\nupgrade: echo/1\r\n\r\nearly")).await;
    let answer = client.head().await;
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(client.exactly(5).await, b"hello");
    let much = "x".repeat(300_000);
    client.send(&much).await;
    client.end().await;
    assert_eq!(client.rest().await, format!("heard early{much}").into_bytes());
}

#[tokio::test]
async fn requests_in_a_tunnel_in_a_session() {
    let app = App::echo().await;
    let mesh = Mesh::start(app.address.port(), 1);
    let port = app.address.port();
    let dialer = mesh.dialer(&["http/1.1"]);
    let mut client = dialer.dial(mesh.http(), "localhost").await.expect("a session");
    client.send(format!("CONNECT ServiceB:{port} HTTP/1.1\r\nhost: ServiceB\r\n\r\n")).await;
    assert_eq!(client.head().await.status, 200);
    for path in ["/one", "/two"] {
        client.send(format!("GET {path} HTTP/1.1\r\nhost: ServiceB\r\n\r\n")).await;
        let answer = client.answer().await;
        assert!(answer.body.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{answer:?}");
    }
}
