//! Whether a request may go where it wants to: rate limits, how many are under way, and faults that
//! are made on purpose. What is not set up costs a look at a field.

use std::sync::Arc;

use hyper::http::request;
use mesh::BacklogTerms;
use tokio::time::sleep;

use super::Here;
use super::context;
use super::destination::Head;
use super::observation::Observation;
use super::refusal::Refusal;
use crate::listener::Side;
use crate::plan::Route;
use crate::settings::Limits;
use crate::slots::Slots;

/// Lets a request pass, or says why not.
pub(super) fn admit(here: &Here<'_>, route: &Route, head: &request::Parts) -> Result<(), Refusal> {
    let now = || here.worker.shared.clock.now();
    let limited = |again| Refusal::RateLimited { again };
    let terms = &route.terms;
    if terms.fallback.forced {
        return Err(Refusal::ForcedFallback { service: Arc::clone(&route.state.key.name) });
    }
    route.limits.take_alike(&Head(head), now).map_err(limited)?;
    // A caller with a limit of its own has no part in what the others share.
    let own = if here.port.side == Side::Provider && route.limits.knows_callers() {
        let caller = context::source(&head.headers);
        caller.and_then(|caller| route.limits.take(&caller, now()))
    } else {
        None
    };
    match (own, terms.rate) {
        (Some(own), _) => own.map_err(limited)?,
        (None, Some(rate)) => route.state.bucket.take(rate, now()).map_err(limited)?,
        (None, None) => {}
    }
    if terms.retries.is_on() {
        route.state.budget.deposit(terms.retries.budget);
    }
    Ok(())
}

/// A bound on how many requests are under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Of all that come in on a side of the proxy.
    Side,
    /// Of those that go to one service.
    Service,
}

/// Takes the slots that a request needs, where they are free; says whether it has all of them.
pub(super) fn enter(here: &Here<'_>, route: &Route, seen: &Observation) -> bool {
    let taken = |(bound, slots, most): (Bound, &Arc<Slots>, usize)| {
        slots.take(most).map(|slot| seen.holds(bound, slot)).is_some()
    };
    bounds(here, route).into_iter().flatten().all(taken)
}

/// The bounds that there are: of the side that it came in at, and of its service.
fn bounds<'a>(here: &'a Here<'_>, route: &'a Route) -> [Option<(Bound, &'a Arc<Slots>, usize)>; 2] {
    let shared = &here.worker.shared;
    let side = shared.settings().limits.in_flight;
    let service = route.terms.concurrency;
    [
        side.map(|most| (Bound::Side, &shared.slots[here.port.side as usize], most)),
        service.map(|most| {
            (Bound::Service, route.state.slots(), most.try_into().unwrap_or(usize::MAX))
        }),
    ]
}

/// Waits for the slots that were not free, and then does to a request what is to be done to some on
/// purpose.
pub(super) async fn hold_up(
    here: &Here<'_>,
    route: &Route,
    seen: &Observation,
) -> Result<(), Refusal> {
    let Limits { queue, queue_timeout, .. } = here.worker.shared.settings().limits;
    let terms = BacklogTerms { most: queue, patience: queue_timeout };
    for (bound, slots, most) in bounds(here, route).into_iter().flatten() {
        if seen.has_slot(bound) {
            continue;
        }
        let slot = match slots.take(most) {
            None => slots.wait(terms).await,
            slot => slot,
        };
        seen.holds(
            bound,
            slot.ok_or_else(|| match bound {
                Bound::Side => Refusal::Full,
                Bound::Service => Refusal::TooMany { service: Arc::clone(&route.state.key.name) },
            })?,
        );
    }
    let injected = route.terms.fault.draw(fastrand::u64(..));
    if let Some(delay) = injected.delay {
        sleep(delay).await;
    }
    match injected.abort {
        Some(status) => Err(Refusal::Injected(status)),
        None => Ok(()),
    }
}
