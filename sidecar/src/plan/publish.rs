//! Keeps the plan in step with what the source says, and finds the plan of a service.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use discovery::{Answer, Source, State};
use mesh::route::Subset;
use mesh::{Change, Cluster, Protocol, ServiceKey, Snapshot};
use tokio::sync::watch;
use tokio::time::{Instant, interval, timeout_at};

use super::registry::EndpointId;
use super::route::Made;
use super::{Address, Governed, Kind, Plan, Registry, Route, ServicePlan, ServiceState};
use crate::clock::Clock;
use crate::settings::Governance;

/// How long the first request for a name waits for the source.
const FIRST_USE: Duration = Duration::from_secs(2);
/// How often services in use are asked for again, so that the source goes on tracking them, and
/// unused state is collected.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// The plan in force, for all threads.
pub(crate) struct Plans {
    plan: ArcSwap<Plan>,
    /// What the settings say of services.
    governed: ArcSwap<Governed>,
    /// What the plan is compiled of. Whoever compiles one holds this meanwhile.
    compiled_of: Mutex<Arc<Snapshot>>,
    source: Arc<dyn Source>,
    registry: Registry,
    /// The application (or namespace) that names without one belong to.
    scope: Arc<str>,
    outside: Arc<ServiceState>,
    /// What is asked for and is nowhere, for metrics.
    unknown: Arc<ServiceState>,
    /// Services compiled so far.
    compiled: AtomicU64,
    pub(super) swapped: watch::Sender<()>,
    clock: Clock,
}

/// What a name turned out to be.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// A service that the source knows.
    Service(Arc<ServicePlan>),
    /// No service, and it never was one.
    Unknown,
    /// The source can't be reached, and the name was never heard of.
    Unavailable,
}

impl Plans {
    pub(crate) fn new(
        source: Arc<dyn Source>,
        scope: &str,
        clock: Clock,
        workers: usize,
    ) -> Arc<Self> {
        let registry = Registry::new(workers);
        // No application is called "", so no service is either of them.
        let outside = registry.service(&ServiceKey::new("", "passthrough"));
        let unknown = registry.service(&ServiceKey::new("", "unknown"));
        Arc::new(Self {
            plan: ArcSwap::default(),
            governed: ArcSwap::default(),
            compiled_of: Mutex::default(),
            source,
            registry,
            scope: scope.into(),
            outside,
            unknown,
            compiled: AtomicU64::new(0),
            swapped: watch::Sender::new(()),
            clock,
        })
    }

    /// Follows the source for ever.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut snapshots = self.source.snapshots();
        let mut housekeeping = interval(HOUSEKEEPING);
        loop {
            let next = Arc::clone(&snapshots.borrow_and_update());
            self.swap(next);
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() {
                    // The source is gone; what it said last stays in force.
                    return std::future::pending().await;
                },
                _ = housekeeping.tick() => self.keep_house(),
            }
        }
    }

    fn swap(&self, next: Arc<Snapshot>) {
        let mut known = self.compiled_of.lock().unwrap_or_else(PoisonError::into_inner);
        self.take_in(next.changes_since(&known), next.closed);
        *known = next;
    }

    /// Puts rules and terms in force, with the next request of each service. What changes with
    /// every request stays as it is.
    pub(crate) fn govern(&self, settings: &Governance) {
        let known = self.compiled_of.lock().unwrap_or_else(PoisonError::into_inner);
        if self.governed.load().is_of(settings, &self.scope) {
            return;
        }
        self.governed.store(Arc::new(Governed::new(settings, &self.scope)));
        let gone = self.plan.load();
        let gone = gone.services().filter(|service| service.withdrawn);
        let gone = gone.map(|service| Change::Removed(service.state.key.clone()));
        let there = known.services().map(|service| Change::Put(Arc::clone(service)));
        self.take_in(gone.chain(there), known.closed);
    }

    /// Services with rules of their source are compiled anew where they have an endpoint at one of
    /// these hosts.
    pub(crate) fn reconsider(&self, hosts: &HashSet<IpAddr>) {
        let known = self.compiled_of.lock().unwrap_or_else(PoisonError::into_inner);
        let there = |cluster: &Arc<Cluster>| {
            let endpoints = cluster.members.iter().flat_map(|member| &member.instance.endpoints);
            endpoints.into_iter().any(|endpoint| hosts.contains(&endpoint.address.ip()))
        };
        let concerned = known.services().filter(|service| {
            service.routing.as_ref().is_some_and(|routing| routing.clusters.iter().any(there))
        });
        let again = concerned.map(|service| Change::Put(Arc::clone(service)));
        self.take_in(again, known.closed);
    }

    fn take_in(&self, changes: impl Iterator<Item = Change>, closed: bool) {
        let mut changes = changes.peekable();
        if changes.peek().is_none() && self.is_closed() == closed {
            return;
        }
        let (now, governed) = (self.clock.now(), self.governed.load());
        let plan = self.plan.load();
        let (mut plan, compiled) = plan.with(changes, &self.registry, &governed, &self.scope, now);
        plan.closed = closed;
        self.plan.store(Arc::new(plan));
        self.compiled.fetch_add(compiled, Ordering::Relaxed);
        self.swapped.send_replace(());
    }

    fn keep_house(&self) {
        let now = self.clock.now();
        for service in self.plan.load().services() {
            if !service.withdrawn && service.state.in_use(now) {
                // The answer comes as a snapshot.
                drop(self.source.demand(&service.state.key));
            }
        }
        self.registry.collect(now);
    }

    /// The service called `name`, if it is in the plan already: the way of nearly all requests.
    pub(crate) fn known(&self, name: &str) -> Option<Arc<ServicePlan>> {
        let plan = self.plan.load();
        plan.named(name).filter(|service| !service.withdrawn).cloned()
    }

    /// The same; a source whose names have no case (hosts) knows it in lower case.
    fn known_as_written(&self, name: &str) -> Option<Arc<ServicePlan>> {
        self.known(name).or_else(|| self.known(&name.to_ascii_lowercase()))
    }

    /// The service called `name`, asking the source for it.
    pub(crate) async fn find(&self, name: &str) -> Lookup {
        let deadline = Instant::now() + FIRST_USE;
        let key = ServiceKey::new(Arc::clone(&self.scope), name);
        let answer = self.source.demand(&key).within(FIRST_USE).await;
        if answer == Answer::Known {
            // It is in a snapshot, so it will be in a plan.
            let mut swapped = self.swapped.subscribe();
            let compiled = swapped.wait_for(|()| self.known_as_written(name).is_some());
            let _ = timeout_at(deadline, compiled).await;
        }
        let plan = self.plan.load();
        let named = plan.named(name).or_else(|| plan.named(&name.to_ascii_lowercase()));
        match (named, answer) {
            (Some(service), _) => Lookup::Service(Arc::clone(service)),
            (None, Answer::Unknown) => Lookup::Unknown,
            (None, Answer::Known | Answer::Unavailable) => Lookup::Unavailable,
        }
    }

    /// An instance of a service is not where the source said: asks whether it still says so, rather
    /// than at the next refresh.
    pub(crate) fn doubt(&self, service: &ServiceKey) {
        self.source.doubt(service);
    }

    /// A route to `host`, which no source claims; within TLS where it is `secured`.
    pub(crate) fn outside(
        &self,
        host: &str,
        port: u16,
        protocol: Protocol,
        secured: bool,
    ) -> Arc<Route> {
        let address = match host.parse::<IpAddr>() {
            Ok(ip) => Address::Known((ip, port).into()),
            Err(_) => Address::Name(host.to_ascii_lowercase().into(), port),
        };
        let id = EndpointId { instance: None, protocol, address, tls: secured, by_peer: false };
        let endpoint = self.registry.endpoint(&id, self.clock.now());
        let governed = self.governed.load();
        let any = Subset::default();
        let made = Made {
            kind: Kind::Outside,
            state: &self.outside,
            terms: governed.outside(),
            limits: governed.consumer_limits(),
            subset: &any,
        };
        made.to(vec![endpoint], 1)
    }

    /// What the settings say of services.
    pub(crate) fn governed(&self) -> arc_swap::Guard<Arc<Governed>> {
        self.governed.load()
    }

    /// Whether the source has services that are called by an address.
    pub(crate) fn knows_addresses(&self) -> bool {
        self.source.knows_addresses()
    }

    /// Whether the source lets nothing out of the mesh.
    pub(crate) fn is_closed(&self) -> bool {
        self.plan.load().closed
    }

    /// What requests are counted for that name no service.
    pub(crate) fn unknown(&self) -> &ServiceState {
        &self.unknown
    }

    /// Who keeps what changes with every request.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The plan in force.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// What the source says: also of what takes no requests.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.source.snapshots().borrow())
    }

    /// What is counted of all hosts outside of the mesh.
    pub(crate) fn outside_state(&self) -> &Arc<ServiceState> {
        &self.outside
    }

    /// How the source is doing.
    pub(crate) fn state(&self) -> State {
        self.source.state().borrow().clone()
    }

    /// How many services were compiled since the start.
    pub(crate) fn compiled(&self) -> u64 {
        self.compiled.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Plans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plans").field("plan", &self.plan).finish_non_exhaustive()
    }
}
