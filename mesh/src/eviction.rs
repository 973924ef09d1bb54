//! An endpoint that cannot be connected to is left out for a while.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Left out for this long after the first failure, and twice as long after each further one.
const FIRST: Duration = Duration::from_secs(1);
/// But never for longer.
const LONGEST: Duration = Duration::from_secs(30);

/// Whether one endpoint is left out, shared by all threads without a lock. Time is the caller's,
/// from any fixed beginning.
#[derive(Debug, Default)]
pub struct Eviction {
    /// The millisecond until which it is left out; 0: it is not.
    until: AtomicU64,
    failures: AtomicU32,
}

impl Eviction {
    /// For how long it may still not be chosen, for people.
    pub fn out_for(&self, now: Duration) -> Option<Duration> {
        let left = self.until.load(Ordering::Relaxed).checked_sub(millis(now))?;
        (left > 0).then(|| Duration::from_millis(left))
    }

    /// Whether it may be chosen. The time is asked for only where it matters.
    pub fn usable(&self, now: impl FnOnce() -> Duration) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until == 0 || millis(now()) >= until
    }

    /// No connection came about. Failures of requests that were under way together count once:
    /// `true` where this is what it is left out for.
    pub fn failed(&self, now: Duration) -> bool {
        self.failed_for(now, FIRST, LONGEST)
    }

    /// The same, where it is left out for other times than those of this file.
    pub fn failed_for(&self, now: Duration, first: Duration, longest: Duration) -> bool {
        if !self.usable(|| now) {
            return false;
        }
        let before = self.failures.fetch_add(1, Ordering::Relaxed).min(16);
        let out = first.saturating_mul(1 << before).min(longest);
        self.until.store(millis(now + out), Ordering::Relaxed);
        true
    }

    /// It is not left out any more, and well: the next failure is a first one again.
    pub fn recovered(&self, now: impl FnOnce() -> Duration) {
        if self.failures.load(Ordering::Relaxed) > 0 && self.usable(now) {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A connection came about.
    pub fn succeeded(&self) {
        // Read first: writing what is there already costs the other threads their cached line.
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.until.store(0, Ordering::Relaxed);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Eviction;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_failure_in_a_row_doubles_the_time_out() {
        let endpoint = Eviction::default();
        let mut now = at(100);
        for out in [1, 2, 4, 8, 16, 30, 30] {
            assert!(endpoint.usable(|| now));
            endpoint.failed(now);
            assert!(!endpoint.usable(|| now + at(out - 1) + Duration::from_millis(999)), "{out}");
            now += at(out);
        }
        assert!(endpoint.usable(|| now));
    }

    #[test]
    fn failures_at_once_are_one_and_a_success_forgets_them() {
        let endpoint = Eviction::default();
        let counted = (0..10).filter(|_| endpoint.failed(at(5))).count();
        assert_eq!(counted, 1);
        assert_eq!(
            endpoint.out_for(Duration::from_millis(5_250)),
            Some(Duration::from_millis(750))
        );
        assert!(endpoint.usable(|| at(6)));
        assert_eq!(endpoint.out_for(at(6)), None);
        endpoint.succeeded();
        endpoint.failed(at(6));
        assert!(endpoint.usable(|| at(7)));
        endpoint.failed(at(7));
        assert!(!endpoint.usable(|| at(8)));
        endpoint.succeeded();
        assert!(endpoint.usable(|| at(8)), "somebody got through after all");
    }
}
