//! All services a source knows, at one moment.

use std::collections::HashMap;
use std::sync::Arc;

use crate::service::Service;
use crate::service_key::ServiceKey;

/// Immutable in use: a source makes the next one from the last, and services that stayed the same
/// are shared between them. A service that is not in it was never asked for, or the source does
/// not know it.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    services: HashMap<ServiceKey, Arc<Service>>,
    /// Whether nothing may be called that is not in the mesh, as its source says (Istio's
    /// `outboundTrafficPolicy: REGISTRY_ONLY`).
    pub closed: bool,
}

/// What became of one service between two snapshots.
#[derive(Debug, Clone)]
pub enum Change {
    /// It is new, or not what it was.
    Put(Arc<Service>),
    /// It is gone.
    Removed(ServiceKey),
}

impl Snapshot {
    /// Takes a service in; `false` when it was there just so. The one that was there is kept then,
    /// so that [`Snapshot::changes_since`] sees nothing.
    pub fn put(&mut self, service: Service) -> bool {
        if self.services.get(&service.key).is_some_and(|known| **known == service) {
            return false;
        }
        self.services.insert(service.key.clone(), Arc::new(service));
        true
    }

    /// Takes a service out; `false` when it was not there.
    pub fn remove(&mut self, key: &ServiceKey) -> bool {
        self.services.remove(key).is_some()
    }

    /// The service of that name.
    pub fn get(&self, key: &ServiceKey) -> Option<&Arc<Service>> {
        self.services.get(key)
    }

    /// All services, in no order.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// What a reader of `old` has to take over. Services shared by both are told apart by address
    /// alone: of thousands, only what changed is looked at.
    pub fn changes_since<'a>(&'a self, old: &'a Self) -> impl Iterator<Item = Change> + 'a {
        let put = self.services.values().filter(|service| match old.services.get(&service.key) {
            Some(known) => !Arc::ptr_eq(known, service) && known != *service,
            None => true,
        });
        let removed = old.services.keys().filter(|key| !self.services.contains_key(*key));
        put.cloned().map(Change::Put).chain(removed.cloned().map(Change::Removed))
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::{Change, Snapshot};
    use crate::{Endpoint, Instance, InstanceId, Protocol, Service, ServiceKey, Status, Tags};

    fn service(name: &str, ports: &[u16]) -> Service {
        let instances = ports.iter().map(|port| Instance {
            id: InstanceId(format!("i{port}").into()),
            version: "1.0".parse().unwrap(),
            status: Status::Up,
            endpoints: vec![Endpoint {
                protocol: Protocol::Rest,
                address: SocketAddr::from(([127, 0, 0, 1], *port)),
                tls: false,
                service_port: None,
            }],
            tags: Tags::new(),
        });
        Service::new(ServiceKey::new("default", name), instances)
    }

    #[test]
    fn the_same_again_is_no_change_in_whatever_order() {
        let mut old = Snapshot::default();
        assert!(old.put(service("a", &[1, 2])));
        let mut new = old.clone();
        assert!(!new.put(service("a", &[2, 1])));
        assert_eq!(new.changes_since(&old).count(), 0);
    }

    #[test]
    fn only_what_changed_is_told() {
        let mut old = Snapshot::default();
        for i in 0..5_000 {
            old.put(service(&format!("s{i}"), &[1]));
        }
        let mut new = old.clone();
        new.put(service("s7", &[1, 2]));
        new.remove(&ServiceKey::new("default", "s9"));
        let mut told: Vec<String> = new
            .changes_since(&old)
            .map(|change| match change {
                Change::Put(service) => format!("put {}", service.key),
                Change::Removed(key) => format!("removed {key}"),
            })
            .collect();
        told.sort();
        assert_eq!(told, ["put default/s7", "removed default/s9"]);
    }
}
