//! Who looks up whom. A lookup by a consumer makes a dependency; clients may also state it.

use std::sync::Arc;

use serde::Deserialize;

use super::change::What;
use super::{Now, Refusal, Store, rules, weight};
use crate::model::{Microservice, ServiceName, Tenant};

/// How many services one consumer may look up.
const MOST_PROVIDERS: usize = 1_000;

/// A consumer and its providers, as a client states them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Dependency {
    /// Who looks up.
    pub consumer: Option<Party>,
    /// Whom.
    pub providers: Vec<Party>,
}

/// A service as a dependency names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Party {
    environment: String,
    app_id: String,
    service_name: String,
    version: String,
}

impl Store {
    /// Notes what consumers look up, beside what they did or instead of it.
    pub fn depend(
        &mut self,
        tenant: &Tenant,
        dependencies: &[Dependency],
        instead: bool,
        now: Now,
    ) -> Result<(), Refusal> {
        if dependencies.is_empty() || dependencies.len() > 100 {
            let shown = format!("{:?}", vec!["…"; dependencies.len().min(1)]);
            let shown = if dependencies.is_empty() { "[]".to_owned() } else { shown };
            return Err(rules::size(
                "CreateDependenciesRequest.Dependencies",
                &shown,
                1,
                Some(100),
            ));
        }
        let mut wanted = Vec::new();
        for dependency in dependencies {
            wanted.push(self.stated(tenant, dependency, instead)?);
        }
        for (service, providers) in wanted {
            self.room(0, 0, weight::of(&providers))?;
            self.commit(tenant, What::LooksUp { service, providers }, now);
        }
        Ok(())
    }

    /// The consumer's id and all that it will look up.
    fn stated(
        &self,
        tenant: &Tenant,
        dependency: &Dependency,
        instead: bool,
    ) -> Result<(String, Vec<ServiceName>), Refusal> {
        let Some(party) = &dependency.consumer else {
            return Err(rules::size("ConsumerDependency.Consumer", "<nil>", 1, None));
        };
        let Party { environment, app_id, service_name, version } = party;
        rules::consumer_key(environment, app_id, service_name, version)?;
        let name = ServiceName::new(environment, app_id, service_name);
        let consumer = self.service_exists(tenant, &name, version)?;
        let mut providers = Vec::new();
        for provider in &dependency.providers {
            let (app, service) = (&provider.app_id, &provider.service_name);
            rules::query("MicroServiceKey", &provider.environment, app, service)?;
            providers.push(ServiceName::new(environment, app, service));
        }
        if !instead && let Some(service) = self.service(tenant, &consumer) {
            providers.extend(service.looks_up.iter().cloned());
        }
        providers.sort_unstable();
        providers.dedup();
        if providers.len() > MOST_PROVIDERS {
            let count = format!("{} services", providers.len());
            return Err(rules::size(
                "ConsumerDependency.Providers",
                &count,
                1,
                Some(MOST_PROVIDERS),
            ));
        }
        Ok((consumer, providers))
    }

    /// What a service looks up: all versions of it that there are.
    pub fn providers(&self, tenant: &Tenant, id: &str) -> Result<Vec<Arc<Microservice>>, Refusal> {
        let consumer = self.known_service(tenant, id)?;
        Ok(self.realm(tenant).map(|realm| realm.providers_of(consumer)).unwrap_or_default())
    }

    /// Who looks a service up.
    pub fn consumers(&self, tenant: &Tenant, id: &str) -> Result<Vec<Arc<Microservice>>, Refusal> {
        let name = self.known_service(tenant, id)?.record.name();
        let ids = self.realm(tenant).into_iter().flat_map(|realm| realm.consumers_of(&name));
        let services = ids.filter_map(|id| self.service(tenant, id));
        Ok(services.map(|service| Arc::clone(&service.record)).collect())
    }

    /// Notes that a consumer looked a service up. Where there is no room to
    /// note it, it still finds, but is not told.
    pub(super) fn looks_up(&mut self, tenant: &Tenant, id: &str, provider: ServiceName, now: Now) {
        let Some(consumer) = self.service(tenant, id) else {
            return;
        };
        let full = consumer.looks_up.len() >= MOST_PROVIDERS
            || self.room(0, 0, weight::of(&provider)).is_err();
        if full || consumer.looks_up.contains(&provider) {
            return;
        }
        let mut providers: Vec<_> = consumer.looks_up.iter().cloned().collect();
        providers.push(provider);
        self.commit(tenant, What::LooksUp { service: id.to_owned(), providers }, now);
    }

    /// Forgets who looked a name up that nothing has any more.
    pub(super) fn forget_provider(&mut self, tenant: &Tenant, name: &ServiceName, now: Now) {
        let Some(realm) = self.realm(tenant) else {
            return;
        };
        if !realm.named(name).is_empty() {
            return;
        }
        let consumers: Vec<_> = realm.consumers_of(name).map(str::to_owned).collect();
        for service in consumers {
            let looks_up = self.service(tenant, &service).map(|it| it.looks_up.iter());
            let left = looks_up.into_iter().flatten().filter(|other| *other != name);
            let providers = left.cloned().collect();
            self.commit(tenant, What::LooksUp { service, providers }, now);
        }
    }
}
