//! The circuit breaker, as Hystrix and go-chassis have it: a rolling window of ten seconds, open
//! above a share of errors, and one probe after a while.
//!
//! ```text
//!          enough failures              the sleep is over
//! closed ──────────────────► open ◄──────────────────────► half open
//!    ▲                              the probe fails, or            │
//!    └────────── the probe succeeds ◄─ is lost: another ───────────┘
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::tally::Tally;

/// Seconds in the window, one bucket each.
const WINDOW: usize = 10;
/// Set in `probe_at` while a probe is under way.
const PROBING: u64 = 1 << 63;

/// When it opens, and for how long. The names are those of `circuit_breaker.yaml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerTerms {
    /// What has a circuit of its own.
    pub scope: BreakerScope,
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

/// What has a circuit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BreakerScope {
    /// A service: when it opens, nobody is asked.
    #[default]
    Service,
    /// Each of its instances: the others go on, and nobody is asked when all of them are open.
    Instance,
}

impl Default for BreakerTerms {
    /// The defaults of go-chassis.
    fn default() -> Self {
        Self {
            scope: BreakerScope::Service,
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
    /// 0 while closed; else the millisecond (plus one) at which the next probe may pass, and whether
    /// there is one already.
    probe_at: AtomicU64,
    /// One for each second.
    buckets: [Tally; WINDOW],
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
        if millis(now) < probe_at & !PROBING {
            return Permit::Refused;
        }
        // One of those who come now is the probe. It pushes the next probe a sleep away, so a
        // probe that never comes back does not keep the circuit open for ever.
        let next = millis(now + terms.sleep) | PROBING;
        match self.probe_at.compare_exchange(probe_at, next, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => {
                self.turned(BreakerState::HalfOpen);
                Permit::Probe
            }
            Err(_) => Permit::Refused,
        }
    }

    /// Whether [`Self::admit`] would let a request pass, for whoever chooses among many. Nothing
    /// comes of having asked.
    pub fn lets_pass(&self, terms: &BreakerTerms, now: impl FnOnce() -> Duration) -> bool {
        if !terms.enabled || terms.force_closed {
            return true;
        }
        let probe_at = self.probe_at.load(Ordering::Acquire);
        !terms.force_open && (probe_at == 0 || millis(now()) >= probe_at & !PROBING)
    }

    /// Takes down how a permitted request ended. Returns what it has become by that, if something
    /// else.
    pub fn record(
        &self,
        terms: &BreakerTerms,
        now: Duration,
        permit: Permit,
        success: bool,
    ) -> Option<BreakerState> {
        match (permit, success) {
            (Permit::Refused, _) => return None,
            (Permit::Probe, true) => {
                self.buckets.iter().for_each(Tally::clear);
                self.probe_at.store(0, Ordering::Release);
                return Some(self.turned(BreakerState::Closed));
            }
            (Permit::Probe, false) => {
                self.probe_at.store(millis(now + terms.sleep), Ordering::Release);
                return Some(self.turned(BreakerState::Open));
            }
            (Permit::Pass, _) => self.count(now, success),
        }
        if success || !terms.enabled || terms.force_closed {
            return None;
        }
        let (requests, failures) = self.window(now);
        let over = failures * 100 >= requests * u64::from(terms.error_percent);
        if requests < u64::from(terms.volume) || !over {
            return None;
        }
        let until = millis(now + terms.sleep);
        let (set, unset) = (Ordering::AcqRel, Ordering::Relaxed);
        let opened = self.probe_at.compare_exchange(0, until, set, unset).is_ok();
        opened.then(|| self.turned(BreakerState::Open))
    }

    /// How often it has become this.
    pub fn turns(&self, to: BreakerState) -> u64 {
        self.turns[to as usize].load(Ordering::Relaxed)
    }

    /// Counts that it has become this; or that one of those has which it counts for.
    pub fn turned(&self, to: BreakerState) -> BreakerState {
        self.turns[to as usize].fetch_add(1, Ordering::Relaxed);
        to
    }

    /// For the admin page and metrics.
    pub fn state(&self, now: Duration) -> BreakerState {
        match self.probe_at.load(Ordering::Acquire) {
            0 => BreakerState::Closed,
            at if at & PROBING == 0 && millis(now) < at => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        }
    }

    /// How long it still refuses everything, while it is open.
    pub fn probe_in(&self, now: Duration) -> Option<Duration> {
        let probe_at = self.probe_at.load(Ordering::Acquire);
        let left = (probe_at & !PROBING).checked_sub(millis(now))?;
        (left > 0 && probe_at & PROBING == 0).then(|| Duration::from_millis(left))
    }

    /// Requests and failures of the last ten seconds.
    pub fn window(&self, now: Duration) -> (u64, u64) {
        let mut sum = (0, 0);
        for bucket in &self.buckets {
            let (second, requests, failures) = bucket.get();
            if second + WINDOW as u64 > now.as_secs() {
                sum = (sum.0 + requests, sum.1 + failures);
            }
        }
        sum
    }

    fn count(&self, now: Duration, success: bool) {
        let second = now.as_secs();
        let bucket = usize::try_from(second % WINDOW as u64).unwrap_or(0);
        self.buckets[bucket].count(second, success);
    }
}

/// Never 0, which says "closed".
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).map_or(PROBING - 1, |millis| (millis + 1).min(PROBING - 1))
}

#[cfg(test)]
mod tests;
