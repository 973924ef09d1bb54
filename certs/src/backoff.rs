//! Waiting longer after each failure, and never in step with others.

use std::time::Duration;

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
        Self {
            first,
            most,
            next: first,
        }
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

impl kube::runtime::utils::Backoff for Backoff {
    fn reset(&mut self) {
        Self::reset(self);
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
            assert!(
                delay >= whole / 2 && delay <= whole,
                "{delay:?} for {whole:?}"
            );
        }
        backoff.reset();
        assert!(backoff.delay() <= first);
    }
}
