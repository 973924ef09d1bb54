//! The words that say why: one per decision, the same in the log line, the warning, the audit
//! annotation, the metric label, `explain` and the pod's `status` annotation.

use std::fmt;

use serde::Serialize;

/// Why a pod was left alone or refused. The order of the variants is the order in which the
/// decision asks its questions; the first that applies wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not the creation of a pod: another kind, subresource or operation.
    NotPodCreate,
    /// The namespace is one the injector never touches (`kube-system`, its own, configured ones).
    IgnoredNamespace,
    /// A mirror pod of a static pod: the kubelet owns it, and its API object cannot change it.
    MirrorPod,
    /// `sidecar.mesher.io/inject` says no.
    OptedOut,
    /// `sidecar.mesher.io/inject` is absent or empty.
    NotRequested,
    /// `sidecar.mesher.io/inject` is neither yes nor no.
    InvalidInject,
    /// The pod shares the node's network: the sidecar's ports would be the node's.
    HostNetwork,
    /// The pod runs on Windows.
    Windows,
    /// Our record and our container agree, and nothing of ours is missing.
    AlreadyInjected,
    /// The pod holds a container, volume or port of ours that we did not add.
    NameTaken,
    /// An annotation of ours has a value that cannot be used.
    InvalidAnnotation,
    /// A pod that runs to completion, and only a plain sidecar is possible: it would never end.
    JobWithoutNative,
    /// The template failed to render.
    TemplateError,
    /// Our own patch did not apply to our copy of the pod, or its result is not a valid pod.
    PatchError,
    /// More reviews at once than the injector admits.
    Overloaded,
    /// A fault of ours.
    InternalError,
}

impl Reason {
    /// Every reason, in the order of decision.
    pub const ALL: [Self; 16] = [
        Self::NotPodCreate,
        Self::IgnoredNamespace,
        Self::MirrorPod,
        Self::OptedOut,
        Self::NotRequested,
        Self::InvalidInject,
        Self::HostNetwork,
        Self::Windows,
        Self::AlreadyInjected,
        Self::NameTaken,
        Self::InvalidAnnotation,
        Self::JobWithoutNative,
        Self::TemplateError,
        Self::PatchError,
        Self::Overloaded,
        Self::InternalError,
    ];

    /// The word users meet, for example `not_requested`.
    ///
    /// ```
    /// assert_eq!(injector::Reason::HostNetwork.as_str(), "host_network");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotPodCreate => "not_pod_create",
            Self::IgnoredNamespace => "ignored_namespace",
            Self::MirrorPod => "mirror_pod",
            Self::OptedOut => "opted_out",
            Self::NotRequested => "not_requested",
            Self::InvalidInject => "invalid_inject",
            Self::HostNetwork => "host_network",
            Self::Windows => "windows",
            Self::AlreadyInjected => "already_injected",
            Self::NameTaken => "name_taken",
            Self::InvalidAnnotation => "invalid_annotation",
            Self::JobWithoutNative => "job_without_native",
            Self::TemplateError => "template_error",
            Self::PatchError => "patch_error",
            Self::Overloaded => "overloaded",
            Self::InternalError => "internal_error",
        }
    }

    /// What is found when the reason does not apply: what `explain` says of a question passed.
    ///
    /// ```
    /// assert_eq!(injector::Reason::HostNetwork.absence(), "has a network of its own");
    /// ```
    pub const fn absence(self) -> &'static str {
        match self {
            Self::NotPodCreate => "is the creation of a pod",
            Self::IgnoredNamespace => "its namespace may be injected",
            Self::MirrorPod => "is no mirror pod",
            Self::OptedOut => "does not opt out",
            Self::NotRequested => "a sidecar is asked for",
            Self::InvalidInject => "what it asks for is clear",
            Self::HostNetwork => "has a network of its own",
            Self::Windows => "runs on Linux",
            Self::AlreadyInjected => "has no sidecar yet",
            Self::NameTaken => "our names and ports are free",
            Self::InvalidAnnotation => "its annotations can be used",
            Self::JobWithoutNative => "a sidecar does not keep it from ending",
            Self::TemplateError => "the template renders",
            Self::PatchError => "the patch applies",
            Self::Overloaded => "there is room",
            Self::InternalError => "nothing failed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
