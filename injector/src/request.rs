//! What is known about a pod besides the pod itself.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The circumstances of one pod: from an AdmissionReview, or from the workload that the command
/// line found it in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// `request.uid`; empty on the command line.
    pub uid: String,
    /// `request.kind`, for example `("", "v1", "Pod")`.
    pub kind: GroupVersionKind,
    /// `request.resource.resource`, for example `pods`.
    pub resource: String,
    /// `request.subResource`; empty when there is none.
    pub sub_resource: String,
    /// `request.operation`, for example `CREATE`.
    pub operation: String,
    /// `request.namespace`: the object's own field may be empty at admission.
    pub namespace: String,
    /// `request.name`; empty for a pod made from `generateName`.
    pub name: String,
    /// `request.dryRun`.
    pub dry_run: bool,
    /// Command line only: the workload that will create the pod.
    pub workload: Option<Workload>,
    /// Command line only: what uninject needs to restore the manifest's bytes. It goes into the
    /// record unread, so that patch and text agree.
    pub text: Option<TextRecord>,
}

/// Group, version and kind of the reviewed object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupVersionKind {
    /// Empty for the core group.
    pub group: String,
    /// For example `v1`.
    pub version: String,
    /// For example `Pod`.
    pub kind: String,
}

/// The object whose template the pod is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// For example `Deployment`.
    pub kind: String,
    /// Its `metadata.name`.
    pub name: String,
}

/// What only the text of a manifest knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TextRecord {
    /// For every parent whose text was replaced (absent parents are not among them): its path,
    /// list items by name as in `/spec/containers/app/env`, and the exact bytes it had.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replaced: BTreeMap<String, String>,
}

impl RequestInfo {
    /// The request the API server would send for the creation of a pod in `namespace`.
    pub fn pod_create(namespace: &str) -> Self {
        Self {
            kind: GroupVersionKind {
                group: String::new(),
                version: "v1".into(),
                kind: "Pod".into(),
            },
            resource: "pods".into(),
            operation: "CREATE".into(),
            namespace: namespace.into(),
            ..Self::default()
        }
    }
}
