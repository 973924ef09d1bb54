//! What a measured program is to reach, and whether it did.

use std::fmt;

use serde::Serialize;

/// A goal and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Goal {
    wanted: String,
    /// NaN, written as null: it was not measured.
    measured: f64,
    /// `None`: it was not measured.
    reached: Option<bool>,
}

impl Goal {
    /// It is to be no less.
    pub fn at_least(least: f64, wanted: impl Into<String>, measured: f64) -> Self {
        Self::new(wanted, measured, measured >= least)
    }

    /// It is to be no more.
    pub fn at_most(most: f64, wanted: impl Into<String>, measured: f64) -> Self {
        Self::new(wanted, measured, measured <= most)
    }

    fn new(wanted: impl Into<String>, measured: f64, reached: bool) -> Self {
        let reached = (!measured.is_nan()).then_some(reached);
        Self { wanted: wanted.into(), measured, reached }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, measured, reached } = self;
        match reached {
            Some(true) => write!(f, "reached       {wanted}: {measured:.2}"),
            Some(false) => write!(f, "missed        {wanted}: {measured:.2}"),
            None => write!(f, "not measured  {wanted}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Goal;

    #[test]
    fn what_was_not_measured_was_neither_reached_nor_missed() {
        for (goal, text) in [
            (Goal::at_least(2.0, "two", 2.0), "reached       two: 2.00"),
            (Goal::at_least(2.0, "two", 1.0), "missed        two: 1.00"),
            (Goal::at_most(2.0, "two", 2.0), "reached       two: 2.00"),
            (Goal::at_most(2.0, "two", 3.0), "missed        two: 3.00"),
            (Goal::at_most(2.0, "two", f64::NAN), "not measured  two"),
        ] {
            assert_eq!(goal.to_string(), text);
        }
    }
}
