//! What consumers ask: which instances does a service have?
//!
//! All versions and statuses are answered, whatever `version` a query names: consumers choose.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::realm::{Realm, Registered, Service};
use super::revision::{Fingerprint, revision};
use super::{Code, Now, Refusal, Store, rules};
use crate::model::{Instance, Microservice, ServiceName, Tenant};

/// A query for the instances of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// The environment. A consumer's own counts instead.
    pub environment: String,
    /// The application.
    pub app: String,
    /// The service, or an alias.
    pub service: String,
    /// Only services with all of these tags.
    pub tags: Vec<String>,
}

/// Instances, and the revision of just this set with just this content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// By service and id.
    pub instances: Vec<Arc<Instance>>,
    /// Changes when and only when `instances` do.
    pub revision: String,
}

impl Found {
    fn of<'a>(instances: impl Iterator<Item = &'a Registered>) -> Self {
        let found: (Vec<Arc<Instance>>, Vec<Fingerprint>) =
            instances.map(|it| (Arc::clone(&it.record), it.fingerprint)).unzip();
        Self { instances: found.0, revision: revision(found.1) }
    }
}

/// Several queries in one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Batch {
    /// Services to find.
    pub services: Vec<FindService>,
    /// Instances to look at.
    pub instances: Vec<FindOne>,
}

/// A service to find.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FindService {
    /// Which.
    pub service: Option<Wanted>,
    /// The revision that the consumer has.
    pub rev: String,
}

/// The service of a [`FindService`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Wanted {
    environment: String,
    app_id: String,
    service_name: String,
}

/// An instance to look at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FindOne {
    instance: Option<InstanceKey>,
    rev: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct InstanceKey {
    service_id: String,
    instance_id: String,
}

/// The answers to one half of a [`Batch`], by the place of the question.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Failed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_modified: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    updated: Vec<Updated>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Failed {
    indexes: Vec<usize>,
    error: FailedError,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct FailedError {
    error_code: String,
    error_message: String,
    detail: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Updated {
    index: usize,
    rev: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    instances: Vec<Arc<Instance>>,
}

impl BatchAnswer {
    fn of(answers: Vec<(String, Result<Found, Refusal>)>) -> Self {
        let mut all = Self::default();
        let mut failed: BTreeMap<Code, Failed> = BTreeMap::new();
        for (index, (rev, answer)) in answers.into_iter().enumerate() {
            match answer {
                Ok(found) if found.revision == rev => all.not_modified.push(index),
                Ok(Found { instances, revision: rev }) => {
                    all.updated.push(Updated { index, rev, instances });
                }
                // One entry for each code, with the words of the first.
                Err(refusal) => {
                    let entry = failed.entry(refusal.code).or_insert_with(|| Failed {
                        indexes: Vec::new(),
                        error: FailedError {
                            error_code: refusal.code.number().to_string(),
                            error_message: refusal.code.message().into(),
                            detail: refusal.to_string(),
                        },
                    });
                    entry.indexes.push(index);
                }
            }
        }
        all.failed = failed.into_values().collect();
        all
    }
}

impl Store {
    /// The instances of a service that `consumer` may see, or anybody if there is none. That a
    /// consumer asked is kept: its watcher is told from now on what happens to them.
    pub fn find(
        &mut self,
        tenant: &Tenant,
        consumer: &str,
        query: &Query,
        now: Now,
    ) -> Result<Found, Refusal> {
        rules::query("FindInstancesRequest", &query.environment, &query.app, &query.service)?;
        let consumer = self.consumer(tenant, consumer)?;
        let environment = consumer.as_ref().map_or(&query.environment, |it| &it.environment);
        let name = ServiceName::new(environment, &query.app, &query.service);
        let providers = self.realm(tenant).map(|realm| realm.named(&name)).unwrap_or_default();
        if providers.is_empty() {
            let asking = asking(consumer.as_deref());
            let detail = format!("{asking} find provider[{name}] failed, provider does not exist");
            return Err(Refusal::new(Code::NoService, detail));
        }
        let visible: Vec<_> = providers
            .into_iter()
            .filter(|provider| sees(consumer.as_deref(), &provider.record))
            .collect();
        let has_tags =
            |provider: &&&Service| query.tags.iter().all(|tag| provider.tags.contains_key(tag));
        let found = Found::of(
            visible.iter().filter(has_tags).flat_map(|provider| provider.instances.values()),
        );
        if let Some(consumer) = consumer
            && !visible.is_empty()
        {
            self.looks_up(tenant, &consumer.service_id, name, now);
        }
        Ok(found)
    }

    /// The instances of one version of a service.
    pub fn list_instances(
        &self,
        tenant: &Tenant,
        consumer: &str,
        service: &str,
    ) -> Result<Found, Refusal> {
        let consumer = self.consumer(tenant, consumer)?;
        let Some(provider) = self.service(tenant, service) else {
            let detail = format!("Provider[{service}] does not exist.");
            return Err(Refusal::new(Code::NoService, detail));
        };
        if !sees(consumer.as_deref(), &provider.record) {
            return Ok(Found::of(std::iter::empty()));
        }
        Ok(Found::of(provider.instances.values()))
    }

    /// One instance.
    pub fn get_instance(
        &self,
        tenant: &Tenant,
        consumer: &str,
        service: &str,
        instance: &str,
    ) -> Result<Found, Refusal> {
        let consumer = self.consumer(tenant, consumer)?;
        let Some(provider) = self.service(tenant, service) else {
            let detail = format!("Provider[{service}] does not exist.");
            return Err(Refusal::new(Code::NoService, detail));
        };
        let visible = sees(consumer.as_deref(), &provider.record);
        if let Some(found) = provider.instances.get(instance).filter(|_| visible) {
            return Ok(Found::of(std::iter::once(found)));
        }
        let (asking, record) = (asking(consumer.as_deref()), &provider.record);
        let (name, version) = (record.name(), &record.version);
        let detail = format!(
            "{asking} find provider[{service}][{name}/{version}] instance[{instance}] failed, \
             provider instance does not exist"
        );
        Err(Refusal::new(Code::NoInstance, detail))
    }

    /// Several queries in one; the answers are for the services and for the instances, each
    /// `None` if nothing was asked about them.
    pub fn find_many(
        &mut self,
        tenant: &Tenant,
        consumer: &str,
        batch: Batch,
        now: Now,
    ) -> Result<(Option<BatchAnswer>, Option<BatchAnswer>), Refusal> {
        if batch.services.is_empty() && batch.instances.is_empty() {
            return Err(Refusal::invalid("Required services or instances"));
        }
        let mut services = Vec::new();
        for FindService { service, rev } in batch.services {
            let Some(wanted) = service else {
                return Err(rules::size("FindService.Service", "<nil>", 1, None));
            };
            let query = Query {
                environment: wanted.environment,
                app: wanted.app_id,
                service: wanted.service_name,
                tags: Vec::new(),
            };
            services.push((rev, self.find(tenant, consumer, &query, now)));
        }
        let mut instances = Vec::new();
        for FindOne { instance, rev } in batch.instances {
            let Some(key) = instance else {
                return Err(rules::size("FindInstance.Instance", "<nil>", 1, None));
            };
            let found = self.get_instance(tenant, consumer, &key.service_id, &key.instance_id);
            instances.push((rev, found));
        }
        let answer = |answers: Vec<_>| (!answers.is_empty()).then(|| BatchAnswer::of(answers));
        Ok((answer(services), answer(instances)))
    }

    /// Who asks; `None` without an id.
    fn consumer(&self, tenant: &Tenant, id: &str) -> Result<Option<Arc<Microservice>>, Refusal> {
        if id.is_empty() {
            return Ok(None);
        }
        let known = self.service(tenant, id).map(|consumer| Arc::clone(&consumer.record));
        let unknown = || Refusal::new(Code::NoService, format!("Consumer[{id}] does not exist."));
        known.ok_or_else(unknown).map(Some)
    }
}

/// Whether `consumer` may see the instances of `provider`. Without a consumer everything shows.
fn sees(consumer: Option<&Microservice>, provider: &Microservice) -> bool {
    consumer.is_none_or(|consumer| {
        consumer.environment == provider.environment
            && (consumer.app_id == provider.app_id || provider.allows_cross_app())
    })
}

/// How an answer names who asked.
fn asking(consumer: Option<&Microservice>) -> String {
    match consumer {
        Some(it) => format!("Consumer[{}][{}/{}]", it.service_id, it.name(), it.version),
        None => "Consumer[][///]".into(),
    }
}

impl Realm {
    /// All versions that `consumer` may see of what it looks up.
    pub(super) fn providers_of(&self, consumer: &Service) -> Vec<Arc<Microservice>> {
        let names = consumer.looks_up.iter();
        let providers = names.flat_map(|name| self.named(name)).map(|it| Arc::clone(&it.record));
        providers.filter(|provider| sees(Some(&consumer.record), provider)).collect()
    }
}
