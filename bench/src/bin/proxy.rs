//! `mesher`'s data path without a registry: one worker, one service, its instances given.
//!
//! `proxy PORT INSTANCE...`; the service is called `ServiceB`.

use std::env;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::{Context, Result};
use discovery::Fixed;
use mesh::{Endpoint, Instance, InstanceId, Protocol, Service, ServiceKey, Status, Tags};
use sidecar::Proxy;
use sidecar::settings::Settings;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let port: u16 = arguments.next().context("usage: proxy PORT INSTANCE...")?.parse()?;
    let instances = arguments.map(|address| instance(&address)).collect::<Result<Vec<_>>>()?;
    let mut settings = Settings::default();
    settings.listeners.http = Some(SocketAddr::from(([127, 0, 0, 1], port)));
    settings.listeners.grpc = None;
    settings.listeners.admin_port = 0;
    settings.workers = NonZeroUsize::new(1);
    let service = Service::new(ServiceKey::new("default", "ServiceB"), instances);
    let proxy = Proxy::start(settings, Arc::new(Fixed::new([service])))?;
    proxy.until_signalled().await?;
    Ok(())
}

fn instance(address: &str) -> Result<Instance> {
    let endpoint = Endpoint {
        protocol: Protocol::Rest,
        address: address.parse()?,
        tls: false,
        service_port: None,
    };
    Ok(Instance {
        id: InstanceId(address.into()),
        version: "1.0.0".parse().map_err(anyhow::Error::msg)?,
        status: Status::Up,
        endpoints: vec![endpoint],
        tags: Tags::new(),
    })
}
