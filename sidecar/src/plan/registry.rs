//! What changes with every request, kept apart from the plan: breakers, counters, evictions. An
//! entry belongs to a name, not to a plan, and so survives every change of what is known.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use mesh::balance::{Latency, Rates, Streak, hash};
use mesh::{Breaker, Bucket, Budget, Eviction, InstanceId, Protocol, RoundRobin, ServiceKey};

use super::Route;
use super::peers::Peers;
use crate::metrics::Counters;
use crate::slots::Slots;

/// An entry that nobody used for this long is forgotten, unless a plan has it.
const IDLE: Duration = Duration::from_mins(10);
/// Where a proxy of ours listens, where nobody says.
pub(crate) const PEER: u16 = 30101;
/// Services that are counted each by itself; the others are counted together. A bound on what
/// metrics take, here and where they are collected.
pub(crate) const COUNTED: usize = 256;
/// Hosts outside of the mesh that are kept; further ones share nothing between requests.
const HOSTS: usize = 10_000;

/// One service, or the application, or all that lies outside: the unit of breaker and metrics.
#[derive(Debug)]
pub(crate) struct ServiceState {
    pub(crate) key: ServiceKey,
    pub(crate) breaker: Breaker,
    pub(crate) turns: RoundRobin,
    /// How many requests have been sent lately, where that is limited.
    pub(crate) bucket: Bucket,
    /// What it may have to bear of retries.
    pub(crate) budget: Budget,
    /// For requests under way, where their number is limited.
    slots: OnceLock<Arc<Slots>>,
    /// Its own, or those of all that are too many.
    pub(crate) counters: Arc<Counters>,
    used: AtomicU64,
}

impl ServiceState {
    fn new(key: ServiceKey, counters: &Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            key,
            breaker: Breaker::default(),
            turns: RoundRobin::default(),
            bucket: Bucket::default(),
            budget: Budget::default(),
            slots: OnceLock::new(),
            counters: Arc::clone(counters),
            used: AtomicU64::new(0),
        })
    }

    /// The slots of requests under way, where their number is limited.
    pub(crate) fn slots(&self) -> &Arc<Slots> {
        self.slots.get_or_init(Slots::new)
    }

    /// The same; `None`: it never was.
    pub(crate) fn bounded(&self) -> Option<&Arc<Slots>> {
        self.slots.get()
    }

    /// Notes that a request came for it.
    pub(crate) fn touch(&self, now: Duration) {
        // Once a second is enough, and leaves the line in everybody's cache.
        if self.used.load(Ordering::Relaxed) != now.as_secs() {
            self.used.store(now.as_secs(), Ordering::Relaxed);
        }
    }

    /// Whether a request ever came, beyond the first second.
    pub(crate) fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed) > 0
    }

    /// Whether a request came lately.
    pub(crate) fn in_use(&self, now: Duration) -> bool {
        now < Duration::from_secs(self.used.load(Ordering::Relaxed)) + IDLE
    }
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    /// At an address.
    Known(SocketAddr),
    /// Outside of the mesh: whatever the resolver says when a connection is needed.
    Name(Arc<str>, u16),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// Which endpoint is meant, whatever plan speaks of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct EndpointId {
    /// `None`: of no service.
    pub(crate) instance: Option<(ServiceKey, InstanceId)>,
    pub(crate) protocol: Protocol,
    pub(crate) address: Address,
    pub(crate) tls: bool,
    /// A proxy of ours beside it is spoken to instead, and told the port (Istio).
    pub(crate) by_peer: bool,
}

impl EndpointId {
    /// Where connections go.
    pub(crate) fn entrance(&self) -> Address {
        match &self.address {
            Address::Known(address) if self.by_peer => {
                Address::Known(SocketAddr::new(address.ip(), PEER))
            }
            address => address.clone(),
        }
    }
}

/// Names one endpoint's connections in the pools of all workers; never used again for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PoolId(u32);

/// One address that takes requests.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) id: EndpointId,
    pub(crate) pool: PoolId,
    /// It cannot be connected to.
    pub(crate) eviction: Eviction,
    /// It can be, and answers badly.
    pub(crate) ejection: Eviction,
    /// Bad answers in a row, where somebody counts them.
    pub(crate) streak: Streak,
    /// How often it succeeds, where somebody counts that.
    pub(crate) rates: Rates,
    /// Its own, where each instance has one.
    pub(crate) breaker: Breaker,
    /// How long it takes, where somebody measures that.
    pub(crate) latency: Latency,
    /// What sessions know it by.
    pub(crate) session: u64,
    /// When it was first heard of.
    pub(crate) came: Duration,
    pub(crate) in_flight: AtomicUsize,
    /// Times it was chosen; beside `in_flight`, which is written at the same moment.
    pub(crate) attempts: AtomicU64,
    /// Of those, the ones that brought no response.
    pub(crate) failures: AtomicU64,
    /// Open connections to it.
    pub(crate) connections: AtomicUsize,
    used: AtomicU64,
}

impl Endpoint {
    /// Whether it may be chosen. The time is asked for only where it matters.
    pub(crate) fn is_usable(&self, now: impl Fn() -> Duration) -> bool {
        self.eviction.usable(&now) && self.ejection.usable(&now)
    }

    /// For how long it is left out, for people.
    pub(crate) fn out_for(&self, now: Duration) -> Option<Duration> {
        self.eviction.out_for(now).max(self.ejection.out_for(now))
    }
}

/// The same in every proxy, and after a restart of this one.
fn session(id: &EndpointId) -> u64 {
    let instance = id.instance.as_ref().map_or("", |(_, instance)| &instance.0);
    hash(format!("{instance} {}", id.address).as_bytes())
}

/// All entries. Plans hold what they need of it, so requests never come here; only who compiles
/// plans or meets a new host does.
#[derive(Debug)]
pub(crate) struct Registry {
    entries: Mutex<Entries>,
    workers: usize,
    /// Of the services that are too many to be counted each by itself.
    overflow: Arc<Counters>,
    next_pool: AtomicU32,
    /// Hosts with a proxy of ours.
    pub(crate) peers: Peers,
    /// Endpoints that were left out for a while, by why.
    evictions: [AtomicU64; 4],
    /// Who leaves one out for how it answers does so alone, or two together would be too many.
    ejecting: Mutex<()>,
}

/// Why an endpoint is left out for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It takes no connection.
    Connect,
    /// It takes one, and makes no TLS session on it.
    Tls,
    /// It answers badly, so many times in a row.
    Outlier,
    /// It answers well less often than the others.
    SuccessRate,
}

#[derive(Debug, Default)]
struct Entries {
    services: HashMap<ServiceKey, Arc<ServiceState>>,
    /// Of the services, those that are counted each by itself.
    counted: usize,
    endpoints: HashMap<EndpointId, Arc<Endpoint>>,
}

impl Registry {
    /// For so many workers, each of which counts by itself.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            entries: Mutex::default(),
            workers,
            overflow: Arc::new(Counters::new(workers)),
            next_pool: AtomicU32::default(),
            peers: Peers::default(),
            evictions: <[AtomicU64; 4]>::default(),
            ejecting: Mutex::default(),
        }
    }

    /// The state of a service, new or as it was.
    pub(crate) fn service(&self, key: &ServiceKey) -> Arc<ServiceState> {
        let mut entries = self.lock();
        if let Some(known) = entries.services.get(key) {
            return Arc::clone(known);
        }
        let state = if entries.counted < COUNTED {
            entries.counted += 1;
            ServiceState::new(key.clone(), &Arc::new(Counters::new(self.workers)))
        } else {
            ServiceState::new(key.clone(), &self.overflow)
        };
        entries.services.insert(key.clone(), Arc::clone(&state));
        state
    }

    /// The state of an endpoint, new or as it was.
    pub(crate) fn endpoint(&self, id: &EndpointId, now: Duration) -> Arc<Endpoint> {
        let mut entries = self.lock();
        if let Some(known) = entries.endpoints.get(id) {
            known.used.store(now.as_secs(), Ordering::Relaxed);
            return Arc::clone(known);
        }
        let endpoint = Arc::new(Endpoint {
            id: id.clone(),
            pool: PoolId(self.next_pool.fetch_add(1, Ordering::Relaxed)),
            eviction: Eviction::default(),
            ejection: Eviction::default(),
            streak: Streak::default(),
            rates: Rates::default(),
            breaker: Breaker::default(),
            latency: Latency::default(),
            session: session(id),
            came: now,
            in_flight: AtomicUsize::new(0),
            attempts: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            used: AtomicU64::new(now.as_secs()),
        });
        if entries.endpoints.len() < HOSTS || id.instance.is_some() {
            entries.endpoints.insert(id.clone(), Arc::clone(&endpoint));
        }
        endpoint
    }

    /// Leaves an endpoint out for a while.
    pub(crate) fn evict(&self, endpoint: &Endpoint, why: Unusable, now: Duration) {
        if endpoint.eviction.failed(now) {
            self.evictions[why as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often that was done, by what for.
    pub(crate) fn evictions(&self) -> [(&'static str, u64); 4] {
        let [connect, tls, outlier, rate] =
            self.evictions.each_ref().map(|it| it.load(Ordering::Relaxed));
        [("connect", connect), ("tls", tls), ("outlier", outlier), ("success_rate", rate)]
    }

    /// Leaves an endpoint of `route` out for how it answers, if not too many are out already.
    pub(crate) fn eject(&self, route: &Route, endpoint: &Endpoint, why: Unusable, now: Duration) {
        let terms = &route.terms.balancing.outliers;
        let _alone = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        if terms.may_go(route.out(now), route.endpoints.len())
            && endpoint.ejection.failed_for(now, terms.first, terms.longest)
        {
            self.evictions[why as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets what no plan has and nobody used for ten minutes.
    pub(crate) fn collect(&self, now: Duration) {
        let idle =
            |used: &AtomicU64| now >= Duration::from_secs(used.load(Ordering::Relaxed)) + IDLE;
        let mut entries = self.lock();
        entries.services.retain(|_, state| Arc::strong_count(state) > 1 || !idle(&state.used));
        entries.counted = entries.services.values().filter(|state| self.counts(state)).count();
        entries.endpoints.retain(|_, endpoint| {
            let held = Arc::strong_count(endpoint) > 1;
            if held {
                // The ten minutes begin when the last plan lets go of it.
                endpoint.used.store(now.as_secs(), Ordering::Relaxed);
            }
            held || !idle(&endpoint.used)
        });
    }

    /// All services, for metrics.
    pub(crate) fn services(&self) -> Vec<Arc<ServiceState>> {
        self.lock().services.values().cloned().collect()
    }

    /// All endpoints, for metrics.
    pub(crate) fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.lock().endpoints.values().cloned().collect()
    }

    /// Endpoints of no service: of the application, and of hosts outside of the mesh.
    pub(crate) fn unnamed(&self) -> Vec<Arc<Endpoint>> {
        let entries = self.lock();
        entries.endpoints.values().filter(|it| it.id.instance.is_none()).cloned().collect()
    }

    /// Whether a service is counted by itself.
    pub(crate) fn counts(&self, service: &ServiceState) -> bool {
        !Arc::ptr_eq(&service.counters, &self.overflow)
    }

    /// What is counted of those that are not, together.
    pub(crate) fn overflow(&self) -> &Counters {
        &self.overflow
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use mesh::{Protocol, ServiceKey};

    use super::{Address, COUNTED, EndpointId, Registry};

    fn id(port: u16) -> EndpointId {
        EndpointId {
            instance: None,
            protocol: Protocol::Rest,
            address: Address::Known(SocketAddr::from(([127, 0, 0, 1], port))),
            tls: false,
            by_peer: false,
        }
    }

    #[test]
    fn an_entry_outlives_its_plan_by_ten_minutes() {
        let registry = Registry::new(1);
        let minutes = |m: u64| Duration::from_secs(60 * m);
        let held = registry.endpoint(&id(1), minutes(0));
        let pool = held.pool;
        let service = registry.service(&ServiceKey::new("a", "s"));
        service.touch(minutes(20));

        registry.collect(minutes(20));
        drop((held, service));
        registry.collect(minutes(29));
        assert_eq!(registry.endpoint(&id(1), minutes(29)).pool, pool, "kept while it was held");
        assert_eq!(registry.services().len(), 1);

        registry.collect(minutes(40));
        assert!(registry.services().is_empty());
        assert_ne!(registry.endpoint(&id(1), minutes(40)).pool, pool, "a new life, a new pool");
    }

    #[test]
    fn services_beyond_a_number_are_counted_together() {
        let registry = Registry::new(1);
        let service = |n: usize| registry.service(&ServiceKey::new("a", format!("s{n}")));
        let all: Vec<_> = (0..COUNTED + 3).map(service).collect();
        assert!(all[..COUNTED].iter().all(|service| registry.counts(service)));
        assert!(all[COUNTED..].iter().all(|service| !registry.counts(service)));
        drop(all);
        registry.collect(Duration::from_mins(11));
        assert!(registry.counts(&service(COUNTED)), "there is room again");
    }

    #[test]
    fn one_id_is_one_entry() {
        let registry = Registry::new(1);
        let first = registry.endpoint(&id(1), Duration::ZERO);
        assert!(Arc::ptr_eq(&first, &registry.endpoint(&id(1), Duration::ZERO)));
        assert!(!Arc::ptr_eq(&first, &registry.endpoint(&id(2), Duration::ZERO)));
    }
}
