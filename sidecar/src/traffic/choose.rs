//! Which endpoint of a route takes the request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mesh::Failure;

use super::Here;
use super::refusal::Refusal;
use crate::plan::{Address, Endpoint, Kind, Route};

/// An endpoint that was chosen; it counts as busy until this is dropped.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) endpoint: Arc<Endpoint>,
    index: usize,
}

impl Choice {
    /// Chooses for the first attempt, or after `failed`. `None`: there is nobody (else).
    pub(crate) fn make(
        here: &Here<'_>,
        route: &Route,
        failed: Option<(&Choice, Failure)>,
    ) -> Option<Self> {
        let count = route.endpoints.len();
        let avoid = failed.and_then(|(choice, failure)| {
            // A connection that was stale, or did not take the request, says nothing of who was at
            // its other end.
            let stale = matches!(
                failure,
                Failure::NeverWritten | Failure::ReusedConnectionDied | Failure::RefusedStream
            );
            let same = stale && (count == 1 || route.kind == Kind::Local);
            (!same).then_some(choice.index)
        });
        let turn = match route.kind {
            Kind::Service => route.state.turns.turn(),
            // In the order of preference.
            Kind::Local | Kind::Outside => 0,
        };
        let now = || here.worker.shared.clock.now();
        let usable = |index: usize| route.endpoints[index].eviction.usable(now);
        let index = mesh::choose(turn, count, avoid, usable)?;
        let endpoint = Arc::clone(&route.endpoints[index]);
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        endpoint.attempts.fetch_add(1, Ordering::Relaxed);
        Some(Self { endpoint, index })
    }

    /// Refuses to send a request to where it came in.
    pub(crate) fn check_loop(&self, here: &Here<'_>) -> Result<(), Refusal> {
        let shared = &here.worker.shared;
        match &self.endpoint.id.address {
            Address::Known(address) if shared.is_own(*address) => Err(Refusal::Loop),
            _ => Ok(()),
        }
    }
}

impl Drop for Choice {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
