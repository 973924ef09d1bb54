//! Where a proxy listens, and how that is opened.

use std::net::{SocketAddr, TcpListener};

use mesh::Protocol;

use super::{Port, Side, bind};
use crate::error::Error;
use crate::settings::Settings;

/// Where a proxy listens; with port 0 in the settings, the system chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// For the application, HTTP.
    pub consumer: Option<SocketAddr>,
    /// For the application, gRPC.
    pub consumer_grpc: Option<SocketAddr>,
    /// For others, HTTP; one for each address of the pod.
    pub provider: Vec<SocketAddr>,
    /// For others, gRPC.
    pub provider_grpc: Vec<SocketAddr>,
    /// Health, metrics and drain; loopback first.
    pub admin: Vec<SocketAddr>,
    /// Profiles, where they are served.
    pub profiles: Option<SocketAddr>,
}

impl Addresses {
    /// All of them.
    pub(crate) fn all(&self) -> Vec<SocketAddr> {
        let consumers = self.consumer.iter().chain(&self.consumer_grpc);
        let providers = self.provider.iter().chain(&self.provider_grpc);
        let others = self.admin.iter().chain(&self.profiles);
        consumers.chain(providers).chain(others).copied().collect()
    }

    /// Whether what comes in there is for the application.
    pub(crate) fn is_provider(&self, address: &SocketAddr) -> bool {
        self.provider.contains(address) || self.provider_grpc.contains(address)
    }
}

/// Opens all listeners, or none.
pub(crate) fn listen(settings: &Settings) -> Result<(Addresses, Vec<(TcpListener, Port)>), Error> {
    let mut addresses = Addresses::default();
    let mut listeners = Vec::new();
    let mut open = |address: SocketAddr, side: Side, protocol, what| {
        let listener = bind(address, what)?;
        let address = listener.local_addr().unwrap_or(address);
        let tls = settings.tls_for(side.tls()).is_some();
        listeners.push((listener, Port { side, protocol, address, tls }));
        Ok::<_, Error>(address)
    };
    let asked = &settings.listeners;
    if let Some(address) = asked.http {
        let address = open(address, Side::Consumer, Protocol::Rest, "the application (HTTP)")?;
        addresses.consumer = Some(address);
    }
    for address in settings.provider_addresses() {
        let address = open(address, Side::Provider, Protocol::Rest, "other proxies (HTTP)")?;
        addresses.provider.push(address);
    }
    if let Some(address) = asked.grpc {
        let address = open(address, Side::Consumer, Protocol::Grpc, "the application (gRPC)")?;
        addresses.consumer_grpc = Some(address);
    }
    for address in settings.grpc_provider_addresses() {
        let address = open(address, Side::Provider, Protocol::Grpc, "other proxies (gRPC)")?;
        addresses.provider_grpc.push(address);
    }
    Ok((addresses, listeners))
}
