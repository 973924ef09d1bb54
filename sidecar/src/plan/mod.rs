//! What the proxy knows, compiled into what a request needs.
//!
//! [`mesh::Snapshot`] says what there is. A [`Plan`] is made of it: for every service the
//! endpoints of the route a request takes, with handles into the [`registry`], so that a request
//! looks nothing up but its service. [`publish`] keeps the two in step; [`local`] is the same for
//! the application behind us.

mod local;
mod publish;
mod registry;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mesh::{Change, Protocol, Scope, Service, ServiceKey, VersionRule};

pub(crate) use self::local::{LocalPlan, PortDenied};
pub(crate) use self::publish::{Lookup, Plans};
pub(crate) use self::registry::{
    Address, Endpoint, EndpointId, PoolId, Registry, ServiceState, Unusable,
};

/// All services, by what requests call them. Immutable; the next one shares what did not change.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    services: HashMap<ServiceKey, Arc<ServicePlan>>,
    /// Those of the application that requests belong to, by name alone.
    by_name: HashMap<Arc<str>, Arc<ServicePlan>>,
}

/// One service.
#[derive(Debug)]
pub(crate) struct ServicePlan {
    /// The source has withdrawn it. It stays, as its name must not leave the mesh.
    pub(crate) withdrawn: bool,
    pub(crate) state: Arc<ServiceState>,
    routes: Vec<(Protocol, Option<u16>, Arc<Route>)>,
    /// Where no instance is.
    nowhere: Arc<Route>,
}

/// Where a request may go.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) kind: Kind,
    pub(crate) state: Arc<ServiceState>,
    pub(crate) endpoints: Box<[Arc<Endpoint>]>,
}

/// Which rules a route follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To instances of a service, in turn.
    Service,
    /// To the application behind us: the first address that takes a connection.
    Local,
    /// To where the request says, outside of the mesh.
    Outside,
}

impl Plan {
    /// The service that requests of application `scope` call `name`.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<ServicePlan>> {
        self.by_name.get(name)
    }

    /// One service.
    pub(crate) fn get(&self, key: &ServiceKey) -> Option<&Arc<ServicePlan>> {
        self.services.get(key)
    }

    /// All services.
    pub(crate) fn services(&self) -> impl Iterator<Item = &Arc<ServicePlan>> {
        self.services.values()
    }

    /// The next plan: what changed is compiled, the rest shared. Returns how many were compiled.
    fn with(
        &self,
        changes: impl Iterator<Item = Change>,
        registry: &Registry,
        scope: &str,
        now: Duration,
    ) -> (Self, u64) {
        let mut next = Self { services: self.services.clone(), by_name: self.by_name.clone() };
        let mut compiled = 0;
        for change in changes {
            let plan = match change {
                Change::Put(service) => ServicePlan::compile(&service, registry, now),
                Change::Removed(key) => ServicePlan::withdrawn(&key, registry),
            };
            compiled += 1;
            let (key, plan) = (plan.state.key.clone(), Arc::new(plan));
            if *key.scope == *scope {
                next.by_name.insert(Arc::clone(&key.name), Arc::clone(&plan));
            }
            next.services.insert(key, plan);
        }
        (next, compiled)
    }
}

impl ServicePlan {
    fn compile(service: &Service, registry: &Registry, now: Duration) -> Self {
        let mut plan = Self::withdrawn(&service.key, registry);
        plan.withdrawn = false;
        for protocol in [Protocol::Rest, Protocol::Grpc] {
            let scope = Scope { protocol, versions: VersionRule::Latest };
            let mut groups: Vec<(Option<u16>, Vec<Arc<Endpoint>>)> = Vec::new();
            for (instance, endpoint) in service.eligible(scope) {
                let id = EndpointId {
                    instance: Some((service.key.clone(), instance.id.clone())),
                    protocol,
                    address: Address::Known(endpoint.address),
                    tls: endpoint.tls,
                };
                let port = endpoint.service_port;
                let endpoint = registry.endpoint(&id, now);
                match groups.iter_mut().find(|(of, _)| *of == port) {
                    Some((_, group)) => group.push(endpoint),
                    None => groups.push((port, vec![endpoint])),
                }
            }
            plan.routes.extend(groups.into_iter().map(|(port, endpoints)| {
                (protocol, port, Route::new(Kind::Service, &plan.state, endpoints))
            }));
        }
        plan
    }

    fn withdrawn(key: &ServiceKey, registry: &Registry) -> Self {
        let state = registry.service(key);
        let nowhere = Route::new(Kind::Service, &state, Vec::new());
        Self { withdrawn: true, state, routes: Vec::new(), nowhere }
    }

    /// Every route with its protocol, and the port of the service it is for.
    pub(crate) fn routes(&self) -> &[(Protocol, Option<u16>, Arc<Route>)] {
        &self.routes
    }

    /// The route of requests in `protocol` to `port`; without endpoints where there is none. A
    /// service whose ports have endpoints of their own and which is asked for without a port is
    /// taken at its first.
    pub(crate) fn route(&self, protocol: Protocol, port: Option<u16>) -> &Arc<Route> {
        let fits = |of: Option<u16>| of.is_none() || port.is_none() || of == port;
        let mut routes = self.routes.iter();
        let found = routes.find(|(spoken, of, _)| *spoken == protocol && fits(*of));
        found.map_or(&self.nowhere, |(_, _, route)| route)
    }
}

impl Route {
    fn new(kind: Kind, state: &Arc<ServiceState>, endpoints: Vec<Arc<Endpoint>>) -> Arc<Self> {
        Arc::new(Self { kind, state: Arc::clone(state), endpoints: endpoints.into() })
    }
}

#[cfg(test)]
mod tests;
