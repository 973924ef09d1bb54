//! What the settings say of services, as a plan is compiled from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh::route::Rule;
use mesh::{Instance, ServiceKey};

use super::limits::Limits;
use crate::settings::{Governance, Terms};

/// Rules and terms, by service.
#[derive(Debug, Default)]
pub(crate) struct Governed {
    settings: Governance,
    /// The application (or namespace) that rules speak of.
    scope: Arc<str>,
    consumer: Arc<Terms>,
    outside: Arc<Terms>,
    services: BTreeMap<String, Arc<Terms>>,
    provider: Arc<Terms>,
    consumer_limits: Arc<Limits>,
    provider_limits: Arc<Limits>,
}

impl Governed {
    pub(crate) fn new(settings: &Governance, scope: &str) -> Self {
        let services = settings.services.iter();
        Self {
            scope: scope.into(),
            consumer: Arc::new(settings.consumer.clone()),
            // All that is outside counts as one service: what is meant for one of many is not for
            // it, and there is only one address to choose.
            outside: Arc::new(Terms {
                breaker: settings.consumer.breaker,
                failing: settings.consumer.failing.clone(),
                ..Terms::default()
            }),
            services: services.map(|(name, of)| (name.clone(), Arc::new(of.clone()))).collect(),
            provider: Arc::new(settings.provider.clone()),
            consumer_limits: Arc::new(Limits::new(
                &settings.consumer_groups,
                &BTreeMap::new(),
                &settings.consumer_marks,
            )),
            provider_limits: Arc::new(Limits::new(
                &settings.provider_groups,
                &settings.callers,
                &settings.provider_marks,
            )),
            settings: settings.clone(),
        }
    }

    /// Whether it comes of the same settings.
    pub(super) fn is_of(&self, settings: &Governance, scope: &str) -> bool {
        *self.scope == *scope && self.settings == *settings
    }

    /// The rules of a service, in their order.
    pub(super) fn rules(&self, key: &ServiceKey) -> &[Rule] {
        let ours = *key.scope == *self.scope;
        let rules = self.settings.rules.get(&*key.name).filter(|_| ours);
        rules.map(Vec::as_slice).unwrap_or_default()
    }

    /// The terms of requests to a service.
    pub(super) fn terms(&self, key: &ServiceKey) -> &Arc<Terms> {
        let ours = *key.scope == *self.scope;
        self.services.get(&*key.name).filter(|_| ours).unwrap_or(&self.consumer)
    }

    /// The rules and terms of a service that requests call by any of these names (Istio).
    pub(super) fn of_names(&self, names: &[Arc<str>]) -> (&[Rule], &Arc<Terms>) {
        let rules = names.iter().find_map(|name| self.settings.rules.get(&**name));
        let terms = names.iter().find_map(|name| self.services.get(&**name));
        (rules.map(Vec::as_slice).unwrap_or_default(), terms.unwrap_or(&self.consumer))
    }

    /// The terms of requests that leave the mesh.
    pub(super) fn outside(&self) -> &Arc<Terms> {
        &self.outside
    }

    /// The terms of requests to the application behind us.
    pub(super) fn provider(&self) -> &Arc<Terms> {
        &self.provider
    }

    /// Limits of all requests that the application makes.
    pub(super) fn consumer_limits(&self) -> &Arc<Limits> {
        &self.consumer_limits
    }

    /// Limits of all requests that it is sent.
    pub(super) fn provider_limits(&self) -> &Arc<Limits> {
        &self.provider_limits
    }

    /// How far away an instance is, where that matters: 0 is our zone, 1 our region.
    pub(super) fn distance(&self, instance: &Instance) -> u8 {
        let Some(ours) = &self.settings.close_to else { return 0 };
        let tag = |name: &str| instance.tags.get(name).map(|value| &**value).unwrap_or_default();
        match (tag("region") == ours.region, tag("availableZone") == ours.zone) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        }
    }
}
