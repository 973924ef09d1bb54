//! Endpoints that answer, and badly: they are left out for a while.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// When an endpoint is left out for how it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outliers {
    /// So many errors in a row: 5xx, or no answer at all. 0: never.
    pub errors: u32,
    /// So many in a row of 502, 503 and 504, or no answer. 0: never.
    pub gateway_errors: u32,
    /// For how long, the first time; twice as long each further time.
    pub first: Duration,
    /// But never for longer.
    pub longest: Duration,
    /// No more than this share of a route's endpoints at once, of a hundred; one may always be.
    pub most_percent: u8,
}

impl Default for Outliers {
    /// Off; the rest as in Envoy.
    fn default() -> Self {
        Self {
            errors: 0,
            gateway_errors: 0,
            first: Duration::from_secs(30),
            longest: Duration::from_mins(5),
            most_percent: 10,
        }
    }
}

impl Outliers {
    /// Whether there is anything to look for.
    pub fn is_on(&self) -> bool {
        self.errors > 0 || self.gateway_errors > 0
    }

    /// Whether one more may be left out, of `count` of which so many are `out` already.
    pub fn may_go(&self, out: usize, count: usize) -> bool {
        out == 0 || (out + 1) * 100 <= usize::from(self.most_percent) * count
    }
}

/// Bad answers of one endpoint in a row.
#[derive(Debug, Default)]
pub struct Streak {
    errors: AtomicU32,
    gateway_errors: AtomicU32,
}

impl Streak {
    /// Takes down an answer, by its status; `None`: there was none. Whether the endpoint is to be
    /// left out; then it begins anew.
    pub fn record(&self, terms: &Outliers, status: Option<u16>) -> bool {
        let bad = status.is_none_or(|status| status >= 500);
        let gateway = status.is_none_or(|status| (502..=504).contains(&status));
        let out = [
            count(&self.errors, bad, terms.errors),
            count(&self.gateway_errors, gateway, terms.gateway_errors),
        ];
        let out = out.contains(&true);
        if out {
            self.errors.store(0, Ordering::Relaxed);
            self.gateway_errors.store(0, Ordering::Relaxed);
        }
        out
    }

    /// How many errors there were in a row.
    pub fn errors(&self) -> u32 {
        self.errors.load(Ordering::Relaxed)
    }
}

/// Whether the count has come to `limit`.
fn count(counter: &AtomicU32, bad: bool, limit: u32) -> bool {
    if bad {
        return counter.fetch_add(1, Ordering::Relaxed) + 1 >= limit && limit > 0;
    }
    // Read first: writing what is there already costs the other threads their cached line.
    if counter.load(Ordering::Relaxed) > 0 {
        counter.store(0, Ordering::Relaxed);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{Outliers, Streak};

    #[test]
    fn errors_in_a_row_and_no_others() {
        let terms = Outliers { errors: 3, gateway_errors: 2, ..Outliers::default() };
        for (statuses, out) in [
            (vec![500, 500, 500], true),
            (vec![500, 500, 200, 500], false),
            (vec![500, 500, 404, 500, 500], false),
            (vec![503, 503], true),
            (vec![503, 500, 503], true),
            (vec![0, 0], true),
            (vec![502, 200, 502], false),
        ] {
            let streak = Streak::default();
            let found = statuses
                .iter()
                .any(|status| streak.record(&terms, Some(*status).filter(|status| *status > 0)));
            assert_eq!(found, out, "{statuses:?}");
        }
        let streak = Streak::default();
        assert!((0..100).all(|_| !streak.record(&Outliers::default(), None)), "off");
    }

    #[test]
    fn a_share_stays_whatever_happens() {
        let terms = Outliers { most_percent: 30, ..Outliers::default() };
        for (out, count, may) in [(0, 1, true), (0, 10, true), (2, 10, true), (3, 10, false)] {
            assert_eq!(terms.may_go(out, count), may, "{out} of {count}");
        }
    }
}
