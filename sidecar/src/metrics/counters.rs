//! What is counted of one service.

use std::sync::OnceLock;
use std::time::Duration;

use hyper::StatusCode;
use mesh::{Failure, GrpcStatus};

use super::cells::{Count, Distribution, Durations};
use super::codes;
use crate::listener::Side;
use crate::traffic::Reason;

/// What is counted of one service: by side, and by worker. A worker's part is made with the first
/// request that it has for the service: one that nobody calls takes next to nothing.
#[derive(Debug)]
pub(crate) struct Counters {
    workers: usize,
    parts: Box<[OnceLock<Box<Part>>]>,
}

/// What one worker counts of a service on one side. Aligned so that no line of it is in another
/// processor's cache too, nor the one beside it, which is fetched with it.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Part {
    /// Requests whose way to the service was found.
    pub(crate) begun: Count,
    /// Of those, what is over.
    pub(crate) ended: Count,
    /// Those that were answered, and those whose clients did not wait for it.
    pub(crate) requests: Count,
    pub(crate) successes: Count,
    pub(crate) failures: Count,
    pub(crate) status_4xx: Count,
    pub(crate) status_5xx: Count,
    /// To the end of the response's head.
    pub(crate) to_head: Durations,
    /// To the end of the response.
    pub(crate) to_end: Durations,
    /// Bytes of requests' bodies.
    pub(crate) received: Count,
    /// Bytes of responses' bodies.
    pub(crate) sent: Count,
    pub(crate) codes: [Count; codes::PLACES],
    pub(crate) refusals: [Count; Reason::ALL.len()],
    pub(crate) calls: [Count; CALLS.len()],
    pub(crate) resends: [Count; RESENDS.len()],
    pub(crate) broken: [Count; Broken::ALL.len()],
    /// Copies of requests, by what became of them.
    pub(crate) mirrors: [Count; Copied::ALL.len()],
    /// Refusals and failures that a fallback answered.
    pub(crate) fallbacks: Count,
    /// To connect to an instance, TLS included.
    pub(crate) connects: Durations,
    /// Of those connections, the ones that are no more.
    pub(crate) disconnects: Count,
}

impl Default for Part {
    fn default() -> Self {
        // `Default` of arrays ends at 32.
        fn counts<const N: usize>() -> [Count; N] {
            std::array::from_fn(|_| Count::default())
        }
        Self {
            begun: Count::default(),
            ended: Count::default(),
            requests: Count::default(),
            successes: Count::default(),
            failures: Count::default(),
            status_4xx: Count::default(),
            status_5xx: Count::default(),
            to_head: Durations::default(),
            to_end: Durations::default(),
            received: Count::default(),
            sent: Count::default(),
            codes: counts(),
            refusals: counts(),
            calls: counts(),
            resends: counts(),
            broken: counts(),
            mirrors: counts(),
            fallbacks: Count::default(),
            connects: Durations::default(),
            disconnects: Count::default(),
        }
    }
}

/// The names of the statuses of gRPC, by their codes; the last is that of all others.
pub(crate) const CALLS: [&str; 18] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
    "other",
];

/// Why requests were sent once more.
pub(crate) const RESENDS: [&str; 8] = [
    "connect",
    "never_written",
    "refused_stream",
    "peer_declined",
    "reused_connection_died",
    "status",
    "try_timeout",
    "unknown",
];

/// The place of a failure among [`RESENDS`].
fn resend(failure: Failure) -> usize {
    match failure {
        Failure::Connect => 0,
        Failure::NeverWritten => 1,
        Failure::RefusedStream => 2,
        Failure::PeerDeclined => 3,
        Failure::ReusedConnectionDied => 4,
        Failure::Status => 5,
        Failure::TryTimeout => 6,
        Failure::Unknown => 7,
    }
}

/// What became of the copy of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copied {
    /// It was answered, however.
    Sent,
    /// It was not.
    Failed,
    /// There were too many, or its body was too long or did not come.
    Dropped,
}

impl Copied {
    pub(crate) const ALL: [Self; 3] = [Self::Sent, Self::Failed, Self::Dropped];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// How a request ended that did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Its client went away before there was a response.
    Abandoned,
    /// Its client did not take all of the response.
    ByClient,
    /// The rest of the response did not come.
    ByInstance,
}

impl Broken {
    pub(crate) const ALL: [Self; 3] = [Self::Abandoned, Self::ByClient, Self::ByInstance];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Abandoned => "abandoned",
            Self::ByClient => "client",
            Self::ByInstance => "instance",
        }
    }
}

impl Counters {
    /// With a part for each of so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        let parts = std::iter::repeat_with(OnceLock::new).take(workers * Side::ALL.len());
        Self { workers, parts: parts.collect() }
    }

    /// The part that `worker`, and nobody else, adds to.
    pub(crate) fn part(&self, side: Side, worker: usize) -> &Part {
        self.parts[side as usize * self.workers + worker].get_or_init(Box::default)
    }

    /// What was counted on one side, by all workers; empty: nobody has had a request.
    pub(crate) fn of(&self, side: Side) -> Parts<'_> {
        let from = side as usize * self.workers;
        Parts(self.parts[from..from + self.workers].iter())
    }

    /// What was counted on both.
    pub(crate) fn both(&self) -> Parts<'_> {
        Parts(self.parts.iter())
    }
}

/// Some parts, to be read together.
#[derive(Debug, Clone)]
pub(crate) struct Parts<'a>(std::slice::Iter<'a, OnceLock<Box<Part>>>);

impl<'a> Parts<'a> {
    fn made(&self) -> impl Iterator<Item = &'a Part> + use<'a> {
        self.0.clone().filter_map(OnceLock::get).map(|part| &**part)
    }

    /// Whether nothing was ever counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.made().next().is_none()
    }

    /// One count of all of them.
    pub(crate) fn sum(&self, count: impl Fn(&Part) -> &Count) -> u64 {
        self.made().map(|part| count(part).get()).sum()
    }

    /// One kind of durations of all of them.
    pub(crate) fn durations(&self, durations: impl Fn(&Part) -> &Durations) -> Distribution {
        let mut sum = Distribution::default();
        self.made().for_each(|part| sum.add(durations(part)));
        sum
    }
}

impl Part {
    /// A response is on its way. Whether a call went well is not known before its end.
    pub(crate) fn answered(&self, status: StatusCode, took: Duration, is_call: bool) {
        self.requests.one();
        self.to_head.add(took);
        self.codes[codes::place(status)].one();
        match status.as_u16() {
            200..=226 if !is_call => self.successes.one(),
            400..=499 => self.status_4xx.one(),
            500..=599 => self.status_5xx.one(),
            _ => {}
        }
        if !is_call && status.as_u16() >= 400 {
            self.failures.one();
        }
    }

    /// A client went away before there was a response.
    pub(crate) fn abandoned(&self, is_call: bool) {
        self.requests.one();
        if !is_call {
            self.failures.one();
        }
    }

    /// A call has ended.
    pub(crate) fn called(&self, status: GrpcStatus) {
        if status == GrpcStatus::OK {
            self.successes.one();
        } else {
            self.failures.one();
        }
        self.calls[usize::from(status.code()).min(CALLS.len() - 1)].one();
    }

    /// The proxy refused a request.
    pub(crate) fn refused(&self, reason: Reason) {
        self.refusals[reason as usize].one();
    }

    /// A request is sent once more.
    pub(crate) fn resent(&self, after: Failure) {
        self.resends[resend(after)].one();
    }

    /// A request or response broke off.
    pub(crate) fn broke_off(&self, how: Broken) {
        self.broken[how as usize].one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::StatusCode;
    use mesh::GrpcStatus;

    use super::Counters;
    use crate::listener::Side;

    #[test]
    fn workers_and_sides_are_counted_apart_and_read_together() {
        let counters = Counters::new(2);
        assert!(counters.both().is_empty());
        for (side, worker, status) in [
            (Side::Consumer, 0, 200),
            (Side::Consumer, 1, 404),
            (Side::Consumer, 1, 520),
            (Side::Provider, 1, 302),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            counters.part(side, worker).answered(status, Duration::from_millis(1), false);
        }
        let consumer = counters.of(Side::Consumer);
        assert_eq!(consumer.sum(|part| &part.requests), 3);
        assert_eq!(consumer.sum(|part| &part.successes), 1);
        assert_eq!(consumer.sum(|part| &part.failures), 2);
        assert_eq!(consumer.sum(|part| &part.status_4xx), 1);
        assert_eq!(consumer.sum(|part| &part.status_5xx), 1);
        assert_eq!(consumer.durations(|part| &part.to_head).count(), 3);
        assert_eq!(counters.of(Side::Provider).sum(|part| &part.requests), 1);
        assert_eq!(counters.both().durations(|part| &part.to_head).sum(), Duration::from_millis(4));
    }

    #[test]
    fn a_call_goes_well_by_its_own_status_and_not_by_that_of_http() {
        let counters = Counters::new(1);
        let part = counters.part(Side::Consumer, 0);
        for status in [GrpcStatus::OK, GrpcStatus::UNAVAILABLE, GrpcStatus::read(b"99")] {
            part.answered(StatusCode::OK, Duration::ZERO, true);
            part.called(status);
        }
        assert_eq!((part.successes.get(), part.failures.get()), (1, 2));
        assert_eq!((part.calls[0].get(), part.calls[14].get(), part.calls[17].get()), (1, 1, 1));
    }
}
