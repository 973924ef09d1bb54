//! What a Lease says, and what a candidate does about it: nothing here talks or waits.
//!
//! Whether a holder is still there is judged by our own clock alone: by how long the Lease has
//! stood unchanged since we first saw it so. The times in it are for people; clocks may differ.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;

/// A Lease as it was read, and since when it says so.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) lease: Lease,
    unchanged_since: Instant,
}

/// What a candidate does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// Another holds it, and was heard of lately.
    Wait,
    /// It is ours: say that we are still there.
    Renew,
    /// Nobody holds it; or its holder was not heard of for as long as it had said.
    Take,
}

impl Seen {
    /// `lease` was read `now`, and `before` was read earlier.
    pub(super) fn read(before: Option<&Self>, lease: Lease, now: Instant) -> Self {
        let same = before.filter(|before| before.lease.spec == lease.spec);
        let unchanged_since = same.map_or(now, |before| before.unchanged_since);
        Self { lease, unchanged_since }
    }

    /// Who holds it.
    pub(super) fn holder(&self) -> Option<&str> {
        let holder = self.lease.spec.as_ref()?.holder_identity.as_deref()?;
        Some(holder).filter(|name| !name.is_empty())
    }

    /// What `identity`, that itself would hold it for `duration`, does `now`.
    pub(super) fn next(&self, identity: &str, duration: Duration, now: Instant) -> Move {
        let said = self.lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
        let said = said.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        match self.holder() {
            Some(holder) if holder == identity => Move::Renew,
            Some(_) if now < self.unchanged_since + said.unwrap_or(duration) => Move::Wait,
            Some(_) | None => Move::Take,
        }
    }

    /// The Lease to write for `step`; its `resourceVersion` makes another's write in between a
    /// conflict.
    pub(super) fn written(&self, step: Move, identity: &str, duration: Duration) -> Lease {
        let mut lease = self.lease.clone();
        let before = lease.spec.take().unwrap_or_default();
        let mut spec = held(identity, duration);
        spec.lease_transitions = before.lease_transitions;
        if step == Move::Renew {
            spec.acquire_time = before.acquire_time;
        } else {
            spec.lease_transitions = Some(before.lease_transitions.unwrap_or(0).saturating_add(1));
        }
        lease.spec = Some(spec);
        lease
    }

    /// The Lease to write when its holder leaves: whoever looks next may take it.
    pub(super) fn released(&self) -> Lease {
        let mut lease = self.lease.clone();
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        lease
    }
}

/// A Lease that did not exist.
pub(super) fn made(name: &str, identity: &str, duration: Duration) -> Lease {
    let mut lease = Lease::default();
    lease.metadata.name = Some(name.to_owned());
    lease.spec = Some(LeaseSpec { lease_transitions: Some(0), ..held(identity, duration) });
    lease
}

/// Held by `identity` from now on.
fn held(identity: &str, duration: Duration) -> LeaseSpec {
    let now = MicroTime(Timestamp::now());
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)),
        acquire_time: Some(now.clone()),
        renew_time: Some(now),
        ..LeaseSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIFTEEN: Duration = Duration::from_secs(15);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn read(before: Option<&Seen>, lease: &Lease, now: Instant) -> Seen {
        Seen::read(before, lease.clone(), now)
    }

    /// Whatever time its writer's clock shows.
    #[test]
    fn a_holder_is_gone_when_nothing_was_heard_of_it_by_our_own_clock() {
        let start = Instant::now();
        let mut lease = made("writer", "a", FIFTEEN);
        for year in ["1999-01-01T00:00:00Z", "2999-01-01T00:00:00Z"] {
            let spec = lease.spec.as_mut().expect("a spec");
            spec.renew_time = Some(MicroTime(year.parse().expect("a time")));
            let first = read(None, &lease, start);
            let again = read(Some(&first), &lease, start + seconds(14));
            assert_eq!(again.next("b", FIFTEEN, start + seconds(14)), Move::Wait, "{year}");
            assert_eq!(again.next("b", FIFTEEN, start + seconds(15)), Move::Take, "{year}");
        }
    }

    #[test]
    fn a_sign_of_life_counts_from_when_it_was_seen() {
        let start = Instant::now();
        let lease = made("writer", "a", FIFTEEN);
        let first = read(None, &lease, start);
        let renewed = first.written(Move::Renew, "a", FIFTEEN);
        let again = read(Some(&first), &renewed, start + seconds(14));
        assert_eq!(again.next("b", FIFTEEN, start + seconds(28)), Move::Wait);
        assert_eq!(again.next("b", FIFTEEN, start + seconds(29)), Move::Take);
    }

    #[test]
    fn the_holder_says_how_long_it_may_be_silent() {
        let start = Instant::now();
        let seen = read(None, &made("writer", "a", seconds(3)), start);
        assert_eq!(seen.next("b", FIFTEEN, start + seconds(3)), Move::Take);
        let mut silent = made("writer", "a", FIFTEEN);
        silent.spec.as_mut().expect("a spec").lease_duration_seconds = None;
        let seen = read(None, &silent, start);
        assert_eq!(seen.next("b", seconds(4), start + seconds(3)), Move::Wait);
        assert_eq!(seen.next("b", seconds(4), start + seconds(4)), Move::Take);
    }

    #[test]
    fn ours_is_renewed_and_nobodys_is_taken_at_once() {
        let start = Instant::now();
        let seen = read(None, &made("writer", "a", FIFTEEN), start);
        assert_eq!(seen.next("a", FIFTEEN, start + seconds(99)), Move::Renew);
        let released = read(Some(&seen), &seen.released(), start);
        assert_eq!((released.holder(), released.next("b", FIFTEEN, start)), (None, Move::Take));
        let empty = read(None, &Lease::default(), start);
        assert_eq!(empty.next("b", FIFTEEN, start), Move::Take);
    }

    #[test]
    fn a_change_of_hands_is_counted_and_a_renewal_is_not() {
        let seen = read(None, &made("writer", "a", FIFTEEN), Instant::now());
        let renewed = seen.written(Move::Renew, "a", FIFTEEN).spec.expect("a spec");
        let before = seen.lease.spec.as_ref().expect("a spec");
        assert_eq!(renewed.lease_transitions, Some(0));
        assert_eq!(renewed.acquire_time, before.acquire_time);
        let taken = seen.written(Move::Take, "b", FIFTEEN).spec.expect("a spec");
        assert_eq!(taken.lease_transitions, Some(1));
        assert_eq!(taken.holder_identity.as_deref(), Some("b"));
        assert_eq!(taken.acquire_time, taken.renew_time);
    }
}
