//! What is to happen to one pod: the core's answer, or the undoing of an earlier one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::objects::{self, Object};
use super::report::Finding;
use super::settings::Settings;
use super::text_record::Records;
use super::value::Reading;
use crate::outcome::Outcome;
use crate::patch::Patch;
use crate::request::{RequestInfo, TextRecord};

/// What is to happen to one pod.
#[derive(Debug)]
pub(super) struct Plan {
    /// What the user is told.
    pub finding: Finding,
    /// Advice.
    pub warnings: Vec<String>,
    /// What to do to the pod.
    pub patch: Patch<'static>,
    /// The bytes that the text had at values the patch restores.
    pub bytes: BTreeMap<String, String>,
    /// What the text loses that goes into the record of the patch.
    pub records: Records,
}

/// The plan of an injection.
pub(super) fn put_in(object: &Object, pod: &Value, settings: &Settings) -> Plan {
    let outcome = crate::inject(pod, &object.request, &settings.policy).into_owned();
    let warnings = outcome.warnings().to_vec();
    let (finding, patch) = match outcome {
        Outcome::Injected(injected) => (Finding::Injected(injected.summary), injected.patch),
        // The webhook will say so at admission; a manifest that gets nothing stays as it is.
        Outcome::Skipped(skipped) => (Finding::Skipped(skipped), Patch::empty()),
        Outcome::Rejected(rejected) => (Finding::Rejected(rejected), Patch::empty()),
    };
    let records = match &finding {
        Finding::Injected(summary) if summary.repaired => Records::Parents,
        _ => Records::Everything,
    };
    Plan { finding, warnings, patch, bytes: BTreeMap::new(), records }
}

/// The patch of an injection with `new` in its record.
pub(super) fn with_text(
    object: &Object,
    pod: &Value,
    settings: &Settings,
    new: TextRecord,
) -> Patch<'static> {
    // A repaired pod keeps what its first injection replaced.
    let mut text = crate::uninject(pod).and_then(|u| u.text).unwrap_or_default();
    text.replaced.extend(new.replaced);
    let request = RequestInfo { text: Some(text), ..object.request.clone() };
    crate::inject(pod, &request, &settings.policy).patch().clone().into_owned()
}

/// The plan of an injection's undoing.
pub(super) fn take_out(pod: &Value) -> Plan {
    let Some(uninjected) = crate::uninject(pod) else {
        return leave();
    };
    Plan {
        finding: Finding::Uninjected,
        warnings: Vec::new(),
        patch: uninjected.patch,
        bytes: uninjected.text.unwrap_or_default().replaced,
        records: Records::Nothing,
    }
}

/// The plan for a pod that stays as it is.
pub(super) const fn leave() -> Plan {
    Plan {
        finding: Finding::NotInjected,
        warnings: Vec::new(),
        patch: Patch::empty(),
        bytes: BTreeMap::new(),
        records: Records::Nothing,
    }
}

/// The pods whose sidecar another version made, by the number of their document and the place of
/// their object: it goes first, so that the new one finds the manifest as it once was.
pub(super) fn outdated(reading: &Reading, settings: &Settings) -> BTreeSet<(usize, String)> {
    let mut found = BTreeSet::new();
    for (number, (_, document)) in reading.documents.iter().enumerate() {
        for object in objects::objects(document, &settings.namespace) {
            let Some(pod) = object.pod_in(document) else {
                continue;
            };
            if crate::uninject(pod).is_none() {
                continue;
            }
            let outcome = crate::inject(pod, &object.request, &settings.policy);
            if matches!(outcome, Outcome::Injected(injected) if !injected.summary.repaired) {
                found.insert((number, object.at.as_str().to_owned()));
            }
        }
    }
    found
}
