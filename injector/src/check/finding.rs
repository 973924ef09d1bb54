//! What a check found, as data.

use serde::Serialize;

/// One thing that is wrong, and how to put it right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Which kind of fault it is.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// The file that holds the object; `<stdin>` for standard input.
    pub source: String,
    /// Namespace of the object.
    pub namespace: String,
    /// `deployment/web`.
    pub object: String,
    /// What is wrong, in a sentence.
    pub problem: String,
    /// What to do about it: a command, or an instruction.
    pub fix: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A pod that asks for a sidecar has none, or would get none.
    Error,
    /// Works, but hardly as it was meant.
    Warning,
}

/// The kinds of faults. Scripts rely on their words: they are never renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// An annotation of ours on a workload, where nobody reads it.
    AnnotationMisplaced,
    /// An annotation with our prefix that is none of ours.
    AnnotationUnknown,
    /// The namespace lacks the label without which the API server does not call the injector.
    NamespaceNotEnabled,
    /// A label keeps the pod away from the injector, though its annotation asks for a sidecar.
    LabelOptsOut,
    /// The pod would be refused.
    PodRefused,
    /// The pod asks for a sidecar and would get none.
    PodSkipped,
    /// A pod that exists asked for a sidecar and has none, though it would get one now.
    SidecarMissing,
    /// A sidecar that the policy would make otherwise today.
    SidecarStale,
}

impl Code {
    /// The word users meet, for example `pod_skipped`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AnnotationMisplaced => "annotation_misplaced",
            Self::AnnotationUnknown => "annotation_unknown",
            Self::NamespaceNotEnabled => "namespace_not_enabled",
            Self::LabelOptsOut => "label_opts_out",
            Self::PodRefused => "pod_refused",
            Self::PodSkipped => "pod_skipped",
            Self::SidecarMissing => "sidecar_missing",
            Self::SidecarStale => "sidecar_stale",
        }
    }

    /// How bad it is.
    pub const fn severity(self) -> Severity {
        match self {
            Self::AnnotationUnknown | Self::SidecarStale => Severity::Warning,
            _ => Severity::Error,
        }
    }
}
