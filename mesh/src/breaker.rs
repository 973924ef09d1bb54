//! The circuit breaker, as Hystrix and go-chassis have it: a rolling window of ten seconds, open
//! above a share of errors, and one probe after a while.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Seconds in the window, one bucket each.
const WINDOW: usize = 10;

/// When it opens, and for how long. The names are those of `circuit_breaker.yaml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerTerms {
    /// Without, it lets everything pass (and counts on).
    pub enabled: bool,
    /// `forceOpen`: refuses everything.
    pub force_open: bool,
    /// `forceClosed`: refuses nothing.
    pub force_closed: bool,
    /// `requestVolumeThreshold`: with fewer requests in the window it stays closed.
    pub volume: u32,
    /// `errorThresholdPercentage`: it opens at this share of failures.
    pub error_percent: u8,
    /// `sleepWindowInMilliseconds`: how long it refuses before it lets one probe pass.
    pub sleep: Duration,
}

impl Default for BreakerTerms {
    /// The defaults of go-chassis.
    fn default() -> Self {
        Self {
            enabled: false,
            force_open: false,
            force_closed: false,
            volume: 20,
            error_percent: 50,
            sleep: Duration::from_secs(15),
        }
    }
}

/// What the breaker says to a request. Give it back with the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Go on.
    Pass,
    /// Go on; what becomes of it decides about all others.
    Probe,
    /// Refused.
    Refused,
}

/// What the breaker is doing, for whoever looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything passes.
    Closed,
    /// Everything is refused.
    Open,
    /// The sleep is over: a probe is due or under way.
    HalfOpen,
}

/// The state of one circuit, shared by all threads without a lock. Time is the caller's, from any
/// fixed beginning; it must not run backwards by more than the window.
#[derive(Debug, Default)]
pub struct Breaker {
    /// 0 while closed; else the millisecond (plus one) at which the next probe may pass.
    probe_at: AtomicU64,
    /// Second (32 bits), requests (16), failures (16); both counts stop at their highest.
    buckets: [AtomicU64; WINDOW],
    turns: [AtomicU64; 3],
}

impl Breaker {
    /// Asks for leave. The time is asked for only where it matters.
    pub fn admit(&self, terms: &BreakerTerms, now: impl FnOnce() -> Duration) -> Permit {
        if !terms.enabled || terms.force_closed {
            return Permit::Pass;
        }
        if terms.force_open {
            return Permit::Refused;
        }
        let probe_at = self.probe_at.load(Ordering::Acquire);
        if probe_at == 0 {
            return Permit::Pass;
        }
        let now = now();
        if millis(now) < probe_at {
            return Permit::Refused;
        }
        // One of those who come now is the probe. It pushes the next probe a sleep away, so a
        // probe that never comes back does not keep the circuit open for ever.
        let next = millis(now + terms.sleep);
        match self.probe_at.compare_exchange(probe_at, next, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => {
                self.turned(BreakerState::HalfOpen);
                Permit::Probe
            }
            Err(_) => Permit::Refused,
        }
    }

    /// Takes down how a permitted request ended.
    pub fn record(&self, terms: &BreakerTerms, now: Duration, permit: Permit, success: bool) {
        match (permit, success) {
            (Permit::Refused, _) => return,
            (Permit::Probe, true) => {
                for bucket in &self.buckets {
                    bucket.store(0, Ordering::Relaxed);
                }
                self.probe_at.store(0, Ordering::Release);
                self.turned(BreakerState::Closed);
                return;
            }
            (Permit::Probe, false) => {
                self.probe_at.store(millis(now + terms.sleep), Ordering::Release);
                self.turned(BreakerState::Open);
                return;
            }
            (Permit::Pass, _) => self.count(now, success),
        }
        if success || !terms.enabled || terms.force_closed {
            return;
        }
        let (requests, failures) = self.window(now);
        let over = failures * 100 >= requests * u64::from(terms.error_percent);
        if requests >= u64::from(terms.volume) && over {
            let until = millis(now + terms.sleep);
            let (set, unset) = (Ordering::AcqRel, Ordering::Relaxed);
            if self.probe_at.compare_exchange(0, until, set, unset).is_ok() {
                self.turned(BreakerState::Open);
            }
        }
    }

    /// How often it has become this.
    pub fn turns(&self, to: BreakerState) -> u64 {
        self.turns[to as usize].load(Ordering::Relaxed)
    }

    fn turned(&self, to: BreakerState) {
        self.turns[to as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// For the admin page and metrics.
    pub fn state(&self, now: Duration) -> BreakerState {
        match self.probe_at.load(Ordering::Acquire) {
            0 => BreakerState::Closed,
            at if millis(now) < at => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        }
    }

    /// How long it still refuses everything, while it is open.
    pub fn probe_in(&self, now: Duration) -> Option<Duration> {
        let left = self.probe_at.load(Ordering::Acquire).checked_sub(millis(now))?;
        (left > 0).then(|| Duration::from_millis(left))
    }

    /// Requests and failures of the last ten seconds.
    pub fn window(&self, now: Duration) -> (u64, u64) {
        let mut sum = (0, 0);
        for bucket in &self.buckets {
            let (second, requests, failures) = unpack(bucket.load(Ordering::Relaxed));
            if second + WINDOW as u64 > now.as_secs() {
                sum = (sum.0 + requests, sum.1 + failures);
            }
        }
        sum
    }

    fn count(&self, now: Duration, success: bool) {
        let second = now.as_secs();
        let bucket = &self.buckets[usize::try_from(second % WINDOW as u64).unwrap_or(0)];
        let step = |old| {
            let (of, requests, failures) = unpack(old);
            let (requests, failures) = if of == second { (requests, failures) } else { (0, 0) };
            Some(pack(second, requests + 1, failures + u64::from(!success)))
        };
        let _ = bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
    }
}

/// Never 0, which says "closed".
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX - 1) + 1
}

fn pack(second: u64, requests: u64, failures: u64) -> u64 {
    // Halved together at the top, the share of failures stays what it was.
    let (requests, failures) =
        if requests > 0xffff { (requests / 2, failures / 2) } else { (requests, failures) };
    (second & 0xffff_ffff) << 32 | requests << 16 | failures
}

fn unpack(bucket: u64) -> (u64, u64, u64) {
    (bucket >> 32, bucket >> 16 & 0xffff, bucket & 0xffff)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Breaker, BreakerState, BreakerTerms, Permit};

    const TERMS: BreakerTerms = BreakerTerms {
        enabled: true,
        force_open: false,
        force_closed: false,
        volume: 20,
        error_percent: 50,
        sleep: Duration::from_secs(15),
    };

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn run(breaker: &Breaker, now: Duration, good: usize, bad: usize) {
        for success in std::iter::repeat_n(true, good).chain(std::iter::repeat_n(false, bad)) {
            breaker.record(&TERMS, now, Permit::Pass, success);
        }
    }

    #[test]
    fn opens_at_the_share_of_errors_and_not_below_the_volume() {
        for (good, bad, state) in [
            (0, 19, BreakerState::Closed),
            (0, 20, BreakerState::Open),
            (10, 10, BreakerState::Open),
            (11, 9, BreakerState::Closed),
        ] {
            let breaker = Breaker::default();
            run(&breaker, at(0), good, bad);
            assert_eq!(breaker.state(at(0)), state, "{good} good, {bad} bad");
        }
    }

    #[test]
    fn its_turns_are_counted() {
        let breaker = Breaker::default();
        let states = [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen];
        let turns = |breaker: &Breaker| states.map(|state| breaker.turns(state));
        run(&breaker, at(0), 0, 30);
        assert_eq!(turns(&breaker), [0, 1, 0]);
        for (now, success) in [(16_000, false), (32_000, true)] {
            assert_eq!(breaker.admit(&TERMS, || at(now)), Permit::Probe);
            breaker.record(&TERMS, at(now), Permit::Probe, success);
        }
        assert_eq!(turns(&breaker), [1, 2, 2]);
    }

    #[test]
    fn what_is_ten_seconds_old_counts_no_more() {
        let breaker = Breaker::default();
        run(&breaker, at(0), 0, 19);
        run(&breaker, at(10_000), 0, 1);
        assert_eq!(breaker.state(at(10_000)), BreakerState::Closed);
        assert_eq!(breaker.window(at(10_000)), (1, 1));
    }

    #[test]
    fn one_probe_closes_it_or_opens_it_again() {
        let breaker = Breaker::default();
        run(&breaker, at(0), 0, 20);
        assert_eq!(breaker.probe_in(at(14_000)), Some(at(1_000)));
        assert_eq!(breaker.admit(&TERMS, || at(14_999)), Permit::Refused);
        assert_eq!(breaker.probe_in(at(15_000)), None, "one is due");
        assert_eq!(breaker.admit(&TERMS, || at(15_000)), Permit::Probe);
        assert_eq!(breaker.admit(&TERMS, || at(15_001)), Permit::Refused, "one at a time");
        breaker.record(&TERMS, at(16_000), Permit::Probe, false);
        assert_eq!(breaker.admit(&TERMS, || at(30_999)), Permit::Refused);
        assert_eq!(breaker.admit(&TERMS, || at(31_000)), Permit::Probe);
        breaker.record(&TERMS, at(31_001), Permit::Probe, true);
        assert_eq!(breaker.state(at(31_001)), BreakerState::Closed);
        assert_eq!(breaker.probe_in(at(31_001)), None);
        assert_eq!(breaker.window(at(31_001)), (0, 0), "it begins anew");
    }

    #[test]
    fn a_probe_that_never_comes_back_is_followed_by_another() {
        let breaker = Breaker::default();
        run(&breaker, at(0), 0, 20);
        assert_eq!(breaker.admit(&TERMS, || at(15_000)), Permit::Probe);
        assert_eq!(breaker.admit(&TERMS, || at(30_000)), Permit::Probe);
    }

    #[test]
    fn force_wins_over_what_was_counted() {
        let breaker = Breaker::default();
        run(&breaker, at(0), 0, 20);
        let closed = BreakerTerms { force_closed: true, ..TERMS };
        assert_eq!(breaker.admit(&closed, || at(1)), Permit::Pass);
        let open = BreakerTerms { force_open: true, ..TERMS };
        assert_eq!(Breaker::default().admit(&open, || at(1)), Permit::Refused);
        let off = BreakerTerms { enabled: false, ..TERMS };
        assert_eq!(breaker.admit(&off, || at(1)), Permit::Pass);
    }

    proptest! {
        #[test]
        fn counts_stay_in_proportion_however_many(requests in 0..300_000_u64) {
            let breaker = Breaker::default();
            for i in 0..requests {
                breaker.count(at(0), i % 4 == 0);
            }
            let (counted, failures) = breaker.window(at(0));
            prop_assert!(counted <= requests && failures <= counted);
            if counted > 100 {
                let share = failures * 100 / counted;
                prop_assert!((74..=76).contains(&share), "{share} %");
            }
        }
    }
}
