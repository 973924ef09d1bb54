//! Times as the admin port writes them: seconds with their fractions, and RFC 3339 for people.

use std::time::{Duration, SystemTime};

/// With its milliseconds.
pub(super) fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// Seconds from `then` to `now`; negative where `then` is yet to come.
pub(super) fn seconds_since(then: SystemTime, now: SystemTime) -> f64 {
    match now.duration_since(then) {
        Ok(passed) => rounded(passed),
        Err(ahead) => -rounded(ahead.duration()),
    }
}

/// Seconds, to the millisecond.
pub(super) fn rounded(time: Duration) -> f64 {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{rounded, seconds_since, timestamp};

    #[test]
    fn times() {
        let then = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        assert_eq!(timestamp(then), "2023-11-14T22:13:20.250Z");
        let later = then + Duration::from_micros(1_500_700);
        assert!((seconds_since(then, later) - 1.5).abs() < 1e-9);
        assert!((seconds_since(later, then) + 1.5).abs() < 1e-9);
        assert!((rounded(Duration::from_micros(2_999)) - 0.002).abs() < 1e-9);
    }
}
