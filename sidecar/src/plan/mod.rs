//! What the proxy knows, compiled into what a request needs.
//!
//! [`mesh::Snapshot`] says what there is. A [`Plan`] is made of it: for every service the
//! endpoints of the route a request takes, with handles into the [`registry`], so that a request
//! looks nothing up but its service. [`publish`] keeps the two in step; [`local`] is the same for
//! the application behind us.

mod governed;
mod limits;
mod local;
mod peers;
mod publish;
mod registry;
mod route;
mod routed;
mod service;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mesh::{Change, ServiceKey};

pub(crate) use self::governed::Governed;
pub(crate) use self::local::{LocalPlan, PortDenied};
pub(crate) use self::publish::{Lookup, Plans};
pub(crate) use self::registry::{
    Address, Endpoint, EndpointId, PEER, PoolId, Registry, ServiceState, Unusable,
};
pub(crate) use self::route::{Kind, Mirror, Mirrored, Route};
pub(crate) use self::routed::{Rewrite, Routed, Ruled, Told};
pub(crate) use self::service::ServicePlan;

/// All services, by what requests call them. Immutable; the next one shares what did not change.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    services: HashMap<ServiceKey, Arc<ServicePlan>>,
    /// Those of the application that requests belong to, by name alone.
    by_name: HashMap<Arc<str>, Arc<ServicePlan>>,
    /// Whether the source lets nothing out of the mesh.
    pub(crate) closed: bool,
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
        governed: &Governed,
        scope: &str,
        now: Duration,
    ) -> (Self, u64) {
        let mut next = Self {
            services: self.services.clone(),
            by_name: self.by_name.clone(),
            closed: self.closed,
        };
        let mut compiled = 0;
        for change in changes {
            let plan = match change {
                Change::Put(service) => ServicePlan::compile(&service, registry, governed, now),
                Change::Removed(key) => ServicePlan::withdrawn(&key, registry, governed),
            };
            compiled += 1;
            next.take_in(plan, scope);
        }
        (next, compiled)
    }

    fn take_in(&mut self, mut plan: ServicePlan, scope: &str) {
        let key = plan.state.key.clone();
        let last = self.services.get(&key).map(Arc::clone);
        let last_names = last.iter().flat_map(|last| &last.names);
        if plan.withdrawn {
            // Its names must not leave the mesh either.
            plan.names.extend(last_names.cloned());
        } else {
            for name in last_names.filter(|name| !plan.names.contains(name)) {
                if self.by_name.get(name).is_some_and(|of| of.state.key == key) {
                    self.by_name.remove(name);
                }
            }
        }
        let plan = Arc::new(plan);
        if *key.scope == *scope {
            self.by_name.insert(Arc::clone(&key.name), Arc::clone(&plan));
        }
        for name in &plan.names {
            self.by_name.insert(Arc::clone(name), Arc::clone(&plan));
        }
        self.services.insert(key, plan);
    }
}

#[cfg(test)]
mod tests;
