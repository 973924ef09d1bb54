//! Which endpoint of a route takes the request.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::HeaderValue;
use hyper::http::request;
use mesh::balance::{
    HashOn, Strategy, SuccessRate, fastest_mostly, hash, is_warm, lesser_of_two, session,
};
use mesh::{Failure, Permit, Retry};

use super::Here;
use super::destination::nobody;
use super::grpc::Call;
use super::refusal::Refusal;
use super::session::{SESSION, cookie};
use crate::plan::{Address, Endpoint, Kind, Route, Unusable};

/// An endpoint that was chosen; it counts as busy until this is dropped.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) endpoint: Arc<Endpoint>,
    index: usize,
    /// When that was, where it is measured how long the answer takes.
    began: Option<Duration>,
    /// The leave of its own breaker, where it has one.
    pub(crate) permit: Permit,
}

/// Why nobody was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unchosen {
    /// There is nobody, or nobody else.
    Nobody,
    /// The breakers of all of them are open.
    Open,
}

impl Unchosen {
    /// What the client is told.
    pub(crate) fn refusal(self, route: &Route) -> Refusal {
        match self {
            Self::Nobody => nobody(route),
            Self::Open => Refusal::CircuitOpen { service: Arc::clone(&route.state.key.name) },
        }
    }
}

/// What of a request decides where it goes, if anything does: a session, or a hash.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Affinity(Option<u64>);

/// The attempt that has failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed<'a> {
    pub(crate) choice: &'a Choice,
    pub(crate) failure: Failure,
    /// Where the next one is to go.
    pub(crate) then: Retry,
}

impl Affinity {
    /// That of a request on a route.
    pub(crate) fn of(here: &Here<'_>, route: &Route, head: &request::Parts) -> Self {
        let hashed = |value: &[u8]| Some(hash(value));
        Self(match &route.terms.balancing.strategy {
            Strategy::SessionStickiness(_) => cookie(&head.headers, SESSION).and_then(session),
            Strategy::RingHash(on) | Strategy::Maglev(on) => match on {
                HashOn::Header(name) => header(&head.headers, name).and_then(hashed),
                HashOn::Cookie(name) => cookie(&head.headers, name).and_then(hashed),
                HashOn::Query(name) => head.uri.query().and_then(|query| {
                    mesh::virtual_host::parameter(query, name).map(str::as_bytes).and_then(hashed)
                }),
                HashOn::Client => hashed(here.connection.client.ip().to_string().as_bytes()),
            },
            _ => None,
        })
    }

    /// The session that it names.
    pub(crate) fn session(self) -> Option<u64> {
        self.0
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    headers.get(name).map(HeaderValue::as_bytes)
}

impl Choice {
    /// Chooses for the first attempt, or after another has failed.
    pub(crate) fn make(
        here: &Here<'_>,
        route: &Route,
        affinity: Affinity,
        failed: Option<Failed<'_>>,
    ) -> Result<Self, Unchosen> {
        let now = || here.worker.shared.clock.now();
        let mut index = if let Some(Failed { choice, then: Retry::Same, .. }) = failed {
            choice.index
        } else {
            let avoid = failed.and_then(|failed| avoid(route, failed));
            pick(route, affinity, avoid, now).ok_or(Unchosen::Nobody)?
        };
        let mut permit = Permit::Pass;
        if route.breaks_each() {
            permit = route.admit(&route.endpoints[index], now);
            if permit == Permit::Refused {
                // It was the best that there is, or somebody else has become its probe just now.
                let tried = failed.map(|failed| failed.choice.index);
                index = closed(route, tried, now).ok_or(Unchosen::Open)?;
                permit = route.admit(&route.endpoints[index], now);
            }
            if permit == Permit::Refused {
                return Err(Unchosen::Open);
            }
        }
        let endpoint = Arc::clone(&route.endpoints[index]);
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        endpoint.attempts.fetch_add(1, Ordering::Relaxed);
        let measured = route.terms.balancing.strategy.looks_at_latency();
        let began = (measured && route.kind == Kind::Service).then(now);
        Ok(Self { endpoint, index, began, permit })
    }

    /// Refuses to send a request to where it came in. Our own provider side is nobody's way back:
    /// what comes in there goes to the application, which may call its own service like any other.
    pub(crate) fn check_loop(&self, here: &Here<'_>) -> Result<(), Refusal> {
        let shared = &here.worker.shared;
        match self.endpoint.id.entrance() {
            Address::Known(address)
                if shared.is_own(address) && !shared.addresses.is_provider(&address) =>
            {
                Err(Refusal::Loop)
            }
            _ => Ok(()),
        }
    }

    /// Tells the endpoint's own breaker how the attempt went; `None`: the end of the call will tell.
    pub(crate) fn judged(
        &self,
        here: &Here<'_>,
        route: &Arc<Route>,
        success: Option<bool>,
        call: Option<&mut Call>,
    ) {
        let now = here.worker.shared.clock.now();
        match (success, call) {
            (None, Some(call)) => {
                call.is_judged_by(here, route, self.permit, Some(Arc::clone(&self.endpoint)));
            }
            (success, _) => {
                route.judge(&self.endpoint, now, self.permit, success.unwrap_or(true));
            }
        }
    }

    /// Takes down how the endpoint has answered; `None`: it did not, and is to blame.
    pub(crate) fn ended(&self, here: &Here<'_>, route: &Route, status: Option<u16>) {
        let balancing = &route.terms.balancing;
        let now = || here.worker.shared.clock.now();
        if let Some(began) = self.began {
            let now = now();
            self.endpoint.latency.record(now, now.saturating_sub(began));
        }
        let sticks = matches!(balancing.strategy, Strategy::SessionStickiness(_));
        if route.kind != Kind::Service || !(balancing.outliers.is_on() || sticks) {
            return;
        }
        let registry = here.worker.shared.plans.registry();
        if balancing.outliers.success_rate.deviation > 0 {
            let now = now();
            let success = status.is_some_and(|status| status < 500);
            self.endpoint.rates.record(SuccessRate::period(now), success);
            for endpoint in route.below_the_others(now) {
                registry.eject(route, endpoint, Unusable::SuccessRate, now);
            }
        }
        if self.endpoint.streak.record(&balancing.outliers, status) {
            registry.eject(route, &self.endpoint, Unusable::Outlier, now());
        } else if status.is_some_and(|status| status < 500) {
            self.endpoint.ejection.recovered(now);
        }
    }
}

/// Any whose own breaker lets a request pass, but the one that was tried.
fn closed(route: &Route, tried: Option<usize>, now: impl Fn() -> Duration + Copy) -> Option<usize> {
    let mut all = route.endpoints.iter().enumerate();
    let found = all.find(|(index, endpoint)| {
        Some(*index) != tried && endpoint.breaker.lets_pass(&route.terms.breaker, now)
    });
    found.map(|(index, _)| index)
}

/// The one that another attempt leaves out, if it does.
fn avoid(route: &Route, failed: Failed<'_>) -> Option<usize> {
    // A connection that was stale, or did not take the request, says nothing of who was at its
    // other end.
    let stale = matches!(
        failed.failure,
        Failure::NeverWritten | Failure::ReusedConnectionDied | Failure::RefusedStream
    );
    let same = stale && (route.endpoints.len() == 1 || route.kind == Kind::Local);
    (!same).then_some(failed.choice.index)
}

/// By the strategy of the route's service: of those close by, and of all others when none of these
/// can be used.
fn pick(
    route: &Route,
    affinity: Affinity,
    avoid: Option<usize>,
    now: impl Fn() -> Duration + Copy,
) -> Option<usize> {
    let count = route.endpoints.len();
    let each = route.breaks_each();
    let usable = |index: usize| {
        let endpoint = &route.endpoints[index];
        endpoint.is_usable(now) && (!each || endpoint.breaker.lets_pass(&route.terms.breaker, now))
    };
    if route.kind != Kind::Service {
        // In the order of preference.
        return mesh::choose(0, count, avoid, 0, usable);
    }
    let balancing = &route.terms.balancing;
    let start = start(route, affinity, now)?;
    if !balancing.slow_start.is_zero() {
        let time = now();
        let warm = |index: usize| {
            let age = time.saturating_sub(route.endpoints[index].came);
            usable(index) && is_warm(age, balancing.slow_start, fastrand::u64(..))
        };
        let found = mesh::choose(start, route.close, avoid, 0, warm);
        if let Some(found) = found.filter(|index| usable(*index)) {
            return Some(found);
        }
    }
    let panic = balancing.panic_percent;
    let near = mesh::choose(start, route.close, avoid, panic, usable);
    if route.close == count || near.is_some_and(usable) {
        return near;
    }
    mesh::choose(start, count, avoid, panic, usable).or(near)
}

/// Who is asked first, of those close by.
fn start(route: &Route, affinity: Affinity, now: impl Fn() -> Duration + Copy) -> Option<usize> {
    let (endpoints, count) = (&route.endpoints, route.close);
    if count == 0 {
        return None;
    }
    let turn = || route.state.turns.turn();
    Some(match &route.terms.balancing.strategy {
        Strategy::RoundRobin => turn(),
        Strategy::Random => fastrand::usize(..count),
        Strategy::WeightedResponse => {
            let now = now();
            let seconds = |index: usize| endpoints[index].latency.estimate(now);
            fastest_mostly(fastrand::u64(..), turn(), count, seconds)
        }
        Strategy::LeastLoaded => {
            let now = now();
            lesser_of_two(fastrand::u64(..), count, |index| {
                let endpoint = &endpoints[index];
                endpoint.latency.cost(now, endpoint.in_flight.load(Ordering::Relaxed))
            })
        }
        Strategy::SessionStickiness(terms) => {
            let stays = |endpoint: &Arc<Endpoint>| {
                let same = Some(endpoint.session) == affinity.session();
                same && (terms.failures == 0 || endpoint.streak.errors() < terms.failures)
            };
            affinity.0.and_then(|_| endpoints.iter().position(stays)).unwrap_or_else(turn)
        }
        Strategy::RingHash(_) | Strategy::Maglev(_) => {
            affinity.0.and_then(|hash| route.of_hash(hash)).unwrap_or_else(turn)
        }
    })
}

impl Drop for Choice {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
