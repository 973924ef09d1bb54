//! How many traces are collected.

use std::str::FromStr;

/// A part of all traces, from none to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    /// Ids whose lower 63 bits are below this are in.
    below: u64,
}

impl Ratio {
    /// Every trace.
    pub const ALL: Self = Self { below: 1 << 63 };
    /// No trace.
    pub const NONE: Self = Self { below: 0 };

    /// `None`: it is not from 0 to 1.
    pub fn new(part: f64) -> Option<Self> {
        if !(0.0..=1.0).contains(&part) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "between zero and 2^63, and a bit more or less does not matter"
        )]
        let below = (part * Self::ALL.below as f64) as u64;
        Some(Self { below })
    }

    /// Whether a trace with this in the lower half of its id is in: whoever asks with the same
    /// ratio gets the same answer, as from OpenTelemetry's `traceidratio`.
    pub fn takes(self, low: u64) -> bool {
        low & (Self::ALL.below - 1) < self.below
    }
}

impl Default for Ratio {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromStr for Ratio {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse().ok().and_then(Self::new).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Ratio;

    #[test]
    fn what_a_ratio_is() {
        for (text, expected) in [
            ("0", Some(Ratio::NONE)),
            ("1", Some(Ratio::ALL)),
            ("1.0", Some(Ratio::ALL)),
            ("1.1", None),
            ("-0.1", None),
            ("NaN", None),
            ("inf", None),
            ("half", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn who_takes_less_takes_some_of_the_same(low: u64, a in 0.0..=1.0, b in 0.0..=1.0) {
            let (less, more) = if a < b { (a, b) } else { (b, a) };
            let takes = |part| Ratio::new(part).is_some_and(|ratio| ratio.takes(low));
            prop_assert!(!takes(less) || takes(more));
            prop_assert!(takes(1.0) && !takes(0.0));
        }
    }

    #[test]
    fn a_quarter_is_a_quarter() {
        let quarter = Ratio::new(0.25).expect("a ratio");
        // Evenly spread.
        let ids = (0..1000_u64).map(|n| n.wrapping_mul(u64::MAX / 1000));
        let taken = ids.filter(|low| quarter.takes(*low)).count();
        assert!((248..=252).contains(&taken), "{taken}");
    }
}
