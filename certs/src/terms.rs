//! How long certificates live, and when they are replaced.

use std::time::{Duration, SystemTime};

use crate::certificate::Certificate;
use crate::error::Error;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// A Julian year, as people write `10years`.
const YEAR: Duration = Duration::from_hours(8766);
/// Certificates tell time in whole seconds.
const SHORTEST: Duration = Duration::from_secs(1);
/// Beyond it the arithmetic of some client overflows.
const LONGEST: Duration = Duration::from_secs(100 * YEAR.as_secs());

/// Life of one kind of certificate, both counted from its issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// When it ends.
    pub lifetime: Duration,
    /// When it is replaced; before its end.
    pub renew_after: Duration,
}

impl Term {
    /// How long before its end it is replaced.
    fn margin(&self) -> Duration {
        self.lifetime.saturating_sub(self.renew_after)
    }
}

/// The lives of CA and leaf. Everything goes down to a second, so that tests can watch years pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The CA's: ten years, replaced after nine.
    pub ca: Term,
    /// The leaf's: a day, replaced after sixteen hours.
    pub leaf: Term,
    /// How far validity begins before the issue, for clients whose clock is slow: five minutes.
    pub clock_skew: Duration,
    /// How long a new CA stands in the bundle before a leaf of it is served, and an old one after:
    /// thirty seconds.
    pub settle: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            ca: Term { lifetime: 10 * YEAR, renew_after: 9 * YEAR },
            leaf: Term { lifetime: DAY, renew_after: 16 * HOUR },
            clock_skew: Duration::from_mins(5),
            settle: Duration::from_secs(30),
        }
    }
}

impl Terms {
    /// Refuses terms that cannot be kept: under which a certificate would end before its
    /// replacement is trusted, or a replacement would be due before the last one is complete.
    pub fn check(&self) -> Result<(), Error> {
        let Self { ca, leaf, settle, .. } = *self;
        for (what, term) in [("authority", ca), ("leaf", leaf)] {
            if term.renew_after < SHORTEST || term.lifetime > LONGEST {
                return refuse(what, "write times from 1s to 100years".into());
            }
            if term.margin() < SHORTEST {
                let Term { lifetime, renew_after } = term;
                let problem = format!(
                    "renew it at least 1s before its end after {lifetime:?}, not after \
                     {renew_after:?}"
                );
                return refuse(what, problem);
            }
        }
        let settled = self.settled();
        if settle < SHORTEST || self.oldest().saturating_add(settled) > leaf.lifetime {
            return refuse(
                "settle",
                format!(
                    "{settle:?} has to be at least 1s, and by 1s shorter than both half of the {:?} \
                     that a leaf lives and the {:?} that are left of it when it is renewed",
                    leaf.lifetime,
                    leaf.margin()
                ),
            );
        }
        if ca.margin() < leaf.lifetime {
            return refuse(
                "authority",
                format!(
                    "renew it at least a leaf's lifetime ({:?}) before its end, not {:?}",
                    leaf.lifetime,
                    ca.margin()
                ),
            );
        }
        if ca.renew_after < 2 * settled {
            return refuse(
                "authority",
                format!(
                    "renew it after {:?} at the earliest: it takes one settling time to bring it \
                     in and one to take its predecessor out",
                    2 * settled
                ),
            );
        }
        Ok(())
    }

    /// The settling time, counted from when a certificate says that it was issued: it tells time in
    /// whole seconds, and may be younger by one.
    fn settled(&self) -> Duration {
        self.settle.saturating_add(SHORTEST)
    }

    /// How old a leaf is at the most when what is due is begun: the first of a new CA stays until the
    /// old CA is gone.
    fn oldest(&self) -> Duration {
        self.leaf.renew_after.max(self.settled())
    }

    /// The longest that two writers who undo each other's work may be slowed down to. What is due
    /// is done that much later, and still well before a leaf ends.
    pub(crate) fn longest_rest(&self) -> Duration {
        let left = self.leaf.lifetime.saturating_sub(self.oldest());
        self.settle.min(left.saturating_sub(self.settle)) / 2
    }

    /// When `certificate` was issued, if under these terms: then or within a second.
    pub(crate) fn issued(&self, certificate: &Certificate) -> SystemTime {
        certificate.not_before() + self.clock_skew
    }

    /// Until when there was time for one settling since the issue of `certificate`.
    pub(crate) fn settles(&self, certificate: &Certificate) -> SystemTime {
        self.issued(certificate) + self.settled()
    }

    /// When `certificate` is to be replaced: at its rotation point, or, if it was issued under
    /// other terms, at the latest as long before its end as these terms would.
    pub fn due(&self, certificate: &Certificate, term: Term) -> SystemTime {
        let before_end = certificate.not_after() - term.margin();
        (self.issued(certificate) + term.renew_after).min(before_end)
    }

    /// When `certificate` should long have been replaced: another CA's replacement is completed
    /// before, a new CA settles, and whoever does it has to hear of it.
    pub fn overdue(&self, certificate: &Certificate, term: Term) -> SystemTime {
        self.due(certificate, term) + 3 * self.settled()
    }
}

fn refuse(what: &'static str, problem: String) -> Result<(), Error> {
    Err(Error::Terms { what, problem })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Duration, Term, Terms};

    proptest! {
        /// Replacements follow each other as fast as terms let them, and each write is followed by
        /// the longest rest: the new CA, and after its settling the new leaf.
        #[test]
        fn no_rest_costs_a_leaf_its_successor(
            settle in 1..300_u64,
            renew_after in 1..600_u64,
            margin in 1..300_u64,
        ) {
            let seconds = Duration::from_secs;
            let oldest = seconds(renew_after.max(settle + 1));
            let renew_after = seconds(renew_after);
            let lifetime = oldest + seconds(settle + margin);
            let leaf = Term { lifetime, renew_after };
            let terms = Terms { leaf, settle: seconds(settle), ..Terms::default() };
            prop_assert!(terms.check().is_ok());
            let rest = terms.longest_rest();
            prop_assert!(!rest.is_zero());
            prop_assert!(oldest + rest + terms.settle + rest <= leaf.lifetime);
        }
    }
}
