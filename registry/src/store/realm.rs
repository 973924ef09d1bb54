//! What one tenant has: its services, and the ways to find them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::change::{Schema, What};
use super::leases::Lease;
use super::revision::Fingerprint;
use super::weight;
use crate::model::{Instance, Microservice, Properties, ServiceName};

/// One tenant's services.
#[derive(Debug, Default)]
pub(super) struct Realm {
    services: HashMap<String, Service>,
    /// The ids of all versions of a name, by version.
    versions: BTreeMap<ServiceName, BTreeMap<String, String>>,
    /// The ids of what goes by an alias.
    aliases: BTreeMap<ServiceName, BTreeSet<String>>,
    /// The ids of those who look a name up.
    consumers: HashMap<ServiceName, BTreeSet<String>>,
}

/// A service and all that belongs to it.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) record: Arc<Microservice>,
    pub(super) tags: Properties,
    pub(super) schemas: BTreeMap<String, Schema>,
    pub(super) instances: BTreeMap<String, Registered>,
    /// What it looks up.
    pub(super) looks_up: BTreeSet<ServiceName>,
}

/// An instance with its lease.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) record: Arc<Instance>,
    pub(super) fingerprint: Fingerprint,
    pub(super) weight: usize,
    /// `None`: it never expires.
    pub(super) lease: Option<Lease>,
}

impl Service {
    fn new(record: Microservice) -> Self {
        Self {
            record: Arc::new(record),
            tags: Properties::new(),
            schemas: BTreeMap::new(),
            instances: BTreeMap::new(),
            looks_up: BTreeSet::new(),
        }
    }

    /// What it takes, without its instances.
    fn weight(&self) -> usize {
        weight::of(&*self.record)
            + weight::of(&self.tags)
            + self.schemas.values().map(weight::of).sum::<usize>()
            + self.looks_up.iter().map(weight::of).sum::<usize>()
    }
}

impl Realm {
    pub(super) fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// How many services.
    pub(super) fn len(&self) -> usize {
        self.services.len()
    }

    pub(super) fn service(&self, id: &str) -> Option<&Service> {
        self.services.get(id)
    }

    pub(super) fn service_mut(&mut self, id: &str) -> Option<&mut Service> {
        self.services.get_mut(id)
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// The id of one version.
    pub(super) fn id_of(&self, name: &ServiceName, version: &str) -> Option<&str> {
        self.versions.get(name)?.get(version).map(String::as_str)
    }

    /// All versions of `name`; when nothing is called so, what goes by it as an alias.
    pub(super) fn named(&self, name: &ServiceName) -> Vec<&Service> {
        let by_name = self.versions.get(name).into_iter().flat_map(BTreeMap::values);
        let by_alias = || self.aliases.get(name).into_iter().flatten();
        let found: Vec<_> = by_name.filter_map(|id| self.services.get(id)).collect();
        if found.is_empty() {
            by_alias().filter_map(|id| self.services.get(id)).collect()
        } else {
            found
        }
    }

    /// The ids of those who look `name` up.
    pub(super) fn consumers_of(&self, name: &ServiceName) -> impl Iterator<Item = &str> {
        self.consumers.get(name).into_iter().flatten().map(String::as_str)
    }

    /// Applies what concerns services; instances and their leases are the store's. Says by how
    /// much the weight grew.
    pub(super) fn apply(&mut self, what: What) -> isize {
        match what {
            What::Service(record) => self.put(*record),
            What::ServiceGone { service } => self.remove(&service),
            What::Tags { service, tags } => self.edit(&service, |service| service.tags = tags),
            What::Schema { service, schema } => self.edit(&service, |service| {
                service.schemas.insert(schema.schema_id.clone(), *schema);
            }),
            What::SchemaGone { service, schema } => self.edit(&service, |service| {
                service.schemas.remove(&schema);
            }),
            What::LooksUp { service, providers } => self.look_up(&service, providers),
            What::Instance(_) | What::InstanceGone { .. } => 0,
        }
    }

    fn edit(&mut self, id: &str, change: impl FnOnce(&mut Service)) -> isize {
        let Some(service) = self.services.get_mut(id) else {
            return 0;
        };
        let before = service.weight();
        change(service);
        weight::difference(before, service.weight())
    }

    fn put(&mut self, record: Microservice) -> isize {
        let id = record.service_id.clone();
        if self.services.contains_key(&id) {
            // Name and version of a service never change; only its content does.
            return self.edit(&id, |service| service.record = Arc::new(record));
        }
        self.versions.entry(record.name()).or_default().insert(record.version.clone(), id.clone());
        if let Some(alias) = record.alias_name() {
            self.aliases.entry(alias).or_default().insert(id.clone());
        }
        let service = Service::new(record);
        let grown = weight::difference(0, service.weight());
        self.services.insert(id, service);
        grown
    }

    fn remove(&mut self, id: &str) -> isize {
        let Some(service) = self.services.remove(id) else {
            return 0;
        };
        let name = service.record.name();
        if let Some(versions) = self.versions.get_mut(&name) {
            versions.remove(&service.record.version);
            if versions.is_empty() {
                self.versions.remove(&name);
            }
        }
        if let Some(alias) = service.record.alias_name()
            && let Some(ids) = self.aliases.get_mut(&alias)
        {
            ids.remove(id);
            if ids.is_empty() {
                self.aliases.remove(&alias);
            }
        }
        for provider in &service.looks_up {
            self.forget_consumer(provider, id);
        }
        weight::difference(service.weight(), 0)
    }

    fn look_up(&mut self, id: &str, providers: Vec<ServiceName>) -> isize {
        let Some(service) = self.services.get_mut(id) else {
            return 0;
        };
        let before = service.weight();
        let old = std::mem::replace(&mut service.looks_up, providers.into_iter().collect());
        let (new, after) = (service.looks_up.clone(), service.weight());
        for provider in old.difference(&new) {
            self.forget_consumer(provider, id);
        }
        for provider in new {
            self.consumers.entry(provider).or_default().insert(id.to_owned());
        }
        weight::difference(before, after)
    }

    fn forget_consumer(&mut self, provider: &ServiceName, id: &str) {
        if let Some(consumers) = self.consumers.get_mut(provider) {
            consumers.remove(id);
            if consumers.is_empty() {
                self.consumers.remove(provider);
            }
        }
    }
}
