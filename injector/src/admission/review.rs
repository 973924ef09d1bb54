//! Bytes in: what the API server asks.

use serde::de::DeserializeSeed;
use serde::{Deserialize, Deserializer};

use super::needed::{Needed, OF_POD};
use crate::content::Content;
use crate::pod::Pod;
use crate::request::{GroupVersionKind, RequestInfo};

/// Version of the `AdmissionReview`; the answer repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiVersion {
    /// `admission.k8s.io/v1`
    V1,
    /// `admission.k8s.io/v1beta1`
    V1Beta1,
}

impl ApiVersion {
    /// As it stands in `apiVersion`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "admission.k8s.io/v1",
            Self::V1Beta1 => "admission.k8s.io/v1beta1",
        }
    }
}

/// One question of the API server, without what the decision has no use for: the old object,
/// the options and the user are skipped unread.
#[derive(Debug, Clone, PartialEq)]
pub struct Review<'b> {
    /// The version to answer in.
    pub version: ApiVersion,
    /// What is known about the pod besides the pod itself; its `uid` is never empty.
    pub request: RequestInfo,
    /// `request.object`, or `Null` where there is none (as for a deletion). Of the `spec` of a pod
    /// without our record only what [`inject`](crate::inject()) looks at, which decides the same
    /// as about the whole. Its text is that of the body.
    pub object: Content<'b>,
}

/// A body that is no question the injector can answer: HTTP 400.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// Not text.
    #[error("the body is not valid UTF-8 after byte {0}: send JSON")]
    NotUtf8(usize),
    /// Not JSON, nested too deeply, a number out of range, or a field of the wrong type.
    #[error("the body is not a readable AdmissionReview: {0}")]
    NotJson(#[from] serde_json::Error),
    /// Another object than an `AdmissionReview`.
    #[error("kind is {0:?}: only \"AdmissionReview\" is answered")]
    Kind(String),
    /// A version that is not known.
    #[error(
        "apiVersion is {0:?}: allowed are \"admission.k8s.io/v1\" and \"admission.k8s.io/v1beta1\""
    )]
    Version(String),
    /// An `AdmissionReview` that asks nothing.
    #[error("request is missing: an AdmissionReview without one asks nothing")]
    NoRequest,
    /// A question that could not be answered: the API server matches answers by `uid`.
    #[error("request.uid is missing or empty: the answer has to repeat it")]
    NoUid,
}

impl<'b> Review<'b> {
    /// Reads `body`. Every fault of the sender becomes a [`ReviewError`]; nothing is guessed.
    pub fn read(body: &'b [u8]) -> Result<Self, ReviewError> {
        let text = std::str::from_utf8(body).map_err(|e| ReviewError::NotUtf8(e.valid_up_to()))?;
        let envelope: Envelope<'b> = serde_json::from_str(text)?;
        let kind = envelope.kind.unwrap_or_default();
        if kind != "AdmissionReview" {
            return Err(ReviewError::Kind(excerpt(kind)));
        }
        let version = envelope.api_version.unwrap_or_default();
        let version = match version.as_str() {
            "admission.k8s.io/v1" => ApiVersion::V1,
            "admission.k8s.io/v1beta1" => ApiVersion::V1Beta1,
            _ => return Err(ReviewError::Version(excerpt(version))),
        };
        let mut request = envelope.request.ok_or(ReviewError::NoRequest)?;
        if has_record(&request.object) {
            let whole: Whole<'b> = serde_json::from_str(text)?;
            request.object = whole.request.object;
        }
        let uid = request.uid.filter(|uid| !uid.is_empty()).ok_or(ReviewError::NoUid)?;
        let kind = request.kind.unwrap_or_default();
        Ok(Self {
            version,
            request: RequestInfo {
                uid,
                kind: GroupVersionKind {
                    group: kind.group.unwrap_or_default(),
                    version: kind.version.unwrap_or_default(),
                    kind: kind.name.unwrap_or_default(),
                },
                resource: request.resource.and_then(|r| r.resource).unwrap_or_default(),
                sub_resource: request.sub_resource.unwrap_or_default(),
                operation: request.operation.unwrap_or_default(),
                namespace: request.namespace.unwrap_or_default(),
                name: request.name.unwrap_or_default(),
                dry_run: request.dry_run.unwrap_or_default(),
                workload: None,
                text: None,
            },
            object: request.object,
        })
    }

    /// What people call the pod: its name, or `generateName` with a `*` for the part to come;
    /// empty where it has neither.
    pub fn pod_name(&self) -> String {
        let metadata = Pod::of(&self.object).metadata();
        let name = match self.request.name.as_str() {
            "" => metadata.text("name"),
            name => name,
        };
        match (name, metadata.text("generateName")) {
            ("", "") => String::new(),
            ("", prefix) => format!("{prefix}*"),
            (name, _) => name.to_owned(),
        }
    }
}

/// The start of a value that a message shows.
fn excerpt(value: String) -> String {
    match value.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &value[..at]),
        None => value,
    }
}

/// Serde skips unlisted fields without keeping them, and refuses listed ones that occur twice.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'b> {
    api_version: Option<String>,
    kind: Option<String>,
    #[serde(borrow)]
    request: Option<Request<'b>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'b> {
    uid: Option<String>,
    kind: Option<Kind>,
    resource: Option<Resource>,
    sub_resource: Option<String>,
    operation: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    dry_run: Option<bool>,
    #[serde(borrow, default = "nothing", deserialize_with = "needed")]
    object: Content<'b>,
}

const fn nothing<'b>() -> Content<'b> {
    Content::Null
}

fn needed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Content<'de>, D::Error> {
    OF_POD.deserialize(deserializer)
}

/// The same, and all of the pod.
#[derive(Deserialize)]
struct Whole<'b> {
    #[serde(borrow)]
    request: WholeRequest<'b>,
}

#[derive(Deserialize)]
struct WholeRequest<'b> {
    #[serde(borrow, deserialize_with = "whole")]
    object: Content<'b>,
}

fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Content<'de>, D::Error> {
    Needed::Whole.deserialize(deserializer)
}

fn has_record(pod: &Content<'_>) -> bool {
    crate::annotations::injected(Pod::of(pod)).is_some()
}

#[derive(Deserialize, Default)]
struct Kind {
    group: Option<String>,
    version: Option<String>,
    #[serde(rename = "kind")]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Resource {
    resource: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(body: &str) -> Result<Review<'_>, String> {
        Review::read(body.as_bytes()).map_err(|e| e.to_string())
    }

    const V1: &str = r#""apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview""#;

    #[test]
    fn the_request_is_taken_over() {
        let review = read(
            r#"{"request":{"uid":"u","kind":{"group":"","version":"v1","kind":"Pod"},
                "resource":{"group":"","version":"v1","resource":"pods"},"operation":"CREATE",
                "namespace":"shop","dryRun":true,"userInfo":{"username":"x"},"oldObject":null,
                "object":{"metadata":{"generateName":"orders-","big":9007199254740993}}},
                "kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1"}"#,
        )
        .unwrap();
        assert_eq!(review.version, ApiVersion::V1Beta1);
        let mut expected = RequestInfo::pod_create("shop");
        expected.uid = "u".into();
        expected.dry_run = true;
        assert_eq!(review.request, expected);
        assert_eq!(review.pod_name(), "orders-*");
        let object = review.object.to_value();
        assert_eq!(object["metadata"]["big"].as_i64(), Some(9_007_199_254_740_993));
    }

    #[test]
    fn an_absent_or_null_object_is_null() {
        for object in ["", r#","object":null"#] {
            let body = format!(r#"{{{V1},"request":{{"uid":"u"{object}}}}}"#);
            let review = read(&body).unwrap();
            assert_eq!(review.object, Content::Null);
            assert_eq!(review.pod_name(), "");
        }
    }

    #[test]
    fn every_fault_is_named() {
        let deep = "[".repeat(200);
        let cases = [
            ("", "readable"),
            ("{}", "kind is \"\""),
            (r#"{"kind":"Pod"}"#, "kind is \"Pod\""),
            (r#"{"kind":"AdmissionReview"}"#, "apiVersion is \"\""),
            (r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v2"}"#, "k8s.io/v2"),
            (&format!("{{{V1}}}"), "request is missing"),
            (&format!(r#"{{{V1},"request":null}}"#), "request is missing"),
            (&format!(r#"{{{V1},"request":{{}}}}"#), "request.uid"),
            (&format!(r#"{{{V1},"request":{{"uid":""}}}}"#), "request.uid"),
            (&format!(r#"{{{V1},"request":{{"uid":7}}}}"#), "expected a string"),
            (&format!(r#"{{{V1},"request":{{"uid":"u","uid":"v"}}}}"#), "duplicate field"),
            (&format!(r#"{{{V1},"request":{{"uid":"u","object":1e999}}}}"#), "out of range"),
            (&format!(r#"{{{V1},"request":{{"uid":"u","object":{deep}"#), "recursion limit"),
            (&format!(r#"{{{V1},"request":{{"uid":"u"}}}} more"#), "trailing characters"),
        ];
        for (body, expected) in cases {
            let error = read(body).unwrap_err();
            assert!(error.contains(expected), "{body:.60}: {error}");
        }
        let error = Review::read(b"{\"kind\":\"\xff\"}").unwrap_err();
        assert!(matches!(error, ReviewError::NotUtf8(9)), "{error}");
    }

    #[test]
    fn a_long_value_is_shown_in_part() {
        let error = read(&format!(r#"{{"kind":"{}"}}"#, "x".repeat(5000))).unwrap_err();
        assert!(error.len() < 200, "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Review::read(&body);
        }

        #[test]
        fn no_value_of_a_field_makes_it_panic(
            field in "uid|kind|resource|subResource|operation|namespace|name|dryRun|object",
            value in r#"null|true|7|-1\.5|"x"|\[\]|\{\}|\{"kind":3\}"#,
        ) {
            if let Ok(review) = read(&format!(r#"{{{V1},"request":{{"{field}":{value}}}}}"#)) {
                prop_assert!(!review.request.uid.is_empty());
            }
        }
    }
}
