//! When a server is asked again: never in step with others, so that proxies that started together, or
//! lost one server together, do not ask together for ever.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Ever longer ones, from `least` to `most`, for as many failures as there are.
pub(crate) fn delays(least: Duration, most: Duration) -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(least)
        .with_max_delay(most)
        .without_max_times()
        .with_jitter()
        .build()
}

/// Between nine and eleven tenths of a wait.
pub(crate) fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(0.9 + fastrand::f64() * 0.2)
}
