//! A service as its source describes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::instance::Instance;
use crate::service_key::ServiceKey;
use crate::version::Version;
use crate::virtual_host::RouteRule;

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
    /// What its source says of where requests go (Istio); without, they go to instances.
    pub routing: Option<Arc<Routing>>,
}

/// Where requests to a service go, where its source has rules for that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routing {
    /// The hosts that requests may call the service by, whatever its key.
    pub names: Vec<Arc<str>>,
    /// Its ports; who asks for none is taken to the first.
    pub ports: Vec<Port>,
    /// All clusters that the rules of its ports speak of, and perhaps others.
    pub clusters: Vec<Arc<Cluster>>,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// Its rules: the first that agrees with a request decides. Where none does, there is nobody.
    pub rules: Arc<[RouteRule]>,
}

impl Routing {
    /// The cluster that rules call `name`.
    pub fn cluster(&self, name: &str) -> Option<&Arc<Cluster>> {
        self.clusters.iter().find(|cluster| *cluster.name == *name)
    }
}

impl Service {
    /// A service with these instances; of two with one id the later counts.
    pub fn new(key: ServiceKey, instances: impl IntoIterator<Item = Instance>) -> Self {
        let by_id: BTreeMap<_, _> =
            instances.into_iter().map(|i| (i.id.clone(), Arc::new(i))).collect();
        let instances: Vec<_> = by_id.into_values().collect();
        let serving = instances.iter().filter(|i| i.status.serves());
        let latest = serving.map(|i| i.version).max();
        Self { key, instances, latest, routing: None }
    }

    /// A service whose source says where requests to it go. Its instances are those of its clusters
    /// that are of no other service.
    pub fn routed(key: ServiceKey, routing: Routing) -> Self {
        let own = routing.clusters.iter().filter(|cluster| cluster.service == key);
        let by_id: BTreeMap<_, _> = own
            .flat_map(|cluster| &cluster.members)
            .map(|member| (member.instance.id.clone(), Arc::clone(&member.instance)))
            .collect();
        let instances: Vec<_> = by_id.into_values().collect();
        let latest = instances.iter().filter(|i| i.status.serves()).map(|i| i.version).max();
        Self { key, instances, latest, routing: Some(Arc::new(routing)) }
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
