//! Bytes out: what the API server is told.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::{GeneralPurposeConfig, Simd};
use serde::Serialize;

use super::review::ApiVersion;
use crate::outcome::{Outcome, Rejected};
use crate::reason::Reason;
use crate::warning::warning;

/// What an answer takes besides its patch, mostly.
const ENVELOPE: usize = 512;

/// The standard alphabet, padded, by the processor's widest instructions.
static BASE64: LazyLock<Simd> = LazyLock::new(|| Simd::standard(GeneralPurposeConfig::new()));

/// The `AdmissionReview` that answers the request `uid` in its own version. It never repeats the
/// request; `patch` and `patchType` stand there together or not at all, and never with a denial.
pub fn answer(version: ApiVersion, uid: &str, outcome: &Outcome) -> Answer {
    let review = AdmissionReview {
        api_version: version.as_str(),
        kind: "AdmissionReview",
        response: Response {
            uid,
            allowed: !matches!(outcome, Outcome::Rejected(_)),
            status: match outcome {
                Outcome::Rejected(rejected) => Some(Status::of(rejected)),
                _ => None,
            },
            warnings: outcome.warnings().iter().map(|text| warning(text)).collect(),
            audit_annotations: audit(outcome),
        },
    };
    let patch = match outcome.patch() {
        patch if patch.is_empty() => Vec::new(),
        patch => patch.to_bytes(),
    };
    let mut body = Vec::with_capacity(ENVELOPE + patch.len().div_ceil(3) * 4);
    serde_json::to_writer(&mut body, &review)
        .expect("strings and maps of strings always serialize, and memory takes every write");
    if !patch.is_empty() {
        append_patch(&mut body, &patch);
    }
    Answer { body, patch_bytes: patch.len() }
}

/// Puts the patch into the response at the end of `body`. Most of an answer is this text, of
/// letters and digits, which no serializer has to look through once more.
fn append_patch(body: &mut Vec<u8>, patch: &[u8]) {
    body.truncate(body.len() - "}}".len());
    body.extend_from_slice(b",\"patchType\":\"JSONPatch\",\"patch\":\"");
    let start = body.len();
    body.resize(start + patch.len().div_ceil(3) * 4, 0);
    BASE64.encode_slice(patch, &mut body[start..]).expect("it is as long as base64 takes");
    body.extend_from_slice(b"\"}}");
}

/// What goes on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The `AdmissionReview` as JSON.
    pub body: Vec<u8>,
    /// Length of the patch in it, before base64; 0 without one.
    pub patch_bytes: usize,
}

/// The API server writes them into its audit log as `<webhook name>/<key>`.
fn audit<'a>(outcome: &'a Outcome<'_>) -> BTreeMap<&'static str, &'a str> {
    let mut entries = BTreeMap::from([("decision", outcome.word())]);
    if let Outcome::Injected(injected) = outcome {
        entries.insert("template", &injected.summary.template);
        entries.insert("mode", if injected.summary.native { "native" } else { "plain" });
        if injected.summary.repaired {
            entries.insert("repaired", "true");
        }
    }
    entries
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AdmissionReview<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    audit_annotations: BTreeMap<&'static str, &'a str>,
}

/// `metav1.Status`, as the client of the API server gets to see it.
#[derive(Serialize)]
struct Status<'a> {
    #[serde(rename = "status")]
    verdict: &'static str,
    code: u16,
    reason: &'static str,
    message: &'a str,
    details: Details<'a>,
}

#[derive(Serialize)]
struct Details<'a> {
    causes: [Cause<'a>; 1],
}

#[derive(Serialize)]
struct Cause<'a> {
    reason: &'static str,
    field: &'a str,
    message: &'a str,
}

impl<'a> Status<'a> {
    /// A fault of the pod is 403 `Forbidden`; one of ours, where the operator asked for a denial,
    /// is 500 `InternalError`.
    fn of(rejected: &'a Rejected) -> Self {
        let (code, reason, cause) = match rejected.reason {
            Reason::TemplateError
            | Reason::PatchError
            | Reason::Overloaded
            | Reason::InternalError => (500, "InternalError", "InternalError"),
            _ => (403, "Forbidden", "FieldValueInvalid"),
        };
        let Rejected { field, message, .. } = rejected;
        Self {
            verdict: "Failure",
            code,
            reason,
            message,
            details: Details { causes: [Cause { reason: cause, field, message }] },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Injected, Skipped, Summary};
    use crate::patch::{Patch, Pointer};
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    fn written(version: ApiVersion, outcome: &Outcome) -> Value {
        serde_json::from_slice(&answer(version, "uid-1", outcome).body).unwrap()
    }

    fn one_addition() -> Patch<'static> {
        let mut patch = Patch::empty();
        patch.add(Pointer::root().child("metadata").child("labels"), json!({"a": "b"}));
        patch
    }

    #[test]
    fn a_patch_goes_out_in_base64_with_its_type() {
        let outcome = Outcome::Injected(Injected {
            patch: one_addition(),
            summary: Summary {
                template: "mesher".into(),
                native: true,
                repaired: false,
                intercepted: Vec::new(),
            },
            warnings: vec!["two\nlines".into()],
        });
        let answer = written(ApiVersion::V1, &outcome);
        let patch =
            STANDARD.encode(r#"[{"op":"add","path":"/metadata/labels","value":{"a":"b"}}]"#);
        assert_eq!(
            answer,
            json!({
                "apiVersion": "admission.k8s.io/v1",
                "kind": "AdmissionReview",
                "response": {
                    "uid": "uid-1",
                    "allowed": true,
                    "patch": patch,
                    "patchType": "JSONPatch",
                    "warnings": ["two lines"],
                    "auditAnnotations":
                        {"decision": "injected", "template": "mesher", "mode": "native"},
                },
            })
        );
    }

    #[test]
    fn without_a_change_neither_patch_nor_type_is_there() {
        let outcome = Outcome::Skipped(Skipped {
            reason: Reason::NotRequested,
            message: String::new(),
            asked: false,
            patch: Patch::empty(),
            warnings: Vec::new(),
        });
        assert_eq!(
            written(ApiVersion::V1Beta1, &outcome),
            json!({
                "apiVersion": "admission.k8s.io/v1beta1",
                "kind": "AdmissionReview",
                "response": {
                    "uid": "uid-1",
                    "allowed": true,
                    "auditAnnotations": {"decision": "not_requested"},
                },
            })
        );
    }

    #[test]
    fn a_denial_names_the_field_and_carries_no_patch() {
        let outcome = Outcome::Rejected(Rejected {
            reason: Reason::InvalidInject,
            field: "metadata.annotations[sidecar.mesher.io/inject]".into(),
            message: "found \"yse\", allowed are yes and no".into(),
            warnings: Vec::new(),
        });
        let response = &written(ApiVersion::V1, &outcome)["response"];
        assert_eq!(response["allowed"], false);
        assert_eq!(response["status"]["code"], 403);
        assert_eq!(response["status"]["reason"], "Forbidden");
        assert_eq!(response["status"]["message"], "found \"yse\", allowed are yes and no");
        assert_eq!(
            response["status"]["details"]["causes"][0]["field"],
            "metadata.annotations[sidecar.mesher.io/inject]"
        );
        assert!(response.get("patch").is_none() && response.get("patchType").is_none());
    }

    #[test]
    fn a_fault_of_ours_is_not_called_the_users() {
        let outcome = Outcome::Rejected(Rejected {
            reason: Reason::InternalError,
            field: String::new(),
            message: "internal_error".into(),
            warnings: Vec::new(),
        });
        let status = &written(ApiVersion::V1, &outcome)["response"]["status"];
        assert_eq!(status["code"], 500);
        assert_eq!(status["message"], "internal_error");
    }
}
