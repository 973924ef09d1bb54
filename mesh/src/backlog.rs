//! Requests that wait for a slot, when as many as may be are under way.

use std::collections::VecDeque;
use std::time::Duration;

/// Who may wait, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BacklogTerms {
    /// So many at once; 0: nobody.
    pub most: usize,
    /// Whoever has waited for so long waits no more.
    pub patience: Duration,
}

/// Those who wait, who are served in their order as long as that is soon. Where the first of them has
/// waited for half of the patience, there is more than can be done, and everybody would be served when
/// it is nearly too late: then those who came last are served first, and a few are not at all.
#[derive(Debug)]
pub struct Backlog<T> {
    terms: BacklogTerms,
    /// In the order in which they came, and when that was.
    waiting: VecDeque<(Duration, T)>,
}

impl<T> Default for Backlog<T> {
    fn default() -> Self {
        let terms = BacklogTerms { most: 0, patience: Duration::ZERO };
        Self { terms, waiting: VecDeque::new() }
    }
}

impl<T> Backlog<T> {
    /// Takes somebody in; gives back who finds no room.
    pub fn push(&mut self, terms: BacklogTerms, now: Duration, who: T) -> Result<(), T> {
        self.terms = terms;
        self.forget(now);
        if self.waiting.len() >= terms.most {
            return Err(who);
        }
        self.waiting.push_back((now, who));
        Ok(())
    }

    /// Whose turn it is; `None`: nobody waits.
    pub fn pop(&mut self, now: Duration) -> Option<T> {
        self.forget(now);
        let (first, _) = self.waiting.front()?;
        let late = now.saturating_sub(*first) * 2 > self.terms.patience;
        let next = if late { self.waiting.pop_back() } else { self.waiting.pop_front() };
        next.map(|(_, who)| who)
    }

    /// Forgets all but those to keep: some have gone before their time was over.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.waiting.retain(|(_, who)| keep(who));
    }

    /// How many wait, those included who have just given up.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Those who wait no more came before all others.
    fn forget(&mut self, now: Duration) {
        let over = |(came, _): &(Duration, T)| *came + self.terms.patience <= now;
        let over = self.waiting.iter().take_while(|one| over(one)).count();
        self.waiting.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backlog, BacklogTerms};

    const TERMS: BacklogTerms = BacklogTerms { most: 3, patience: Duration::from_millis(100) };

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_is_served_in_its_order() {
        let mut backlog = Backlog::default();
        for who in 0..3 {
            assert_eq!(backlog.push(TERMS, at(1_000 + who), who), Ok(()));
        }
        assert_eq!(backlog.push(TERMS, at(1_004), 9), Err(9), "there is no room");
        assert_eq!(
            [1_010, 1_020, 1_030].map(|now| backlog.pop(at(now))),
            [Some(0), Some(1), Some(2)]
        );
        assert_eq!(backlog.pop(at(1_040)), None);
    }

    #[test]
    fn who_has_waited_for_too_long_is_gone() {
        let mut backlog = Backlog::default();
        for (now, who) in [(0, 0), (50, 1)] {
            assert_eq!(backlog.push(TERMS, at(now), who), Ok(()));
        }
        assert_eq!((backlog.pop(at(100)), backlog.len()), (Some(1), 0));
        let none = BacklogTerms { most: 0, ..TERMS };
        assert_eq!(backlog.push(none, at(100), 2), Err(2));
    }

    #[test]
    fn where_it_is_late_the_last_are_the_first() {
        let mut backlog = Backlog::default();
        for (now, who) in [(0, 0), (10, 1), (20, 2)] {
            assert_eq!(backlog.push(TERMS, at(now), who), Ok(()));
        }
        assert_eq!(backlog.pop(at(50)), Some(0), "it is soon enough");
        assert_eq!(backlog.push(TERMS, at(50), 3), Ok(()));
        assert_eq!(backlog.pop(at(61)), Some(3), "the first has waited for more than half");
        assert_eq!(backlog.pop(at(61)), Some(2));
        assert_eq!(backlog.pop(at(61)), Some(1), "and is still served where there is time");
        assert_eq!(backlog.pop(at(61)), None);
    }

    /// Ten slots, each request has one for ten milliseconds: a thousand a second. For ten seconds,
    /// `per_milli` come each millisecond. Returns the times that those who were served had waited, in
    /// order.
    fn simulate(terms: BacklogTerms, per_milli: u64) -> Vec<u64> {
        let mut backlog = Backlog::default();
        let mut ends: Vec<u64> = Vec::new();
        let mut waits = Vec::new();
        for now in 0..10_000 {
            ends.retain(|end| *end > now);
            while ends.len() < 10 {
                let Some(came) = backlog.pop(at(now)) else { break };
                waits.push(now - came);
                ends.push(now + 10);
            }
            for _ in 0..per_milli {
                if ends.len() < 10 {
                    waits.push(0);
                    ends.push(now + 10);
                } else {
                    let _ = backlog.push(terms, at(now), now);
                }
            }
        }
        waits.sort_unstable();
        waits
    }

    #[test]
    fn at_twice_the_capacity_all_of_it_is_used_and_nobody_waits_for_long() {
        for most in [1, 10, 100, 1_000] {
            let terms = BacklogTerms { most, patience: Duration::from_millis(100) };
            let waits = simulate(terms, 2);
            assert!(waits.len() >= 9_900, "{} of 10,000 with a queue of {most}", waits.len());
            let quantile = |percent: usize| waits[(waits.len() - 1) * percent / 100];
            assert!(quantile(100) < 100, "{} ms", quantile(100));
            assert!(quantile(95) <= 60, "most wait for half of it: {} ms", quantile(95));
        }
    }
}
