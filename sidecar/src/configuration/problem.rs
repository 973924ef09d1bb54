//! What is wrong with a configuration, all of it at once.

use std::fmt;

use super::values::Origin;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// `mesher` does not start, or goes on with what it had.
    Error,
    /// Something does not do what its author may think.
    Warning,
    /// Good to know.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where it was said.
    pub origin: Option<Origin>,
    /// The key as it was written; empty where it is about a whole file.
    pub key: String,
    /// What is wrong, what is allowed, what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, key, message, .. } = self;
        if let Some(origin) = origin {
            write!(f, "{origin}: ")?;
        }
        // A variable's or a flag's name says it all.
        if !key.is_empty() && !matches!(origin, Some(Origin::Variable(_) | Origin::Flag(_))) {
            write!(f, "{key}: ")?;
        }
        f.write_str(message)
    }
}

/// A configuration that cannot be used: what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faulty(pub Vec<Problem>);

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// How many problems there are at the most before warnings are left out.
const MOST_HINTS: usize = 500;

/// Collects problems.
#[derive(Debug, Default)]
pub(super) struct Problems(pub(super) Vec<Problem>);

impl Problems {
    pub(super) fn add(
        &mut self,
        severity: Severity,
        origin: Option<&Origin>,
        key: &str,
        message: impl Into<String>,
    ) {
        // Nobody reads more; errors are never left out, as they decide.
        if severity != Severity::Error && self.0.len() >= MOST_HINTS {
            return;
        }
        let problem =
            Problem { severity, origin: origin.cloned(), key: key.into(), message: message.into() };
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }
}
