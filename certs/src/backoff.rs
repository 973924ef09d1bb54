//! Waiting longer after each failure, and never in step with others.

use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs;

/// Delays that double from `first` to `most`, each drawn between half of that and all of it. An
/// endless iterator; [`Self::reset`] after a success.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// Delays from `first` to `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// Starts over.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next delay.
    pub fn delay(&mut self) -> Duration {
        let whole = self.next.min(self.most);
        self.next = (whole * 2).min(self.most);
        whole.mul_f64(0.5 + jitter() / 2.0)
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.delay())
    }
}

#[cfg(feature = "kubernetes")]
impl kube::runtime::utils::Backoff for Backoff {
    fn reset(&mut self) {
        Self::reset(self);
    }
}

/// How long to rest after a write. Two writers who each undo the other's work would otherwise
/// go on as fast as they are told of it: so the rest grows until there were none for half a minute.
#[derive(Debug, Clone)]
pub struct Pace {
    backoff: Backoff,
    last: Option<Instant>,
}

impl Pace {
    const CALM: Duration = Duration::from_secs(30);

    /// Rests from `first` to `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        let backoff = Backoff::new(first, most);
        Self { backoff, last: None }
    }

    /// The rest after a write at `now`.
    pub fn rest(&mut self, now: Instant) -> Duration {
        let calm = |last: Instant| now.saturating_duration_since(last) >= Self::CALM;
        if self.last.is_none_or(calm) {
            self.backoff.reset();
        }
        self.last = Some(now);
        self.backoff.delay()
    }
}

/// Between 0 and 1.
fn jitter() -> f64 {
    let mut bytes = [0; 4];
    match aws_lc_rs::default_provider().secure_random.fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_bound_and_starts_over() {
        let (first, most) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(first, most);
        for whole in [100, 200, 400, 800, 1000, 1000].map(Duration::from_millis) {
            let delay = backoff.delay();
            assert!(delay >= whole / 2 && delay <= whole, "{delay:?} for {whole:?}");
        }
        backoff.reset();
        assert!(backoff.delay() <= first);
    }

    #[test]
    fn a_rest_grows_with_writes_in_a_row_alone() {
        let (first, most) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut pace = Pace::new(first, most);
        let start = Instant::now();
        assert!(pace.rest(start) <= first);
        assert!(pace.rest(start + Duration::from_secs(29)) >= first);
        assert!(pace.rest(start + Duration::from_secs(58)) >= 2 * first);
        assert!(pace.rest(start + Duration::from_secs(88)) <= first);
    }
}
