//! What `inject` answers.

use serde::Serialize;

use crate::patch::Patch;
use crate::reason::Reason;

/// The answer to one pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<'a> {
    /// The pod gets its sidecar, or the missing pieces of one it has.
    Injected(Injected<'a>),
    /// The pod stays as it is, but for the `status` annotation if it had asked.
    Skipped(Skipped),
    /// The pod must not be created as it stands.
    Rejected(Rejected),
}

/// A pod that gets a sidecar.
#[derive(Debug, Clone, PartialEq)]
pub struct Injected<'a> {
    /// What to do to the pod; never empty. What the template says literally is the template's.
    pub patch: Patch<'a>,
    /// What was done, in a few words for logs and the command line.
    pub summary: Summary,
    /// Advice for the user: at most 120 characters each, no newline, no secret.
    pub warnings: Vec<String>,
}

/// What an injection added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Name of the template.
    pub template: String,
    /// `true`: an init container with `restartPolicy: Always`; `false`: a plain container.
    pub native: bool,
    /// `true`: the pod had our sidecar, and lost pieces of it came back.
    pub repaired: bool,
    /// Names of the pod's own containers that got proxy variables.
    pub intercepted: Vec<String>,
}

/// A pod that gets no sidecar.
#[derive(Debug, Clone, PartialEq)]
pub struct Skipped {
    /// Why.
    pub reason: Reason,
    /// Why, as a sentence for people.
    pub message: String,
    /// Whether the pod had asked for a sidecar; only then `patch` may hold anything, and `warnings`
    /// more than a hint at a misspelt key.
    pub asked: bool,
    /// Writes `sidecar.mesher.io/status: skipped:<reason>` where that is not there yet; often empty.
    pub patch: Patch<'static>,
    /// See [`Injected::warnings`].
    pub warnings: Vec<String>,
}

/// A pod that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Why.
    pub reason: Reason,
    /// What is wrong, for example `metadata.annotations[sidecar.mesher.io/inject]`.
    pub field: String,
    /// Which annotation it is, if it is one, what was found, what is allowed.
    pub message: String,
    /// See [`Injected::warnings`].
    pub warnings: Vec<String>,
}

impl<'a> Outcome<'a> {
    /// `injected`, or the word of the reason: the metric label and the log field.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Injected(_) => "injected",
            Self::Skipped(s) => s.reason.as_str(),
            Self::Rejected(r) => r.reason.as_str(),
        }
    }

    /// The same, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> Outcome<'static> {
        match self {
            Self::Injected(Injected { patch, summary, warnings }) => {
                Outcome::Injected(Injected { patch: patch.into_owned(), summary, warnings })
            }
            Self::Skipped(skipped) => Outcome::Skipped(skipped),
            Self::Rejected(rejected) => Outcome::Rejected(rejected),
        }
    }

    /// What to do to the pod; empty when nothing.
    pub fn patch(&self) -> &Patch<'a> {
        static NOTHING: Patch<'static> = Patch::empty();
        match self {
            Self::Injected(i) => &i.patch,
            Self::Skipped(s) => &s.patch,
            Self::Rejected(_) => &NOTHING,
        }
    }

    /// Advice for whoever created the pod.
    pub fn warnings(&self) -> &[String] {
        match self {
            Self::Injected(i) => &i.warnings,
            Self::Skipped(s) => &s.warnings,
            Self::Rejected(r) => &r.warnings,
        }
    }
}
