//! Whether a request may go where it wants to: rate limits, how many are under way, and faults that
//! are made on purpose. What is not set up costs a look at a field.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::http::request;
use tokio::time::sleep;

use super::Here;
use super::context;
use super::destination::Head;
use super::refusal::Refusal;
use crate::listener::Side;
use crate::plan::Route;

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
    let under_way = || route.state.under_way.load(Ordering::Relaxed);
    if let Some(most) = terms.concurrency
        && usize::try_from(most).is_ok_and(|most| under_way() > most)
    {
        return Err(Refusal::TooMany { service: Arc::clone(&route.state.key.name) });
    }
    if terms.retries.is_on() {
        route.state.budget.deposit(terms.retries.budget);
    }
    Ok(())
}

/// Does to a request what is to be done to some on purpose.
pub(super) async fn inject(route: &Route) -> Result<(), Refusal> {
    let injected = route.terms.fault.draw(fastrand::u64(..));
    if let Some(delay) = injected.delay {
        sleep(delay).await;
    }
    match injected.abort {
        Some(status) => Err(Refusal::Injected(status)),
        None => Ok(()),
    }
}
