//! A service as its source describes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::instance::Instance;
use crate::service_key::ServiceKey;
use crate::version::Version;

/// Names and values that rules select instances by.
pub type Tags = BTreeMap<Arc<str>, Arc<str>>;

/// A service and all of its instances, of every version and status. Two are equal when no request
/// could tell them apart, so that a source may hand over the same again at no cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub key: ServiceKey,
    /// Its instances, in the order of their ids: sources answer in any order.
    instances: Vec<Arc<Instance>>,
    latest: Option<Version>,
}

impl Service {
    /// A service with these instances; of two with one id the later counts.
    pub fn new(key: ServiceKey, instances: impl IntoIterator<Item = Instance>) -> Self {
        let by_id: BTreeMap<_, _> =
            instances.into_iter().map(|i| (i.id.clone(), Arc::new(i))).collect();
        let instances: Vec<_> = by_id.into_values().collect();
        let serving = instances.iter().filter(|i| i.status.serves());
        let latest = serving.map(|i| i.version).max();
        Self { key, instances, latest }
    }

    /// In the order of their ids.
    pub fn instances(&self) -> &[Arc<Instance>] {
        &self.instances
    }

    /// The highest version that takes requests.
    pub fn latest(&self) -> Option<Version> {
        self.latest
    }
}
