//! TLS: on the listeners, to instances, and while its files change.

mod authority;
mod inside;
mod listeners;
mod reload;
mod tunnels;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use discovery::Fixed;
use mesh::{Endpoint, Instance, InstanceId, Protocol, Service, ServiceKey, Status, Tags};
use sidecar::Proxy;
use sidecar::settings::{Settings, Tls};
use tokio::time::{sleep, timeout};

use crate::world::{Client, PATIENCE, provider_settings};

/// Both versions, the newest first.
const VERSIONS: [&rustls::SupportedProtocolVersion; 2] =
    [&rustls::version::TLS13, &rustls::version::TLS12];

/// A proxy before an application on `port` whose provider side is made with `tls`.
fn provider(port: u16, tls: Tls) -> Proxy {
    provider_with(port, [("ServiceB.rest.Provider", tls)], |_| {})
}

fn provider_with<const N: usize>(
    port: u16,
    tags: [(&str, Tls); N],
    change: impl FnOnce(&mut Settings),
) -> Proxy {
    let mut settings = provider_settings("ServiceB", port);
    settings.tls = tags.into_iter().map(|(tag, tls)| (tag.to_owned(), tls)).collect();
    change(&mut settings);
    Proxy::start(settings, Arc::new(Fixed::new([]))).expect("a proxy")
}

/// A service whose instances want TLS.
fn secured_service(name: &str, addresses: &[SocketAddr]) -> Service {
    let instances = addresses.iter().map(|address| Instance {
        id: InstanceId(address.to_string().into()),
        version: "1.0.0".parse().expect("a version"),
        status: Status::Up,
        endpoints: vec![Endpoint {
            protocol: Protocol::Rest,
            address: *address,
            tls: true,
            service_port: None,
        }],
        tags: Tags::new(),
    });
    Service::new(ServiceKey::new("default", name), instances)
}

/// The number that `/metrics` has on the line that begins with `line`.
async fn metric(proxy: &Proxy, line: &str) -> Option<f64> {
    let mut admin = Client::connect(proxy.addresses().admin[0]).await;
    let text = admin.get("/metrics").await.body;
    let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok())
}

/// Waits until a metric has a value.
async fn metric_becomes(proxy: &Proxy, line: &str, wanted: f64) {
    let becomes = async {
        while metric(proxy, line).await != Some(wanted) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = timeout(PATIENCE, becomes).await;
    assert!(waited.is_ok(), "{line} is {:?}, never {wanted}", metric(proxy, line).await);
}
