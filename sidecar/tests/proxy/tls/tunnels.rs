//! Tunnels, where what they lead through or to is TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use discovery::Fixed;
use rustls::pki_types::ServerName;
use sidecar::Proxy;
use sidecar::settings::Tls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::authority::{Authority, Dialer, Mount};
use super::{VERSIONS, provider, secured_service};
use crate::app::App;
use crate::world::{Client, settings, start};

const UPGRADE: &str =
    "GET /chat HTTP/1.1\r\nhost: ServiceB\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

/// Switches, then says what it was told.
async fn switching() -> App {
    App::each(|mut peer, _| async move {
        let asked = peer.head().await.unwrap_or_default();
        assert!(asked.contains("upgrade: echo\r\n"), "{asked}");
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n",
        )
        .await;
        let heard = peer.rest().await;
        peer.send(heard).await;
    })
    .await
}

/// A proxy with TLS for its own application too, which calls `ServiceB` at `instance`.
fn consumer(instance: SocketAddr, own: Tls, others: Tls) -> (Proxy, SocketAddr) {
    let mut settings = settings("ServiceA");
    let tags = [("mesher.Provider", own), ("ServiceB.rest.Consumer", others)];
    settings.tls = tags.into_iter().map(|(tag, tls)| (tag.to_owned(), tls)).collect();
    start(settings, Arc::new(Fixed::new([secured_service("ServiceB", &[instance])])))
}

/// Asks for the switch, says much, and hears all of it once it has said that this was all.
async fn says_and_hears(mut client: Client<impl AsyncRead + AsyncWrite + Unpin>) {
    client.send(UPGRADE).await;
    assert_eq!(client.head().await.status, 101);
    let said: Vec<u8> = (0..=250).cycle().take(3 << 20).collect();
    client.send(&said).await;
    client.end().await;
    let heard = client.rest().await;
    assert!(heard == said, "{} of {} bytes", heard.len(), said.len());
}

#[tokio::test]
async fn an_upgrade_through_sessions_on_every_hop() {
    let authority = Authority::new();
    let mount = Mount::new(&authority, &authority.issue(&["ServiceB", "localhost"]));
    let app = switching().await;
    let provider = provider(app.address.port(), mount.mutual());
    let address = provider.addresses().provider[0];
    let (_proxy, consumer) = consumer(address, mount.shown(), mount.mutual());
    for versions in [&VERSIONS[..1], &VERSIONS[1..]] {
        let dialer = Dialer::new(&authority, versions);
        says_and_hears(dialer.dial(consumer, "localhost").await.expect("a session")).await;

        // And by way of a CONNECT.
        let mut client = dialer.dial(consumer, "localhost").await.expect("a session");
        client.send("CONNECT ServiceB:80 HTTP/1.1\r\nhost: ServiceB:80\r\n\r\n").await;
        assert_eq!(client.head().await.status, 200);
        says_and_hears(client).await;
    }
}

#[tokio::test]
async fn a_session_of_the_clients_own_with_an_instance() {
    let authority = Authority::new();
    let mount = Mount::new(&authority, &authority.issue(&["ServiceB"]));
    let app = App::echo().await;
    let provider = provider(app.address.port(), mount.shown());
    let instance = provider.addresses().provider[0];
    // The proxy between them trusts nobody, and need not.
    let source = Arc::new(Fixed::new([secured_service("ServiceB", &[instance])]));
    let (_proxy, consumer) = start(settings("ServiceA"), source);
    let mut client = Client::connect(consumer).await;
    client.send("CONNECT ServiceB:443 HTTP/1.1\r\nhost: ServiceB:443\r\n\r\n").await;
    assert_eq!(client.head().await.status, 200);
    let connector = TlsConnector::from(Arc::new(Dialer::new(&authority, &VERSIONS).0));
    let name = ServerName::try_from("ServiceB").expect("a name");
    let session = connector.connect(name, client.into_tcp()).await.expect("a session");
    let mut client = Client::over(session);
    let answer = client.request("POST", "/x", "", "body").await;
    assert!(answer.body.starts_with("POST /x HTTP/1.1\r\n"), "{answer:?}");
    assert!(answer.body.ends_with("body"), "{answer:?}");
}
