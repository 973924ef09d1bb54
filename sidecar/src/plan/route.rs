//! Where a request may go, with all that governs it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh::balance::{Maglev, Ring, Strategy, SuccessRate};
use mesh::route::Subset;
use mesh::virtual_host::Share;
use mesh::{BreakerScope, Permit};

use super::limits::Limits;
use super::{Endpoint, Ruled, ServiceState};
use crate::settings::Terms;

/// Where a request may go.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) kind: Kind,
    pub(crate) state: Arc<ServiceState>,
    /// On which terms.
    pub(crate) terms: Arc<Terms>,
    /// How many requests may go there, of all that come in on this side.
    pub(crate) limits: Arc<Limits>,
    /// Of the service's instances.
    pub(crate) subset: Subset,
    /// Those close by first.
    pub(crate) endpoints: Box<[Arc<Endpoint>]>,
    /// How many of them are close by; the others are for when none of these can be used.
    pub(crate) close: usize,
    /// What a rule of its source says besides (Istio). Such endpoints are the application itself,
    /// without a proxy of ours before it.
    pub(crate) ruled: Option<Box<Ruled>>,
    /// Where copies of its requests go.
    pub(crate) mirrors: Box<[Mirrored]>,
    /// Whose a hash is, where that decides.
    table: Table,
    /// The period in which success rates were last held against each other.
    judged: AtomicU64,
}

/// Which rules a route follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To instances of a service, in turn.
    Service,
    /// To the application behind us: the first address that takes a connection.
    Local,
    /// To where the request says, outside of the mesh.
    Outside,
}

/// Copies of some requests.
#[derive(Debug, Clone)]
pub(crate) struct Mirrored {
    pub(crate) share: Share,
    pub(crate) to: Mirror,
}

/// Whom copies go to.
#[derive(Debug, Clone)]
pub(crate) enum Mirror {
    /// Whoever is there.
    Route(Arc<Route>),
    /// A service, by its own rules.
    Service(Arc<str>),
}

/// What a route is made of.
pub(super) struct Made<'a> {
    pub(super) kind: Kind,
    pub(super) state: &'a Arc<ServiceState>,
    pub(super) terms: &'a Arc<Terms>,
    pub(super) limits: &'a Arc<Limits>,
    pub(super) subset: &'a Subset,
}

#[derive(Debug)]
enum Table {
    None,
    Ring(Ring),
    Maglev(Maglev),
}

impl Made<'_> {
    /// A route to these endpoints, the first `close` of which are close by.
    pub(super) fn to(&self, endpoints: Vec<Arc<Endpoint>>, close: usize) -> Arc<Route> {
        self.to_ruled(endpoints, close, None)
    }

    /// The same, where a rule of the source leads there.
    pub(super) fn to_ruled(
        &self,
        endpoints: Vec<Arc<Endpoint>>,
        close: usize,
        ruled: Option<Ruled>,
    ) -> Arc<Route> {
        let named = || endpoints.iter().map(|one| one.id.address.to_string()).collect::<Vec<_>>();
        let table = match &self.terms.balancing.strategy {
            Strategy::RingHash(_) => Table::Ring(Ring::new(named().iter().map(String::as_str))),
            Strategy::Maglev(_) => Table::Maglev(Maglev::new(named().iter().map(String::as_str))),
            _ => Table::None,
        };
        Arc::new(Route {
            kind: self.kind,
            state: Arc::clone(self.state),
            terms: Arc::clone(self.terms),
            limits: Arc::clone(self.limits),
            subset: self.subset.clone(),
            endpoints: endpoints.into(),
            close,
            ruled: ruled.map(Box::new),
            mirrors: Box::default(),
            table,
            judged: AtomicU64::new(0),
        })
    }
}

impl Route {
    /// Whether a proxy of ours is before an endpoint of it, and can be told and believed things.
    pub(crate) fn is_peer(&self, endpoint: &Endpoint) -> bool {
        self.kind == Kind::Service && (self.ruled.is_none() || endpoint.id.by_peer)
    }

    /// Whose a hash is, where that decides.
    pub(crate) fn of_hash(&self, hash: u64) -> Option<usize> {
        match &self.table {
            Table::None => None,
            Table::Ring(ring) => ring.find(hash),
            Table::Maglev(maglev) => maglev.find(hash),
        }
    }

    /// Whether each endpoint has a breaker of its own, rather than all of them that of the service.
    pub(crate) fn breaks_each(&self) -> bool {
        let terms = &self.terms.breaker;
        terms.enabled && terms.scope == BreakerScope::Instance
    }

    /// Asks an endpoint's own breaker for leave.
    pub(crate) fn admit(&self, endpoint: &Endpoint, now: impl FnOnce() -> Duration) -> Permit {
        let permit = endpoint.breaker.admit(&self.terms.breaker, now);
        if permit == Permit::Probe {
            self.state.breaker.turned(mesh::BreakerState::HalfOpen);
        }
        permit
    }

    /// Tells an endpoint's own breaker how a request has ended. Its service counts how often that
    /// turned it.
    pub(crate) fn judge(&self, endpoint: &Endpoint, now: Duration, permit: Permit, success: bool) {
        if let Some(state) = endpoint.breaker.record(&self.terms.breaker, now, permit, success) {
            self.state.breaker.turned(state);
        }
    }

    /// The endpoints that have succeeded too seldom in the ten seconds that are over. They are told
    /// once, to who asks first.
    pub(crate) fn below_the_others(&self, now: Duration) -> Vec<&Arc<Endpoint>> {
        let terms = &self.terms.balancing.outliers.success_rate;
        let period = SuccessRate::period(now);
        if self.judged.load(Ordering::Relaxed) == period
            || self.judged.swap(period, Ordering::Relaxed) == period
        {
            return Vec::new();
        }
        let Some(last) = period.checked_sub(1) else { return Vec::new() };
        // One with a greater weight stands there more than once.
        let mut seen = BTreeSet::new();
        let all: Vec<_> = self.endpoints.iter().filter(|it| seen.insert(it.pool)).collect();
        let counted: Vec<_> = all.iter().map(|endpoint| endpoint.rates.in_period(last)).collect();
        terms.outliers(&counted).into_iter().map(|place| all[place]).collect()
    }

    /// Endpoints that are left out for a while.
    pub(crate) fn out(&self, now: Duration) -> usize {
        self.endpoints.iter().filter(|endpoint| !endpoint.is_usable(|| now)).count()
    }
}
