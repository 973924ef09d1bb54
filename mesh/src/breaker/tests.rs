//! What a breaker does, step by step.

use std::time::Duration;

use proptest::prelude::*;

use super::{Breaker, BreakerScope, BreakerState, BreakerTerms, Permit};

const TERMS: BreakerTerms = BreakerTerms {
    scope: BreakerScope::Service,
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

/// What happens, and what is seen of it.
enum Step {
    /// A request comes at this time, and this is what it is told.
    Asks(u64, Permit),
    /// A request with this permit ended at this time, well or not; and what that made of it.
    Ends(u64, Permit, bool, Option<BreakerState>),
    /// So it is at this time.
    Is(u64, BreakerState),
}

#[test]
fn every_transition_there_is() {
    use BreakerState::{Closed, HalfOpen, Open};
    use Permit::{Pass, Probe, Refused};
    use Step::{Asks, Ends, Is};
    let terms = BreakerTerms { volume: 2, ..TERMS };
    let breaker = Breaker::default();
    let steps = [
        // closed → closed: what goes well, and one failure of two that are too few.
        Is(0, Closed),
        Asks(0, Pass),
        Ends(0, Pass, false, None),
        Is(0, Closed),
        // closed → open: the second fails too, and a third that was under way changes nothing.
        Asks(1, Pass),
        Ends(1, Pass, false, Some(Open)),
        Ends(2, Pass, false, None),
        Ends(2, Pass, true, None),
        // open → open, as long as it sleeps.
        Asks(15_000, Refused),
        Ends(15_000, Refused, false, None),
        Is(15_000, Open),
        // open → half open: the sleep is over, and one may try.
        Is(15_001, HalfOpen),
        Asks(15_001, Probe),
        Is(15_002, HalfOpen),
        Asks(15_002, Refused),
        // half open → open: it fails.
        Ends(15_003, Probe, false, Some(Open)),
        Is(15_004, Open),
        Asks(30_002, Refused),
        // open → half open → half open: the next one is lost, and another follows.
        Asks(30_003, Probe),
        Asks(45_002, Refused),
        Asks(45_003, Probe),
        Is(45_003, HalfOpen),
        // half open: what was under way since it was closed decides nothing.
        Ends(45_004, Pass, true, None),
        Ends(45_004, Pass, false, None),
        Is(45_004, HalfOpen),
        // half open → closed: it succeeds, and all begins anew.
        Ends(45_005, Probe, true, Some(Closed)),
        Asks(45_006, Pass),
        Ends(45_006, Pass, false, None),
        Is(45_006, Closed),
        // closed → open again.
        Ends(45_007, Pass, false, Some(Open)),
        Is(45_007, Open),
    ];
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Asks(now, permit) => {
                let lets = breaker.lets_pass(&terms, || at(now));
                assert_eq!(lets, permit != Refused, "step {number}");
                assert_eq!(breaker.admit(&terms, || at(now)), permit, "step {number}");
            }
            Ends(now, permit, success, made) => {
                assert_eq!(breaker.record(&terms, at(now), permit, success), made, "step {number}");
            }
            Is(now, state) => assert_eq!(breaker.state(at(now)), state, "step {number}"),
        }
    }
    assert_eq!([Open, HalfOpen, Closed].map(|state| breaker.turns(state)), [3, 3, 1]);
}

/// The same in as few words as can be, with all that ever happened.
#[derive(Default)]
struct Model {
    ended: Vec<(u64, bool)>,
    /// When the next probe may pass; `None`: it is closed.
    probe_at: Option<u64>,
}

impl Model {
    fn admit(&mut self, now: u64) -> Permit {
        match self.probe_at {
            None => Permit::Pass,
            Some(at) if now < at => Permit::Refused,
            Some(_) => {
                self.probe_at = Some(now + 15_000);
                Permit::Probe
            }
        }
    }

    fn record(&mut self, now: u64, permit: Permit, success: bool) {
        match permit {
            Permit::Refused => return,
            Permit::Probe if success => {
                *self = Self::default();
                return;
            }
            Permit::Probe => {
                self.probe_at = Some(now + 15_000);
                return;
            }
            Permit::Pass => self.ended.push((now, success)),
        }
        let lately = |(at, _): &&(u64, bool)| at / 1000 + 10 > now / 1000;
        let all = self.ended.iter().filter(lately).count();
        let failed = self.ended.iter().filter(lately).filter(|(_, success)| !success).count();
        if !success && self.probe_at.is_none() && all >= 5 && failed * 2 >= all {
            self.probe_at = Some(now + 15_000);
        }
    }
}

proptest! {
    #[test]
    fn it_does_what_was_meant_whatever_happens(
        events in proptest::collection::vec((0..8_000_u64, 0..4_u8), 1..200),
    ) {
        let terms = BreakerTerms { volume: 5, ..TERMS };
        let (breaker, mut model) = (Breaker::default(), Model::default());
        let mut now = 0;
        for (later, how) in events {
            now += if later < 4_000 { later / 100 } else { later };
            let permit = breaker.admit(&terms, || at(now));
            prop_assert_eq!(permit, model.admit(now));
            // Most end well or badly; of some nobody hears again.
            if how < 3 {
                breaker.record(&terms, at(now), permit, how == 0);
                model.record(now, permit, how == 0);
            }
            let closed = breaker.state(at(now)) == BreakerState::Closed;
            prop_assert_eq!(closed, model.probe_at.is_none());
        }
    }
}
