//! Rate limits: so many requests a second, and some at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
/// As good as unlimited: no proxy passes on so many, and time is counted in nanoseconds.
const ANY: u32 = 10_000_000;

/// How many may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second; 0: none.
    pub per_second: u32,
    /// So many may come at once, after a pause.
    pub burst: u32,
}

impl Rate {
    /// With the burst of go-chassis: a fifth of a second's requests, and ten where that is none.
    ///
    /// ```
    /// use mesh::Rate;
    /// assert_eq!(Rate::per_second(1000).burst, 200);
    /// assert_eq!(Rate::per_second(4).burst, 10);
    /// ```
    pub fn per_second(per_second: u32) -> Self {
        let fifth = per_second / 5;
        Self { per_second, burst: if fifth == 0 { 10 } else { fifth } }
    }
}

/// A token bucket that all threads share: one number, the time at which it will be full again (the
/// generic cell rate algorithm, ITU-T I.371). Time is the caller's, from any fixed beginning.
#[derive(Debug, Default)]
pub struct Bucket(AtomicU64);

impl Bucket {
    /// Takes a token, or says when there will be one.
    pub fn take(&self, rate: Rate, now: Duration) -> Result<(), Duration> {
        if rate.per_second == 0 || rate.burst == 0 {
            return Err(Duration::from_secs(1));
        }
        if rate.per_second >= ANY {
            return Ok(());
        }
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX / 2);
        let each = SECOND / u64::from(rate.per_second);
        let room = each.saturating_mul(u64::from(rate.burst - 1));
        let mut full = self.0.load(Ordering::Relaxed);
        loop {
            let from = full.max(now);
            if from - now > room {
                return Err(Duration::from_nanos(from - now - room));
            }
            let next = from.saturating_add(each);
            match self.0.compare_exchange_weak(full, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => full = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Bucket, Rate};

    /// How many of the requests that come every `micros` pass in `seconds`.
    fn passed(rate: Rate, micros: u64, seconds: u64) -> u64 {
        let bucket = Bucket::default();
        let times = (0..seconds * 1_000_000 / micros).map(|n| Duration::from_micros(n * micros));
        times.filter(|now| bucket.take(rate, *now).is_ok()).count() as u64
    }

    #[test]
    fn a_thousand_a_second_are_a_thousand_to_two_percent() {
        let passed = passed(Rate::per_second(1000), 100, 10);
        assert!((9_800..=10_200).contains(&passed), "{passed}");
    }

    #[test]
    fn threads_share_one_limit() {
        let (bucket, passed) = (Bucket::default(), AtomicU32::new(0));
        let rate = Rate { per_second: 1000, burst: 50 };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for micros in (0..1_000_000).step_by(500) {
                        if bucket.take(rate, Duration::from_micros(micros)).is_ok() {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        // Each thread has a clock of its own here; the latest of them is what counts.
        let passed = passed.into_inner();
        assert!((1000..=1050).contains(&passed), "{passed}");
    }

    #[test]
    fn none_and_any() {
        let (none, any) = (Rate::per_second(0), Rate::per_second(u32::MAX));
        assert_eq!(Bucket::default().take(none, Duration::ZERO), Err(Duration::from_secs(1)));
        let bucket = Bucket::default();
        assert!((0..1000).all(|_| bucket.take(any, Duration::ZERO).is_ok()));
    }

    proptest! {
        #[test]
        fn who_comes_when_it_was_told_passes(per_second in 1..5_000_u32, burst in 1..50_u32) {
            let (bucket, rate) = (Bucket::default(), Rate { per_second, burst });
            let mut now = Duration::from_secs(1);
            for _ in 0..burst {
                prop_assert!(bucket.take(rate, now).is_ok());
            }
            for _ in 0..20 {
                let wait = bucket.take(rate, now).unwrap_err();
                let early = wait.saturating_sub(Duration::from_nanos(1));
                prop_assert!(bucket.take(rate, now + early).is_err());
                now += wait;
                prop_assert!(bucket.take(rate, now).is_ok());
            }
        }
    }
}
