//! Time since the proxy started, which is what the decisions of [`mesh`] are told.

use std::time::{Duration, Instant};

/// A beginning. Cheap to copy; all threads have the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Duration {
        self.0.elapsed()
    }
}
