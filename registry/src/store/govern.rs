//! What people and consoles ask about everything at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::change::Schema;
use super::realm::{Realm, Service};
use super::{Refusal, Store};
use crate::model::{Instance, Microservice, Properties, Tenant};

/// A service with all that belongs to it.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail {
    micro_service: Arc<Microservice>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    instances: Vec<Arc<Instance>>,
    #[serde(skip_serializing_if = "Properties::is_empty")]
    tags: Properties,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    schema_infos: Vec<Schema>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    providers: Vec<Arc<Microservice>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    consumers: Vec<Arc<Microservice>>,
}

/// How much a tenant has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Names of services.
    pub services: usize,
    /// Services that have an instance.
    pub online: usize,
    /// Instances.
    pub instances: usize,
    /// Applications.
    pub apps: usize,
}

impl Store {
    /// The applications of a tenant.
    pub fn apps(&self, tenant: &Tenant) -> BTreeSet<String> {
        let services = self.realm(tenant).into_iter().flat_map(Realm::services);
        services.map(|service| service.record.app_id.clone()).collect()
    }

    /// One service with all that belongs to it.
    pub fn detail(&self, tenant: &Tenant, id: &str) -> Result<Detail, Refusal> {
        Ok(self.detail_of(tenant, self.known_service(tenant, id)?))
    }

    /// All services of a tenant, or of one application, with all that belongs to them.
    pub fn details(&self, tenant: &Tenant, app: &str) -> Vec<Detail> {
        let services = self.realm(tenant).into_iter().flat_map(Realm::services);
        let mut details: Vec<_> = services
            .filter(|service| app.is_empty() || service.record.app_id == app)
            .map(|service| self.detail_of(tenant, service))
            .collect();
        details.sort_by(|one, other| {
            let key = |it: &Detail| (it.micro_service.name(), it.micro_service.version.clone());
            key(one).cmp(&key(other))
        });
        details
    }

    /// How much a tenant has.
    pub fn counts(&self, tenant: &Tenant) -> Counts {
        let services = || self.realm(tenant).into_iter().flat_map(Realm::services);
        let online = services().filter(|service| !service.instances.is_empty());
        Counts {
            services: services().map(|it| it.record.name()).collect::<BTreeSet<_>>().len(),
            online: online.map(|it| it.record.name()).collect::<BTreeSet<_>>().len(),
            instances: services().map(|service| service.instances.len()).sum(),
            apps: self.apps(tenant).len(),
        }
    }

    fn detail_of(&self, tenant: &Tenant, service: &Service) -> Detail {
        let id = &service.record.service_id;
        Detail {
            micro_service: Arc::clone(&service.record),
            instances: service.instances.values().map(|it| Arc::clone(&it.record)).collect(),
            tags: service.tags.clone(),
            schema_infos: service.schemas.values().cloned().collect(),
            providers: self.providers(tenant, id).unwrap_or_default(),
            consumers: self.consumers(tenant, id).unwrap_or_default(),
        }
    }
}
