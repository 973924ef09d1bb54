//! A store from its changes, and the changes that make a store.

use std::sync::Arc;

use super::change::{Change, What};
use super::{Limits, Now, Store};
use crate::model::{Instance, Microservice, Tenant};

impl Store {
    /// The store that `changes` lead to. Every instance has its whole lease before it: while
    /// nobody was there to hear a heartbeat, none could be missed.
    pub fn restore(limits: Limits, changes: impl IntoIterator<Item = Change>, now: Now) -> Self {
        let mut store = Self::new(limits);
        for change in changes {
            store.apply(change, now);
        }
        store
    }

    /// Changes that lead to this store, in the same order for the same content.
    pub fn snapshot(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (tenant, realm) in &self.realms {
            let mut services: Vec<_> = realm.services().collect();
            services.sort_unstable_by_key(|service| &service.record.service_id);
            for service in services {
                let id = || service.record.service_id.clone();
                let mut put = |what| changes.push(Change { tenant: tenant.clone(), what });
                put(What::Service(Box::new(Microservice::clone(&service.record))));
                if !service.tags.is_empty() {
                    put(What::Tags { service: id(), tags: service.tags.clone() });
                }
                for schema in service.schemas.values() {
                    put(What::Schema { service: id(), schema: Box::new(schema.clone()) });
                }
                for instance in service.instances.values() {
                    put(What::Instance(Box::new(Instance::clone(&instance.record))));
                }
                if !service.looks_up.is_empty() {
                    let providers = service.looks_up.iter().cloned().collect();
                    put(What::LooksUp { service: id(), providers });
                }
            }
        }
        changes
    }

    /// Whether a service is registered: only such a one may be watched for.
    pub fn is_service(&self, tenant: &Tenant, id: &str) -> bool {
        self.service(tenant, id).is_some()
    }

    /// The record of a service, if it is registered.
    pub fn record(&self, tenant: &Tenant, id: &str) -> Option<Arc<Microservice>> {
        self.service(tenant, id).map(|service| Arc::clone(&service.record))
    }
}
