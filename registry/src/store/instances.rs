//! Registering instances, and what keeps them, changes them and ends them.

use std::sync::Arc;

use serde::Deserialize;

use super::change::What;
use super::event::{Action, Event, Notice};
use super::realm::Registered;
use super::{Code, Now, Refusal, Store, rules, weight};
use crate::model::{HealthCheck, Instance, Microservice, Properties, Tenant};

/// What a client sends to register an instance: a record, of which some is ours to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NewInstance {
    /// Its status; empty is `UP`.
    pub status: String,
    /// The rest of it.
    #[serde(flatten)]
    pub record: Instance,
}

/// A heartbeat among several, and in the answer what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// The service.
    pub service: String,
    /// The instance.
    pub instance: String,
    /// Why it did not count.
    pub refusal: Option<Refusal>,
}

impl NewInstance {
    /// The record that is stored, if its values are acceptable.
    pub(super) fn checked(
        self,
        service: &Microservice,
        ids: &mut impl FnMut() -> String,
        now: Now,
    ) -> Result<Instance, Refusal> {
        let Self { status, mut record } = self;
        rules::instance(&record)?;
        record.status = Some(rules::first_status(&status)?);
        if record.instance_id.is_empty() {
            record.instance_id = ids();
        }
        record.service_id.clone_from(&service.service_id);
        record.version.clone_from(&service.version);
        record.health_check = HealthCheck::granted(record.health_check);
        record.timestamp = now.unix.to_string();
        record.mod_timestamp.clone_from(&record.timestamp);
        Ok(record)
    }
}

impl Store {
    /// Registers an instance and says its id. One that is registered under that id stays as it
    /// is, endpoints and all; that it was registered again counts as a heartbeat.
    pub fn register_instance(
        &mut self,
        tenant: &Tenant,
        service: &str,
        new: Option<NewInstance>,
        mut ids: impl FnMut() -> String,
        now: Now,
    ) -> Result<String, Refusal> {
        let Some(new) = new else {
            return Err(rules::size("RegisterInstanceRequest.Instance", "<nil>", 1, None));
        };
        let no_service = Microservice { service_id: service.into(), ..Microservice::default() };
        let known = self.service(tenant, service).map(|service| Arc::clone(&service.record));
        let record = new.checked(known.as_deref().unwrap_or(&no_service), &mut ids, now)?;
        if known.is_none() {
            let detail = "Invalid 'serviceID' in request body.";
            return Err(Refusal::new(Code::NoService, detail));
        }
        self.add_instance(tenant, record, now)
    }

    /// Registers an instance whose values were checked and whose service exists.
    pub(super) fn add_instance(
        &mut self,
        tenant: &Tenant,
        record: Instance,
        now: Now,
    ) -> Result<String, Refusal> {
        let id = record.instance_id.clone();
        if self.heartbeat(tenant, &record.service_id, &id, now).is_ok() {
            return Ok(id);
        }
        self.room(0, 1, weight::of(&record))?;
        self.commit(tenant, What::Instance(Box::new(record.clone())), now);
        self.announce(tenant, Action::Create, Arc::new(record));
        Ok(id)
    }

    /// Begins the lease of an instance anew.
    pub fn heartbeat(
        &mut self,
        tenant: &Tenant,
        service: &str,
        instance: &str,
        now: Now,
    ) -> Result<(), Refusal> {
        let found = self.registered_mut(tenant, service, instance).ok_or_else(|| {
            Refusal::new(Code::NoInstance, "leaseId not exist, instance not exist")
        })?;
        if let Some(lease) = &mut found.lease {
            lease.renew(now.uptime);
        }
        Ok(())
    }

    /// Counts several heartbeats, each by itself.
    pub fn heartbeats(
        &mut self,
        tenant: &Tenant,
        mut beats: Vec<Beat>,
        now: Now,
    ) -> Result<Vec<Beat>, Refusal> {
        if beats.is_empty() {
            return Err(Refusal::invalid("Request format invalid."));
        }
        for beat in &mut beats {
            beat.refusal = self.heartbeat(tenant, &beat.service, &beat.instance, now).err();
        }
        Ok(beats)
    }

    /// Changes the status of an instance.
    pub fn set_status(
        &mut self,
        tenant: &Tenant,
        service: &str,
        instance: &str,
        status: &str,
        now: Now,
    ) -> Result<(), Refusal> {
        let status = rules::next_status(status)?;
        self.change(tenant, service, instance, now, |record| record.status = Some(status))
    }

    /// Replaces all properties of an instance.
    pub fn set_instance_properties(
        &mut self,
        tenant: &Tenant,
        service: &str,
        instance: &str,
        properties: Properties,
        now: Now,
    ) -> Result<(), Refusal> {
        self.room(0, 0, weight::of(&properties))?;
        self.change(tenant, service, instance, now, |record| record.properties = properties)
    }

    /// Changes the status of all instances of a tenant that have all of `properties`.
    ///
    /// A service-center takes a request that names no property to mean every instance there is,
    /// and one that names no status to mean none: such a request is refused here.
    pub fn set_many_statuses(
        &mut self,
        tenant: &Tenant,
        properties: &Properties,
        status: &str,
        now: Now,
    ) -> Result<(), Refusal> {
        if properties.is_empty() {
            return Err(Refusal::invalid(
                "matches.properties is empty: name the properties of the instances to change",
            ));
        }
        let status = rules::next_status(status)?;
        let Some(realm) = self.realm(tenant) else {
            return Ok(());
        };
        let matching: Vec<_> = realm
            .services()
            .flat_map(|service| service.instances.values())
            .map(|instance| &instance.record)
            .filter(|record| {
                properties.iter().all(|(key, value)| record.properties.get(key) == Some(value))
            })
            .map(|record| (record.service_id.clone(), record.instance_id.clone()))
            .collect();
        for (service, instance) in matching {
            self.change(tenant, &service, &instance, now, |it| it.status = Some(status))?;
        }
        Ok(())
    }

    /// Deletes an instance.
    pub fn delete_instance(
        &mut self,
        tenant: &Tenant,
        service: &str,
        instance: &str,
        now: Now,
    ) -> Result<(), Refusal> {
        let gone = self.end_instance(tenant, service, instance, now);
        gone.ok_or_else(|| Refusal::new(Code::NoInstance, "Instance's leaseId not exist."))
    }

    /// Ends what is due, and says how many instances that were.
    pub fn expire(&mut self, now: Now) -> usize {
        let mut expired = 0;
        while let Some(holder) = self.leases.take_due(now.uptime) {
            let (service, instance) = (&holder.service, &holder.instance);
            // Borrowed by field: the queue is needed beside the instance.
            let found = self
                .realms
                .get_mut(&holder.tenant)
                .and_then(|realm| realm.service_mut(service))
                .and_then(|service| service.instances.get_mut(instance));
            let Some(Registered { lease: Some(lease), .. }) = found else {
                continue;
            };
            if lease.end > now.uptime {
                self.leases.requeue(holder, lease);
                continue;
            }
            let (tenant, service, instance) = (holder.tenant, holder.service, holder.instance);
            self.end_instance(&tenant, &service, &instance, now);
            expired += 1;
        }
        expired
    }

    fn end_instance(
        &mut self,
        tenant: &Tenant,
        service: &str,
        instance: &str,
        now: Now,
    ) -> Option<()> {
        let record = Arc::clone(&self.registered(tenant, service, instance)?.record);
        let what = What::InstanceGone { service: service.into(), instance: instance.into() };
        self.commit(tenant, what, now);
        self.announce(tenant, Action::Delete, record);
        Some(())
    }

    fn change(
        &mut self,
        tenant: &Tenant,
        service: &str,
        instance: &str,
        now: Now,
        change: impl FnOnce(&mut Instance),
    ) -> Result<(), Refusal> {
        let found = self
            .registered(tenant, service, instance)
            .ok_or_else(|| Refusal::new(Code::NoInstance, "Service instance does not exist."))?;
        let mut record = Instance::clone(&found.record);
        change(&mut record);
        record.mod_timestamp = now.unix.to_string();
        self.commit(tenant, What::Instance(Box::new(record.clone())), now);
        self.announce(tenant, Action::Update, Arc::new(record));
        Ok(())
    }

    /// Notes whom to tell about an instance. Its service must still be there.
    pub(super) fn announce(&mut self, tenant: &Tenant, action: Action, record: Arc<Instance>) {
        let Some(service) = self.service(tenant, &record.service_id) else {
            return;
        };
        let names = [Some(service.record.name()), service.record.alias_name()];
        let realm = self.realm(tenant);
        let mut to: Vec<_> = names
            .iter()
            .flatten()
            .filter_map(|name| realm.map(|realm| realm.consumers_of(name)))
            .flatten()
            .map(str::to_owned)
            .collect();
        to.sort_unstable();
        to.dedup();
        if !to.is_empty() {
            let notice = Arc::new(Notice::new(action, tenant, &service.record, record));
            self.effects.events.push(Event { tenant: tenant.clone(), to, notice });
        }
    }

    pub(super) fn registered(
        &self,
        tenant: &Tenant,
        service: &str,
        instance: &str,
    ) -> Option<&Registered> {
        self.service(tenant, service)?.instances.get(instance)
    }

    fn registered_mut(
        &mut self,
        tenant: &Tenant,
        service: &str,
        instance: &str,
    ) -> Option<&mut Registered> {
        self.realms.get_mut(tenant)?.service_mut(service)?.instances.get_mut(instance)
    }
}
