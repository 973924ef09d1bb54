//! What was counted of a service, as JSON. Everything only grows: rates are for the reader.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::listener::Side;
use crate::metrics::{Counters, Distribution, RESENDS};
use crate::plan::{Registry, ServiceState};
use crate::traffic::Reason;

/// Since the start, or since the service was first known.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counted {
    /// Requests that were answered, by the service or in its place, or given up by their clients.
    requests: u64,
    /// Answered with 200 to 226; calls of gRPC that ended with OK.
    successes: u64,
    /// Answered with 400 and above, or given up; other calls of gRPC.
    failures: u64,
    status4xx: u64,
    status5xx: u64,
    /// Requests that were sent once more.
    resends: u64,
    /// Refused by the proxy, by the word in `x-mesher-error`.
    refusals: BTreeMap<&'static str, u64>,
    /// Of all requests together, to the end of the response's head.
    latency_seconds_sum: f64,
    /// How many requests took no longer than each of `latencyBoundsSeconds`, and longer than the one
    /// before it; the last: longer than all of them. Empty: there was none yet.
    latency_buckets: Vec<u64>,
    /// There are too many services to count each: this one is in `totals` only.
    #[serde(skip_serializing_if = "is_false")]
    in_totals_only: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Upper bounds of the buckets, but of the last, which has none.
pub(super) fn bounds() -> Vec<f64> {
    let buckets = Distribution::default().buckets();
    buckets.into_iter().map(|(bound, _)| bound).filter(|bound| bound.is_finite()).collect()
}

impl Counted {
    /// What was counted of a service on one side.
    pub(super) fn of(registry: &Registry, state: &ServiceState, side: Side) -> Self {
        if registry.counts(state) {
            Self::read(&state.counters, side)
        } else {
            Self { in_totals_only: true, ..Self::default() }
        }
    }

    /// What these counters hold.
    pub(super) fn read(counters: &Counters, side: Side) -> Self {
        let parts = counters.of(side);
        if parts.is_empty() {
            return Self::default();
        }
        let latency = parts.durations(|part| &part.to_head);
        let refusals = Reason::ALL
            .map(|reason| (reason.word(), parts.sum(|part| &part.refusals[reason as usize])));
        let resends = 0..RESENDS.len();
        Self {
            requests: parts.sum(|part| &part.requests),
            successes: parts.sum(|part| &part.successes),
            failures: parts.sum(|part| &part.failures),
            status4xx: parts.sum(|part| &part.status_4xx),
            status5xx: parts.sum(|part| &part.status_5xx),
            resends: resends.map(|why| parts.sum(|part| &part.resends[why])).sum(),
            refusals: refusals.into_iter().filter(|(_, count)| *count > 0).collect(),
            latency_seconds_sum: latency.sum().as_secs_f64(),
            latency_buckets: latency.buckets().map(|(_, count)| count).into(),
            in_totals_only: false,
        }
    }

    /// Whether there was a request.
    pub(super) fn any(&self) -> bool {
        self.requests > 0
    }

    /// Adds another one's.
    pub(super) fn add(&mut self, more: &Self) {
        self.requests += more.requests;
        self.successes += more.successes;
        self.failures += more.failures;
        self.status4xx += more.status4xx;
        self.status5xx += more.status5xx;
        self.resends += more.resends;
        for (reason, count) in &more.refusals {
            *self.refusals.entry(reason).or_default() += count;
        }
        self.latency_seconds_sum += more.latency_seconds_sum;
        if self.latency_buckets.is_empty() {
            self.latency_buckets.clone_from(&more.latency_buckets);
        } else {
            for (sum, bucket) in self.latency_buckets.iter_mut().zip(&more.latency_buckets) {
                *sum += bucket;
            }
        }
    }
}
