//! The pure core: a pod, its circumstances and the policy in, an [`Outcome`] out.

use serde_json::Value;

use crate::outcome::{Outcome, Skipped};
use crate::patch::Patch;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::request::{RequestInfo, TextRecord};

/// Decides whether `pod` gets a sidecar, and answers with the minimal patch. Deterministic: the
/// same input gives the same bytes on every replica.
pub fn inject(pod: &Value, request: &RequestInfo, policy: &Policy) -> Outcome {
    let _ = (pod, request, policy);
    Outcome::Skipped(Skipped {
        reason: Reason::NotRequested,
        message: String::new(),
        asked: false,
        patch: Patch::empty(),
        warnings: Vec::new(),
    })
}

/// What takes our sidecar out of a pod again.
#[derive(Debug, Clone, PartialEq)]
pub struct Uninjected {
    /// What to do to the pod.
    pub patch: Patch,
    /// What the command line had stored to restore the text.
    pub text: Option<TextRecord>,
}

/// Reads the record of `pod` and takes out everything it names; `None` when the pod has none.
pub fn uninject(pod: &Value) -> Option<Uninjected> {
    let _ = pod;
    None
}
