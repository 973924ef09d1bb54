//! How long certificates live, and when they are replaced.

use std::time::{Duration, SystemTime};

use crate::certificate::Certificate;
use crate::error::Error;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Life of one kind of certificate, both counted from its issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// When it ends.
    pub lifetime: Duration,
    /// When it is replaced; before its end.
    pub renew_after: Duration,
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
            ca: Term { lifetime: 3650 * DAY, renew_after: 9 * 365 * DAY },
            leaf: Term { lifetime: DAY, renew_after: 16 * HOUR },
            clock_skew: Duration::from_mins(5),
            settle: Duration::from_secs(30),
        }
    }
}

impl Terms {
    /// Refuses terms under which a certificate would end before it is replaced.
    pub fn check(&self) -> Result<(), Error> {
        for (what, Term { lifetime, renew_after }) in [("ca", self.ca), ("leaf", self.leaf)] {
            if renew_after >= lifetime {
                return Err(Error::Terms { what, lifetime, renew_after });
            }
        }
        Ok(())
    }

    /// When `certificate` was issued, if under these terms.
    pub(crate) fn issued(&self, certificate: &Certificate) -> SystemTime {
        certificate.not_before() + self.clock_skew
    }

    /// When `certificate` is to be replaced: at its rotation point, or, if it was issued under
    /// other terms, at the latest as long before its end as these terms would.
    pub(crate) fn due(&self, certificate: &Certificate, term: Term) -> SystemTime {
        let margin = term.lifetime.saturating_sub(term.renew_after);
        (self.issued(certificate) + term.renew_after).min(certificate.not_after() - margin)
    }
}
