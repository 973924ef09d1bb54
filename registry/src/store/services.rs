//! Registering, reading and deleting services.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;

use super::change::{Schema, What};
use super::event::Action;
use super::instances::NewInstance;
use super::{Code, Now, Refusal, Store, rules, weight};
use crate::model::{Microservice, Properties, ServiceName, Tenant, service_id};

/// What a client sends to register a service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NewService {
    /// The service.
    pub service: Option<Microservice>,
    /// Its tags.
    pub tags: Properties,
    /// Instances to register with it.
    pub instances: Vec<NewInstance>,
}

/// What became of one of several services to delete.
#[derive(Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Its id.
    pub service: String,
    /// Why it still is there.
    pub refusal: Option<Refusal>,
}

impl Store {
    /// Registers a service and says its id. One that is registered stays as it is: the first
    /// record of a name and version wins. `ids` are for the instances that come without one.
    pub fn register_service(
        &mut self,
        tenant: &Tenant,
        new: NewService,
        mut ids: impl FnMut() -> String,
        now: Now,
    ) -> Result<String, Refusal> {
        let Some(mut service) = new.service else {
            return Err(Refusal::invalid("Request body is empty"));
        };
        fill_in(&mut service, now);
        rules::microservice(&service)?;
        check_tags(&new.tags)?;
        let wanted = std::mem::take(&mut service.service_id);
        let name = service.name();
        let stored = self
            .realm(tenant)
            .and_then(|realm| realm.id_of(&name, &service.version))
            .map(str::to_owned);
        let id = match &stored {
            Some(id) => id.clone(),
            None if wanted.is_empty() => service_id(tenant, &name, &service.version),
            None => wanted.clone(),
        };
        let taken = stored.is_none() && self.service(tenant, &id).is_some();
        if taken || (!wanted.is_empty() && wanted != id) {
            let detail = "ServiceID conflict or found the same service with different id.";
            return Err(Refusal::new(Code::ServiceExists, detail));
        }
        service.service_id.clone_from(&id);
        // All of it is checked before any of it is done.
        let mut instances = Vec::new();
        for instance in new.instances {
            instances.push(instance.checked(&service, &mut ids, now)?);
        }
        if stored.is_none() {
            let bytes = weight::of(&service) + weight::of(&new.tags);
            let more: usize = instances.iter().map(weight::of).sum();
            self.room(1, instances.len(), bytes + more)?;
            self.commit(tenant, What::Service(Box::new(service)), now);
            if !new.tags.is_empty() {
                self.commit(tenant, What::Tags { service: id.clone(), tags: new.tags }, now);
            }
        }
        for instance in instances {
            self.add_instance(tenant, instance, now)?;
        }
        Ok(id)
    }

    /// One service.
    pub fn get_service(&self, tenant: &Tenant, id: &str) -> Result<Arc<Microservice>, Refusal> {
        Ok(Arc::clone(&self.known_service(tenant, id)?.record))
    }

    /// All services, by name and version.
    pub fn list_services(&self, tenant: &Tenant) -> Vec<Arc<Microservice>> {
        let realm = self.realm(tenant);
        let mut services: Vec<_> = realm
            .into_iter()
            .flat_map(|realm| realm.services().map(|service| Arc::clone(&service.record)))
            .collect();
        services
            .sort_by(|one, other| (one.name(), &one.version).cmp(&(other.name(), &other.version)));
        services
    }

    /// The id of a version of a service.
    pub fn service_exists(
        &self,
        tenant: &Tenant,
        name: &ServiceName,
        version: &str,
    ) -> Result<String, Refusal> {
        rules::query("GetExistenceRequest", &name.environment, &name.app, &name.service)?;
        rules::existing_version(version)?;
        let realm = self.realm(tenant);
        let found = realm.and_then(|realm| {
            let by_alias = || {
                let versions = realm.named(name).into_iter();
                versions.map(|service| &service.record).find(|record| record.version == version)
            };
            realm.id_of(name, version).or_else(|| Some(by_alias()?.service_id.as_str()))
        });
        found.map(str::to_owned).ok_or_else(|| {
            Refusal::new(Code::NoService, format!("{name}/{version} does not exist."))
        })
    }

    /// Replaces all properties of a service.
    pub fn set_service_properties(
        &mut self,
        tenant: &Tenant,
        id: &str,
        properties: Properties,
        now: Now,
    ) -> Result<(), Refusal> {
        let mut record = Microservice::clone(&self.known_service(tenant, id)?.record);
        self.room(0, 0, weight::of(&properties))?;
        record.properties = properties;
        record.mod_timestamp = now.unix.to_string();
        self.commit(tenant, What::Service(Box::new(record)), now);
        Ok(())
    }

    /// Deletes a service. Without `force` it must have neither consumers nor instances. Those who
    /// watch its instances are told that they are gone; a service-center says nothing then.
    pub fn delete_service(
        &mut self,
        tenant: &Tenant,
        id: &str,
        force: bool,
        now: Now,
    ) -> Result<(), Refusal> {
        let service = self.known_service(tenant, id)?;
        let name = service.record.name();
        let realm = self.realm(tenant);
        let others = |consumer: &str| {
            let consumer = self.service(tenant, consumer);
            consumer.is_some_and(|consumer| consumer.record.name() != name)
        };
        if !force && realm.is_some_and(|realm| realm.consumers_of(&name).any(others)) {
            let detail = "Can not delete this service, other service rely it.";
            return Err(Refusal::new(Code::HasConsumers, detail));
        }
        if !force && !service.instances.is_empty() {
            let detail = "Can not delete the service deployed instance(s).";
            return Err(Refusal::new(Code::HasInstances, detail));
        }
        let instances: Vec<_> =
            service.instances.values().map(|instance| Arc::clone(&instance.record)).collect();
        for instance in instances {
            self.announce(tenant, Action::Delete, instance);
        }
        self.commit(tenant, What::ServiceGone { service: id.to_owned() }, now);
        self.forget_provider(tenant, &name, now);
        Ok(())
    }

    /// Deletes several services, each by itself.
    pub fn delete_services(
        &mut self,
        tenant: &Tenant,
        ids: Vec<String>,
        force: bool,
        now: Now,
    ) -> Result<Vec<Deleted>, Refusal> {
        if ids.is_empty() {
            return Err(rules::size("DelServicesRequest.ServiceIds", "[]", 1, None));
        }
        let mut seen = BTreeSet::new();
        let ids = ids.into_iter().filter(|id| seen.insert(id.clone()));
        let deleted = ids.map(|service| {
            let refusal = self.delete_service(tenant, &service, force, now).err();
            Deleted { service, refusal }
        });
        Ok(deleted.collect())
    }

    /// The schemas of a service by id, for whoever shows it whole.
    pub(super) fn schemas_of(&self, tenant: &Tenant, id: &str) -> Vec<Schema> {
        let service = self.service(tenant, id);
        service.map(|service| service.schemas.values().cloned().collect()).unwrap_or_default()
    }
}

fn fill_in(service: &mut Microservice, now: Now) {
    let defaults = [
        (&mut service.app_id, "default"),
        (&mut service.version, "0.0.1"),
        (&mut service.level, "BACK"),
        (&mut service.status, "UP"),
    ];
    for (field, default) in defaults {
        if field.is_empty() {
            default.clone_into(field);
        }
    }
    service.timestamp = now.unix.to_string();
    service.mod_timestamp.clone_from(&service.timestamp);
}

/// Checks the tags of a service, how many and each of them.
pub(super) fn check_tags(tags: &Properties) -> Result<(), Refusal> {
    if tags.len() > rules::MOST_SCHEMAS {
        let count = format!("{} tags", tags.len());
        return Err(rules::size(
            "AddServiceTagsRequest.Tags",
            &count,
            1,
            Some(rules::MOST_SCHEMAS),
        ));
    }
    tags.iter().try_for_each(|(key, value)| rules::tag(key, value))
}
