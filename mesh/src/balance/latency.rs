//! How long an endpoint takes to answer, smoothed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// After this long without an answer, a third of what was measured is left.
const MEMORY: Duration = Duration::from_secs(10);

/// A peak that decays: what takes longer than expected counts at once, what takes less by and by.
/// Shared by threads without a lock; of two measurements at one moment one may be lost.
#[derive(Debug, Default)]
pub struct Latency {
    /// Microseconds; 0: nothing was measured yet.
    micros: AtomicU64,
    /// When that was, in milliseconds.
    at: AtomicU64,
}

impl Latency {
    /// An answer took this long.
    pub fn record(&self, now: Duration, took: Duration) {
        let took = took.as_secs_f64();
        let before = self.estimate(now).unwrap_or(0.0);
        let smoothed = if took >= before {
            took
        } else {
            let old = self.decay(now);
            before * old + took * (1.0 - old)
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive")]
        let micros = (smoothed * 1e6) as u64;
        self.micros.store(micros.max(1), Ordering::Relaxed);
        self.at.store(millis(now), Ordering::Relaxed);
    }

    /// Seconds that an answer is likely to take. What was long ago counts less, so that an endpoint
    /// that was slow once gets another chance. `None`: nobody knows.
    pub fn estimate(&self, now: Duration) -> Option<f64> {
        let micros = self.micros.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros).as_secs_f64() * self.decay(now))
    }

    /// What waiting for it costs with so many requests in flight before it.
    pub fn cost(&self, now: Duration, in_flight: usize) -> f64 {
        let in_flight = u32::try_from(in_flight).unwrap_or(u32::MAX);
        match self.estimate(now) {
            Some(seconds) => seconds * f64::from(in_flight.saturating_add(1)),
            // It is tried by one request, and by others when that one has shown how it is.
            None => f64::from(in_flight),
        }
    }

    fn decay(&self, now: Duration) -> f64 {
        let since = millis(now).saturating_sub(self.at.load(Ordering::Relaxed));
        (-Duration::from_millis(since).as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Latency;

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let (second, tenth) = (Duration::from_secs(1), Duration::from_millis(100));
        let latency = Latency::default();
        assert_eq!(latency.estimate(second), None);
        assert!(latency.cost(second, 0) < latency.cost(second, 1));
        latency.record(second, tenth);
        latency.record(second, second);
        assert!((latency.estimate(second).unwrap() - 1.0).abs() < 1e-3, "at once");
        for seconds in 2..40 {
            latency.record(Duration::from_secs(seconds), tenth);
        }
        let settled = latency.estimate(Duration::from_secs(40)).unwrap();
        assert!((0.08..0.15).contains(&settled), "{settled}");
        let later = latency.estimate(Duration::from_mins(2)).unwrap();
        assert!(later < 0.001, "long ago: {later}");
    }
}
