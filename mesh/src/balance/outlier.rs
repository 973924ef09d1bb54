//! Endpoints that answer, and badly: they are left out for a while.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::tally::Tally;

/// How long endpoints are counted for, before their success rates are held against each other.
const PERIOD: Duration = Duration::from_secs(10);

/// When an endpoint is left out for how it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outliers {
    /// So many errors in a row: 5xx, or no answer at all. 0: never.
    pub errors: u32,
    /// So many in a row of 502, 503 and 504, or no answer. 0: never.
    pub gateway_errors: u32,
    /// When its success rate is too far below that of the others.
    pub success_rate: SuccessRate,
    /// For how long, the first time; twice as long each further time.
    pub first: Duration,
    /// But never for longer.
    pub longest: Duration,
    /// No more than this share of a route's endpoints at once, of a hundred, for whatever reason they
    /// are out; one may always be.
    pub most_percent: u8,
}

/// When an endpoint succeeds less often than the others: its rate is held against the mean of all,
/// less so many standard deviations. What fails everywhere is nobody's fault alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuccessRate {
    /// Thousandths of the standard deviation; 0: never.
    pub deviation: u32,
    /// With fewer endpoints that had requests enough, there is nothing to compare.
    pub hosts: u32,
    /// Requests enough, in ten seconds.
    pub volume: u32,
}

impl Default for SuccessRate {
    /// Off; the rest as in Envoy.
    fn default() -> Self {
        Self { deviation: 0, hosts: 5, volume: 100 }
    }
}

impl SuccessRate {
    /// Which ten seconds it is: those of one number are judged together, when they are over.
    pub fn period(now: Duration) -> u64 {
        now.as_secs() / PERIOD.as_secs()
    }

    /// The endpoints that are to be left out, by their places, of requests and failures of each.
    ///
    /// ```
    /// use mesh::balance::SuccessRate;
    /// let terms = SuccessRate { deviation: 1900, ..SuccessRate::default() };
    /// assert_eq!(terms.outliers(&[(100, 1), (100, 0), (100, 2), (100, 40), (100, 1)]), [3]);
    /// assert_eq!(terms.outliers(&[(100, 40), (100, 40), (100, 41), (100, 40), (100, 40)]), [2]);
    /// assert!(terms.outliers(&[(100, 40), (100, 40), (99, 99), (100, 40), (100, 40)]).is_empty());
    /// ```
    pub fn outliers(&self, counted: &[(u64, u64)]) -> Vec<usize> {
        #[expect(clippy::cast_precision_loss, reason = "counts end at 65,535")]
        let rate = |(requests, failures): (u64, u64)| 1.0 - failures as f64 / requests as f64;
        let enough = |(requests, _): &(u64, u64)| *requests >= u64::from(self.volume.max(1));
        let rates: Vec<f64> = counted.iter().copied().filter(enough).map(rate).collect();
        let Ok(count) = u32::try_from(rates.len()) else { return Vec::new() };
        if self.deviation == 0 || count < self.hosts.max(1) {
            return Vec::new();
        }
        let mean = rates.iter().sum::<f64>() / f64::from(count);
        let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>();
        let deviation = (variance / f64::from(count)).sqrt();
        // What is lost in computing makes nobody an outlier.
        let least = mean - deviation * f64::from(self.deviation) / 1000.0 - 1e-9;
        let below = |(_, one): &(usize, &(u64, u64))| enough(one) && rate(**one) < least;
        counted.iter().enumerate().filter(below).map(|(place, _)| place).collect()
    }
}

/// How often one endpoint has succeeded, in the ten seconds that are and in those before.
#[derive(Debug, Default)]
pub struct Rates([Tally; 2]);

impl Rates {
    /// Takes down an answer, in its period.
    pub fn record(&self, period: u64, success: bool) {
        self.of(period).count(period, success);
    }

    /// Requests and failures of a period, this one or the last.
    pub fn in_period(&self, period: u64) -> (u64, u64) {
        let (of, requests, failures) = self.of(period).get();
        if of == period { (requests, failures) } else { (0, 0) }
    }

    fn of(&self, period: u64) -> &Tally {
        &self.0[usize::from(period % 2 == 1)]
    }
}

impl Default for Outliers {
    /// Off; the rest as in Envoy.
    fn default() -> Self {
        Self {
            errors: 0,
            gateway_errors: 0,
            success_rate: SuccessRate::default(),
            first: Duration::from_secs(30),
            longest: Duration::from_mins(5),
            most_percent: 10,
        }
    }
}

impl Outliers {
    /// Whether there is anything to look for.
    pub fn is_on(&self) -> bool {
        self.errors > 0 || self.gateway_errors > 0 || self.success_rate.deviation > 0
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
    use super::{Outliers, Rates, Streak, SuccessRate};

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
    fn who_succeeds_less_often_than_the_others() {
        let terms = SuccessRate { deviation: 1900, hosts: 3, volume: 10 };
        for (counted, out) in [
            (vec![(100, 0); 4], vec![]),
            (vec![(100, 100); 4], vec![]),
            (vec![(100, 0), (100, 1), (100, 0), (100, 0), (100, 99)], vec![4]),
            (vec![(100, 0), (100, 0), (100, 0), (100, 0), (9, 9)], vec![]),
            (vec![(100, 0), (100, 50)], vec![]),
            (vec![(100, 0), (100, 50), (100, 0)], vec![]),
            (vec![], vec![]),
        ] {
            assert_eq!(terms.outliers(&counted), out, "{counted:?}");
        }
        let off = SuccessRate::default();
        assert!(off.outliers(&[(100, 0), (100, 0), (100, 0), (100, 0), (100, 100)]).is_empty());
    }

    #[test]
    fn a_period_ends_with_the_one_after_the_next() {
        let rates = Rates::default();
        for (period, success) in [(4, true), (4, false), (5, false)] {
            rates.record(period, success);
        }
        assert_eq!([4, 5, 6].map(|period| rates.in_period(period)), [(2, 1), (1, 1), (0, 0)]);
        rates.record(6, true);
        assert_eq!([4, 5, 6].map(|period| rates.in_period(period)), [(0, 0), (1, 1), (1, 0)]);
    }

    #[test]
    fn a_share_stays_whatever_happens() {
        let terms = Outliers { most_percent: 30, ..Outliers::default() };
        for (out, count, may) in [(0, 1, true), (0, 10, true), (2, 10, true), (3, 10, false)] {
            assert_eq!(terms.may_go(out, count), may, "{out} of {count}");
        }
    }
}
