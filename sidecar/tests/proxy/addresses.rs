//! IPv4, IPv6, both; beside one application, and for all of a host.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use discovery::Fixed;
use sidecar::Proxy;
use sidecar::settings::{Mode, Settings};
use tokio::net::TcpStream;

use crate::app::App;
use crate::world::{Client, nobody, provider_settings, service, settings, start};

const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Settings of a proxy that listens at `address` only.
fn at(address: &str, mode: Mode) -> Settings {
    let mut settings = Settings { mode, ..settings("ServiceA") };
    settings.listeners.http = Some(address.parse().expect("an address"));
    settings
}

#[tokio::test]
async fn an_application_an_instance_and_a_url_of_ipv6() {
    let app = App::at(V6, |mut peer, _| async move {
        while let Some(request) = peer.request().await {
            peer.answer(&request).await;
        }
    })
    .await;
    let settings = Settings { mode: Mode::Sidecar, ..at("[::1]:0", Mode::Sidecar) };
    let source = Arc::new(Fixed::new([service("ServiceB", &[app.address])]));
    let (_proxy, address) = start(settings, source);
    assert!(address.is_ipv6());
    let mut client = Client::connect(address).await;
    for url in ["http://ServiceB/".to_owned(), format!("http://{}/", app.address)] {
        let answer = client.get(&url).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let mut client = Client::connect(address).await;
    client.send(format!("CONNECT {0} HTTP/1.1\r\nhost: {0}\r\n\r\n", app.address)).await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.get("/").await.status, 200);
    let answer = Client::connect(address).await.get(&format!("http://{address}/")).await;
    assert_eq!((answer.status, answer.error()), (400, Some("bad_uri")), "it is ourselves");
}

#[tokio::test]
async fn a_pod_of_both_families_is_reached_by_both() {
    let app = App::saying("b").await;
    let mut settings = provider_settings("ServiceB", app.address.port());
    settings.listeners.addresses.push(V6);
    let proxy = Proxy::start(settings, Arc::new(Fixed::new([]))).expect("a proxy");
    let provider = proxy.addresses().provider.clone();
    assert_eq!(provider.iter().map(SocketAddr::is_ipv6).collect::<Vec<_>>(), [false, true]);
    for address in provider {
        assert_eq!(Client::connect(address).await.get("/").await.body, "b", "{address}");
    }
    let admin = &proxy.addresses().admin;
    assert!(admin.iter().any(SocketAddr::is_ipv6), "{admin:?}");
    for address in admin {
        assert_eq!(Client::connect(*address).await.get("/healthz").await.status, 200, "{address}");
    }
}

#[tokio::test]
async fn an_application_that_listens_on_the_pods_address_alone() {
    let app = App::at(V6, |mut peer, _| async move {
        while peer.request().await.is_some() {
            peer.answer("v6").await;
        }
    })
    .await;
    let mut settings = provider_settings("ServiceB", app.address.port());
    settings.listeners.addresses = vec![V6];
    let proxy = Proxy::start(settings, Arc::new(Fixed::new([]))).expect("a proxy");
    let answer = Client::connect(proxy.addresses().provider[0]).await.get("/").await;
    assert_eq!(answer.body, "v6", "{answer:?}");
}

#[tokio::test]
async fn one_listener_for_a_whole_host() {
    let app = App::saying("b").await;
    for (listen, reached) in
        [("0.0.0.0:0", vec!["127.0.0.1", "127.0.0.5"]), ("[::]:0", vec!["127.0.0.1", "[::1]"])]
    {
        let mut settings = at(listen, Mode::PerHost);
        // What a pod would have does not make it a provider.
        settings.listeners.addresses = vec![IpAddr::from([127, 0, 0, 2])];
        let source = Arc::new(Fixed::new([service("ServiceB", &[app.address])]));
        let (proxy, address) = start(settings, source);
        assert!(proxy.addresses().provider.is_empty(), "{:?}", proxy.addresses());
        let port = address.port();
        for host in reached {
            let here = format!("{host}:{port}").parse().expect("an address");
            let answer = Client::connect(here).await.get("http://ServiceB/").await;
            assert_eq!(answer.body, "b", "{listen} by {here}");
            // Whichever of its addresses is meant, it is itself.
            let mut client = Client::connect(here).await;
            client.send(format!("CONNECT {here} HTTP/1.1\r\nhost: {here}\r\n\r\n")).await;
            let answer = client.answer().await;
            assert_eq!((answer.status, answer.error()), (508, Some("loop")), "{here} {answer:?}");
        }
    }
}

#[tokio::test]
async fn an_address_of_ipv6_leaves_that_of_ipv4_to_others() {
    let free = nobody().port();
    let settings = at(&format!("[::1]:{free}"), Mode::Sidecar);
    let (_proxy, address) = start(settings, Arc::new(Fixed::new([])));
    assert_eq!(address.port(), free);
    let other = SocketAddr::from(([127, 0, 0, 1], free));
    assert!(TcpStream::connect(other).await.is_err(), "nobody listens there");
}
