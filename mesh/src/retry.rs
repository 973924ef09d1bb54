//! Trying again where that was asked for: how often, where, after how long, and how much of it a
//! service may have to bear.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::grpc::GrpcStatuses;
use crate::rate::{Bucket, Rate};
use crate::resend::Failure;

/// How requests of a service are tried again. Off: as often as [`resend`](fn@crate::resend) has it,
/// which needs nobody's leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    /// `retryOnNext`: other endpoints.
    pub next: u32,
    /// `retryOnSame`: more tries on each.
    pub same: u32,
    /// How long between tries.
    pub backoff: Backoff,
    /// Whether requests are tried again that may have been processed, and must not be twice.
    pub any_method: bool,
    /// Calls of gRPC that end with one of these are tried again, whatever they do: who names a status
    /// says that a call with it may be made once more.
    pub calls: GrpcStatuses,
    /// What one try may take; `None`: as long as there is.
    pub try_timeout: Option<Duration>,
    /// What a service may have to bear.
    pub budget: BudgetTerms,
}

/// How long between tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backoff {
    /// Not at all.
    #[default]
    Zero,
    /// Always as long.
    Constant(Duration),
    /// From the first to the second, half as long again each time, with chance in it: else all that
    /// failed together come back together.
    Exponential(Duration, Duration),
}

/// How many tries more than requests there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetTerms {
    /// So many for each hundred requests.
    pub percent: u8,
    /// And so many a second in any case.
    pub least: u32,
}

/// Where the next try goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// To another endpoint, where there is one.
    Next,
    /// To the same.
    Same,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            next: 0,
            same: 0,
            backoff: Backoff::Zero,
            any_method: false,
            calls: GrpcStatuses::default(),
            try_timeout: None,
            budget: BudgetTerms { percent: 20, least: 10 },
        }
    }
}

impl Retries {
    /// Whether there are any.
    pub fn is_on(&self) -> bool {
        self.next > 0 || self.same > 0
    }

    /// Tries that a request may have.
    pub fn tries(&self) -> u32 {
        self.next.saturating_add(1).saturating_mul(self.same.saturating_add(1))
    }

    /// Whether a request is tried again that was tried `tries` times, and where. `idempotent` is a
    /// property of its method (RFC 9110 §9.2.2).
    pub fn again(&self, failure: Failure, idempotent: bool, tries: u32) -> Option<Retry> {
        let harmless = failure.is_unprocessed() || idempotent || self.any_method;
        if !harmless || tries >= self.tries() {
            return None;
        }
        // Who takes no connection will not take it now.
        let gone = matches!(failure, Failure::Connect | Failure::PeerDeclined) && self.next > 0;
        let used_up = tries.is_multiple_of(self.same.saturating_add(1));
        Some(if gone || used_up { Retry::Next } else { Retry::Same })
    }
}

impl Backoff {
    /// How long to wait after so many tries, of which there was one at least.
    pub fn wait(&self, tries: u32, random: u64) -> Duration {
        match *self {
            Self::Zero => Duration::ZERO,
            Self::Constant(wait) => wait,
            Self::Exponential(least, most) => {
                let grown =
                    least.as_secs_f64() * 1.5_f64.powi(tries.clamp(1, 64).cast_signed() - 1);
                let chance = f64::from(u32::try_from(random & 0xffff).unwrap_or(0)) / 65_536.0;
                let wait = grown.min(most.as_secs_f64()) * (0.5 + chance);
                Duration::from_secs_f64(wait).min(most)
            }
        }
    }
}

/// What is left of the tries that a service may have to bear: when all of it fails, three times
/// the load does not help. Shared by all threads.
#[derive(Debug, Default)]
pub struct Budget {
    /// Hundredths of a try.
    saved: AtomicU64,
    least: Bucket,
}

impl Budget {
    /// No more is saved than this many tries.
    const MOST: u64 = 100;

    /// A request came.
    pub fn deposit(&self, terms: BudgetTerms) {
        let saved = self.saved.load(Ordering::Relaxed);
        let more = (saved + u64::from(terms.percent)).min(Self::MOST * 100);
        // One that is lost between two threads does no harm.
        self.saved.store(more, Ordering::Relaxed);
    }

    /// Whether there may be one more try.
    pub fn withdraw(&self, terms: BudgetTerms, now: Duration) -> bool {
        let rate = Rate { per_second: terms.least, burst: terms.least };
        if self.least.take(rate, now).is_ok() {
            return true;
        }
        let (set, unset) = (Ordering::Relaxed, Ordering::Relaxed);
        self.saved.fetch_update(set, unset, |saved| saved.checked_sub(100)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Backoff, Budget, BudgetTerms, Retries, Retry};
    use crate::Failure;

    #[test]
    fn on_the_same_and_then_on_the_next() {
        let retries = Retries { next: 1, same: 2, ..Retries::default() };
        assert_eq!(retries.tries(), 6);
        let places: Vec<_> =
            (1..8).map(|tries| retries.again(Failure::Unknown, true, tries)).collect();
        let (same, next) = (Some(Retry::Same), Some(Retry::Next));
        assert_eq!(places, [same, same, next, same, same, None, None]);
        assert_eq!(retries.again(Failure::Connect, true, 1), next, "nobody is there");
        let only_same = Retries { same: 1, ..Retries::default() };
        assert_eq!(
            only_same.again(Failure::Connect, true, 1),
            same,
            "it is all that was asked for"
        );
    }

    #[test]
    fn only_what_may_be_processed_twice() {
        let careful = Retries { next: 3, ..Retries::default() };
        let bold = Retries { any_method: true, ..careful.clone() };
        for (failure, get, post) in [
            (Failure::Connect, true, true),
            (Failure::RefusedStream, true, true),
            (Failure::ReusedConnectionDied, true, false),
            (Failure::Unknown, true, false),
            (Failure::Status, true, false),
            (Failure::TryTimeout, true, false),
        ] {
            assert_eq!(careful.again(failure, true, 1).is_some(), get, "{failure:?}");
            assert_eq!(careful.again(failure, false, 1).is_some(), post, "{failure:?}");
            assert!(bold.again(failure, false, 1).is_some(), "{failure:?}");
            assert_eq!(Retries::default().again(failure, true, 1), None, "{failure:?}");
        }
    }

    #[test]
    fn a_service_that_always_fails_bears_a_fifth_more() {
        let (budget, terms) = (Budget::default(), BudgetTerms { percent: 20, least: 10 });
        let mut tries = 0;
        for request in 0..10_000 {
            // A thousand a second, each of which would be tried three times more.
            let now = Duration::from_millis(request);
            budget.deposit(terms);
            tries += (0..3).filter(|_| budget.withdraw(terms, now)).count();
        }
        assert!((2_000..=2_120).contains(&tries), "{tries}");
    }

    proptest! {
        #[test]
        fn waits_stay_within_bounds(tries in 1..100_u32, random: u64) {
            let (least, most) = (Duration::from_millis(100), Duration::from_secs(1));
            let wait = Backoff::Exponential(least, most).wait(tries, random);
            prop_assert!(wait >= least / 2 && wait <= most, "{wait:?}");
            prop_assert_eq!(Backoff::Zero.wait(tries, random), Duration::ZERO);
            prop_assert_eq!(Backoff::Constant(least).wait(tries, random), least);
        }
    }
}
