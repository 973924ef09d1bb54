//! The application behind us: which of its ports may be asked for, and where they are.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use mesh::route::Subset;
use mesh::{Protocol, ServiceKey};

use super::registry::EndpointId;
use super::route::Made;
use super::{Address, Kind, Plans, Route, ServiceState};
use crate::clock::Clock;
use crate::settings::{Listeners, LocalPorts, Settings};

/// Routes to the ports of the application.
#[derive(Debug)]
pub(crate) struct LocalPlan {
    plans: Arc<Plans>,
    state: Arc<ServiceState>,
    ports: LocalPorts,
    /// Our own ports; the application is never there.
    ours: Vec<u16>,
    /// Where the application may be when it is not on 127.0.0.1.
    addresses: Vec<IpAddr>,
    routes: Mutex<HashMap<(Protocol, u16), Arc<Route>>>,
    clock: Clock,
}

/// Why a port is not forwarded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PortDenied {
    /// It is none of the application's.
    Closed(u16),
    /// The request names none, and neither does `SERVICE_PORTS`.
    Unnamed(Protocol),
}

impl LocalPlan {
    pub(crate) fn new(
        settings: &Settings,
        plans: &Arc<Plans>,
        ours: Vec<u16>,
        clock: Clock,
    ) -> Self {
        let identity = &settings.identity;
        let key = ServiceKey::new(identity.app.as_str(), identity.service.as_str());
        let Listeners { addresses, .. } = &settings.listeners;
        Self {
            plans: Arc::clone(plans),
            state: plans.registry().service(&key),
            ports: settings.local.clone(),
            ours,
            addresses: addresses.clone(),
            routes: Mutex::default(),
            clock,
        }
    }

    /// The route of a request that asks for `port`, or for none.
    pub(crate) fn route(
        &self,
        protocol: Protocol,
        port: Option<u16>,
    ) -> Result<Arc<Route>, PortDenied> {
        let port = match port {
            Some(port) if self.allows(port) => port,
            Some(port) => return Err(PortDenied::Closed(port)),
            None => self.default_port(protocol).ok_or(PortDenied::Unnamed(protocol))?,
        };
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let route = routes.entry((protocol, port)).or_insert_with(|| self.compile(protocol, port));
        Ok(Arc::clone(route))
    }

    /// Has routes made anew, as other terms are in force.
    pub(crate) fn govern(&self) {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The application, as a service.
    pub(crate) fn state(&self) -> &ServiceState {
        &self.state
    }

    /// The routes that were taken so far, by protocol and port.
    pub(crate) fn routes(&self) -> Vec<(Protocol, u16, Arc<Route>)> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut routes: Vec<_> = routes
            .iter()
            .map(|((spoken, port), route)| (*spoken, *port, Arc::clone(route)))
            .collect();
        routes.sort_by_key(|(spoken, port, _)| (*spoken, *port));
        routes
    }

    /// Whether it is not known which ports the application has.
    pub(crate) fn allows_any(&self) -> bool {
        self.ports.service.is_empty() && self.ports.app.is_empty()
    }

    fn allows(&self, port: u16) -> bool {
        let named = self.ports.service.iter().any(|service| service.port == port);
        let known = named || self.ports.app.contains(&port) || self.allows_any();
        known && !self.ours.contains(&port)
    }

    /// `rest`, else the first `rest-…`; so for gRPC.
    fn default_port(&self, protocol: Protocol) -> Option<u16> {
        let mut ports = self.ports.service.iter().filter(|service| service.protocol == protocol);
        let plain = ports.clone().find(|service| service.name == protocol.as_str());
        plain.or_else(|| ports.next()).map(|service| service.port)
    }

    fn compile(&self, protocol: Protocol, port: u16) -> Arc<Route> {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let hosts = std::iter::once(&loopback).chain(&self.addresses);
        let now = self.clock.now();
        let endpoints = hosts.map(|host| {
            let address = Address::Known(SocketAddr::new(*host, port));
            let id = EndpointId { instance: None, protocol, address, tls: false, by_peer: false };
            self.plans.registry().endpoint(&id, now)
        });
        let (governed, any) = (self.plans.governed(), Subset::default());
        let endpoints: Vec<_> = endpoints.collect();
        let made = Made {
            kind: Kind::Local,
            state: &self.state,
            terms: governed.provider(),
            limits: governed.provider_limits(),
            subset: &any,
        };
        let count = endpoints.len();
        made.to(endpoints, count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use discovery::Fixed;
    use mesh::Protocol;

    use super::{LocalPlan, PortDenied};
    use crate::clock::Clock;
    use crate::plan::Plans;
    use crate::settings::{LocalPorts, ServicePort, Settings};

    fn plan(service: &[(&str, u16)], app: &[u16]) -> LocalPlan {
        let service = service.iter().map(|(name, port)| {
            let grpc = name.starts_with("grpc");
            let protocol = if grpc { Protocol::Grpc } else { Protocol::Rest };
            ServicePort { protocol, name: (*name).to_owned(), port: *port }
        });
        let local = LocalPorts { service: service.collect(), app: app.to_vec() };
        let settings = Settings { local, ..Settings::default() };
        let clock = Clock::start();
        let plans = Plans::new(Arc::new(Fixed::new([])), "default", clock, 1);
        LocalPlan::new(&settings, &plans, vec![30101, 30102], clock)
    }

    #[test]
    fn only_the_ports_of_the_application_are_forwarded_to() {
        use PortDenied::{Closed, Unnamed};
        let (named, any) = (plan(&[("rest", 8080)], &[9090]), plan(&[], &[]));
        let grpc = plan(&[("grpc", 9)], &[]);
        for (plan, port, expected) in [
            (&named, None, Ok(())),
            (&named, Some(8080), Ok(())),
            (&named, Some(9090), Ok(())),
            (&named, Some(22), Err(Closed(22))),
            (&named, Some(30102), Err(Closed(30102))),
            (&any, Some(22), Ok(())),
            (&any, Some(30101), Err(Closed(30101))),
            (&any, None, Err(Unnamed(Protocol::Rest))),
            (&grpc, None, Err(Unnamed(Protocol::Rest))),
            (&grpc, Some(9), Ok(())),
        ] {
            let found = plan.route(Protocol::Rest, port).map(drop);
            assert_eq!(found, expected, "{:?} asked for {port:?}", plan.ports);
        }
    }

    #[test]
    fn the_plain_name_is_the_default_port() {
        for (service, rest) in [
            (vec![("rest-admin", 1), ("rest", 2)], Some(2)),
            (vec![("grpc", 3), ("rest-admin", 1), ("rest-b", 2)], Some(1)),
            (vec![("grpc", 3)], None),
        ] {
            assert_eq!(plan(&service, &[]).default_port(Protocol::Rest), rest, "{service:?}");
        }
    }
}
