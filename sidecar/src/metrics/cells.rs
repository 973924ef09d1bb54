//! What requests are counted in.
//!
//! A request adds to a dozen counts. Each worker has counts of its own, on cache lines of their
//! own, so an addition is a load and a store that no other processor has a part in: some
//! nanoseconds for all of them together, where one line that two workers add to costs as much for
//! each. They are summed when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A count that one thread adds to, and any may read.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds to it. Two threads that did so at once would lose some, so each worker has its own.
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    /// Adds one.
    pub(crate) fn one(&self) {
        self.add(1);
    }

    /// What it is by now.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the buckets, in microseconds: what a proxy on the same host adds is below the
/// first, what a client waits for at the most is about the last.
const BOUNDS: [u64; 17] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// How long things took: how many of them by bucket, and all of them together.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    buckets: [Count; BOUNDS.len() + 1],
    micros: Count,
}

impl Durations {
    /// One more.
    pub(crate) fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[BOUNDS.partition_point(|bound| *bound < micros)].one();
        self.micros.add(micros);
    }
}

/// The sum of some [`Durations`], for whoever shows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Distribution {
    buckets: [u64; BOUNDS.len() + 1],
    micros: u64,
}

impl Distribution {
    pub(crate) fn add(&mut self, more: &Durations) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&more.buckets) {
            *sum += bucket.get();
        }
        self.micros += more.micros.get();
    }

    /// How many.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All of them together.
    pub(crate) fn sum(&self) -> Duration {
        Duration::from_micros(self.micros)
    }

    /// Upper bounds in seconds, the last of them infinite, and how many are in each bucket alone.
    pub(crate) fn buckets(&self) -> [(f64, u64); BOUNDS.len() + 1] {
        std::array::from_fn(|at| {
            let bound = BOUNDS.get(at).map(|micros| Duration::from_micros(*micros).as_secs_f64());
            (bound.unwrap_or(f64::INFINITY), self.buckets[at])
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Distribution, Durations};

    #[test]
    fn a_duration_is_in_the_first_bucket_that_has_room_for_it() {
        for (micros, bound) in [
            (0, 0.000_25),
            (250, 0.000_25),
            (251, 0.000_5),
            (60_000_000, 60.0),
            (u64::MAX, f64::INFINITY),
        ] {
            let durations = Durations::default();
            durations.add(Duration::from_micros(micros));
            let mut sum = Distribution::default();
            sum.add(&durations);
            let found = sum.buckets().into_iter().find(|(_, count)| *count == 1);
            assert_eq!(found, Some((bound, 1)), "{micros}");
            assert_eq!((sum.count(), sum.sum()), (1, Duration::from_micros(micros)));
        }
    }
}
