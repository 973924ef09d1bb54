//! What happened to each object.

use std::fmt;

use crate::outcome::{Rejected, Skipped, Summary};

/// One object and what happened to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// `deployment/web`.
    pub object: String,
    /// The line on which its document starts.
    pub line: usize,
    /// What happened.
    pub finding: Finding,
    /// Advice.
    pub warnings: Vec<String>,
}

/// What happened to an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// It got its sidecar, or lost pieces of it.
    Injected(Summary),
    /// It was left as it is.
    Skipped(Skipped),
    /// It cannot be used as it stands.
    Rejected(Rejected),
    /// The sidecar was taken out.
    Uninjected,
    /// There was no sidecar of ours to take out.
    NotInjected,
    /// It holds no pod.
    NoPod,
}

impl Report {
    /// Whether the whole run fails because of it.
    pub const fn is_failure(&self) -> bool {
        matches!(self.finding, Finding::Rejected(_))
    }
}

/// One line without the file's name, for example
/// `deployment/web  injected (native, template mesher)`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  ", self.object)?;
        match &self.finding {
            Finding::Injected(summary) => {
                let verb = if summary.repaired { "repaired" } else { "injected" };
                let way = if summary.native { "native" } else { "plain" };
                write!(f, "{verb} ({way}, template {}", summary.template)?;
                if !summary.intercepted.is_empty() {
                    write!(f, ", proxy variables in {}", summary.intercepted.join(", "))?;
                }
                f.write_str(")")
            }
            Finding::Skipped(skipped) if skipped.message.is_empty() => {
                write!(f, "skipped: {}", skipped.reason)
            }
            Finding::Skipped(skipped) => {
                write!(f, "skipped: {}: {}", skipped.reason, skipped.message)
            }
            Finding::Rejected(rejected) => {
                write!(f, "rejected: {}: {}", rejected.reason, rejected.message)
            }
            Finding::Uninjected => f.write_str("uninjected"),
            Finding::NotInjected => f.write_str("unchanged: no sidecar of ours"),
            Finding::NoPod => f.write_str("unchanged: holds no pod"),
        }
    }
}
