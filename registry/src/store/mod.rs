//! The registry as a state machine: commands come in with the time, answers and events go out.
//!
//! Nothing here knows of sockets, files or clocks. Every change of the state is a [`Change`], and
//! [`Store::commit`] is the one place that makes one: so what is kept in a file and what is in
//! memory cannot differ, and a store that is fed its own changes is the same store.
//!
//! - [`services`] registers, reads and deletes services; [`instances`] their instances, with
//!   [`leases`] that end; [`find`] is what consumers ask.
//! - [`dependencies`] is who looks up whom: those are told by [`event`]s.
//! - [`rules`] says which values are acceptable, [`refusal`] how a request is turned down.
//!
//! Where the behaviour comes from: exchanges recorded from a real service-center
//! (`registry/tests/data`).

mod change;
mod dependencies;
mod event;
mod find;
mod govern;
mod instances;
mod leases;
mod realm;
mod refusal;
mod restore;
mod revision;
mod rules;
mod schemas;
mod services;
mod tags;
#[cfg(test)]
mod tests;
mod weight;

use std::collections::BTreeMap;
use std::time::Duration;

pub use change::{Change, Schema, What};
pub use dependencies::{Dependency, Party};
pub use event::{Action, Event, Notice};
pub use find::{Batch, BatchAnswer, FindOne, FindService, Found, Query, Wanted};
pub use govern::{Counts, Detail};
pub use instances::{Beat, NewInstance};
pub use refusal::{Body as RefusalBody, Code, Refusal};
pub use revision::{EMPTY as EMPTY_REVISION, Fingerprint, revision};
pub use schemas::SchemaChange;
pub use services::{Deleted, NewService};
#[cfg(test)]
pub(crate) use tests::sample_event;

use crate::model::{Instance, Tenant};
use leases::{Holder, Leases};
use realm::{Realm, Registered, Service};

/// The time, as a command is given it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Seconds since 1970, for timestamps that people read.
    pub unix: u64,
    /// Time since some beginning that never jumps, for leases.
    pub uptime: Duration,
}

/// How much a store may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Versions of services, of all tenants together.
    pub services: usize,
    /// Instances, of all tenants together.
    pub instances: usize,
    /// Bytes of all records, as they are on the wire. Memory is about three times as much.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { services: 50_000, instances: 150_000, bytes: 256 << 20 }
    }
}

/// How much a store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Versions of services.
    pub services: usize,
    /// Instances.
    pub instances: usize,
    /// Bytes of all records.
    pub bytes: usize,
}

/// What a command did, besides its answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// What changed, in order.
    pub changes: Vec<Change>,
    /// Whom to tell what, in order.
    pub events: Vec<Event>,
}

/// The registry.
#[derive(Debug, Default)]
pub struct Store {
    realms: BTreeMap<Tenant, Realm>,
    leases: Leases,
    limits: Limits,
    usage: Usage,
    effects: Effects,
}

impl Store {
    /// An empty registry.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes what the commands since the last call did.
    pub fn take_effects(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    /// How much it holds.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// When [`Store::expire`] is next worth a call, by [`Now::uptime`].
    pub fn next_expiry(&self) -> Option<Duration> {
        self.leases.next()
    }

    fn realm(&self, tenant: &Tenant) -> Option<&Realm> {
        self.realms.get(tenant)
    }

    fn service(&self, tenant: &Tenant, id: &str) -> Option<&Service> {
        self.realm(tenant)?.service(id)
    }

    fn known_service(&self, tenant: &Tenant, id: &str) -> Result<&Service, Refusal> {
        self.service(tenant, id).ok_or_else(Refusal::no_service)
    }

    /// Whether there is room for a record of `bytes`, for so many services and instances more.
    fn room(&self, services: usize, instances: usize, bytes: usize) -> Result<(), Refusal> {
        let (used, most) = (self.usage, self.limits);
        let full = if services > 0 && used.services + services > most.services {
            format!("{} services are registered, no more fit", used.services)
        } else if instances > 0 && used.instances + instances > most.instances {
            format!("{} instances are registered, no more fit", used.instances)
        } else if used.bytes + bytes > most.bytes {
            format!("records of {} bytes are kept, {bytes} more do not fit", used.bytes)
        } else {
            return Ok(());
        };
        Err(Refusal::new(Code::Quota, full))
    }

    /// Makes a change, and notes it.
    fn commit(&mut self, tenant: &Tenant, what: What, now: Now) {
        let change = Change { tenant: tenant.clone(), what };
        self.effects.changes.push(change.clone());
        self.apply(change, now);
    }

    /// Makes a change. New instances and changed ones have their whole lease before them.
    fn apply(&mut self, change: Change, now: Now) {
        let Change { tenant, what } = change;
        match what {
            What::Instance(instance) => self.put_instance(&tenant, *instance, now),
            What::InstanceGone { service, instance } => {
                self.remove_instance(&tenant, &service, &instance);
            }
            What::ServiceGone { service } => self.remove_service(&tenant, service),
            what => {
                let is_service = matches!(what, What::Service(_));
                if !is_service && !self.realms.contains_key(&tenant) {
                    return;
                }
                let realm = self.realms.entry(tenant).or_default();
                let before = realm.len();
                let grown = realm.apply(what);
                self.usage.services += realm.len() - before;
                self.usage.bytes = self.usage.bytes.saturating_add_signed(grown);
            }
        }
    }

    fn remove_service(&mut self, tenant: &Tenant, id: String) {
        let Some(realm) = self.realms.get_mut(tenant) else {
            return;
        };
        let Some(service) = realm.service(&id) else {
            return;
        };
        let instances: Vec<_> = service.instances.keys().cloned().collect();
        for instance in instances {
            self.remove_instance(tenant, &id, &instance);
        }
        let Some(realm) = self.realms.get_mut(tenant) else {
            return;
        };
        let grown = realm.apply(What::ServiceGone { service: id });
        self.usage.services -= 1;
        self.usage.bytes = self.usage.bytes.saturating_add_signed(grown);
        if realm.is_empty() {
            self.realms.remove(tenant);
        }
    }

    fn put_instance(&mut self, tenant: &Tenant, record: Instance, now: Now) {
        let (fingerprint, weight) = Fingerprint::of(&record);
        let service = self.realms.get_mut(tenant).and_then(|it| it.service_mut(&record.service_id));
        let Some(service) = service else {
            return;
        };
        let holder = Holder {
            tenant: tenant.clone(),
            service: record.service_id.clone(),
            instance: record.instance_id.clone(),
        };
        let old = service.instances.remove(&record.instance_id);
        let lease = match &old {
            // What changes about an instance is not a heartbeat.
            Some(old) => old.lease,
            None => Some(self.leases.begin(holder, record.health_check.lease(), now.uptime)),
        };
        self.usage.instances += usize::from(old.is_none());
        self.usage.bytes -= old.map_or(0, |old| old.weight);
        self.usage.bytes += weight;
        let id = record.instance_id.clone();
        let registered = Registered { record: record.into(), fingerprint, weight, lease };
        service.instances.insert(id, registered);
    }

    fn remove_instance(&mut self, tenant: &Tenant, service: &str, instance: &str) {
        let found = self.realms.get_mut(tenant).and_then(|realm| realm.service_mut(service));
        let Some(gone) = found.and_then(|service| service.instances.remove(instance)) else {
            return;
        };
        if let Some(lease) = &gone.lease {
            let holder = Holder {
                tenant: tenant.clone(),
                service: service.to_owned(),
                instance: instance.to_owned(),
            };
            self.leases.end(holder, lease);
        }
        self.usage.instances -= 1;
        self.usage.bytes -= gone.weight;
    }
}
