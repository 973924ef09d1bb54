//! What a check found, as data.

use serde::Serialize;

use super::Code;

/// All that a check has to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What is wrong; errors first.
    pub findings: Vec<Finding>,
    /// What could not be looked at. A report without findings is no clean bill while something
    /// stands here.
    pub not_checked: Vec<NotChecked>,
}

impl Report {
    /// Whether a finding is an error.
    pub fn is_faulty(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// One thing that is wrong, and how to put it right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Which kind of fault it is.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// The file that holds the object; `<stdin>` for standard input, `cluster` for a live one.
    pub source: String,
    /// Namespace of the object; empty for an object without one.
    pub namespace: String,
    /// `deployment/web`. Faults of pods are the workload's that makes them.
    pub object: String,
    /// How many existing pods have it.
    pub pods: usize,
    /// What is wrong, in a sentence.
    pub problem: String,
    /// What to do about it.
    pub fix: Fix,
}

/// What to do about a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fix {
    /// For a shell, as it stands.
    Command(String),
    /// Something that no command does.
    Advice(String),
}

impl Fix {
    /// The command or the advice.
    pub fn as_str(&self) -> &str {
        let (Self::Command(text) | Self::Advice(text)) = self;
        text
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A pod that asks for a sidecar has none, or would get none.
    Error,
    /// Works, but hardly as it was meant, or not for long.
    Warning,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotChecked {
    /// What it is.
    pub what: String,
    /// Why it could not.
    pub reason: String,
    /// What would allow it, for example `list pods`; absent where no right is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs: Option<String>,
}
