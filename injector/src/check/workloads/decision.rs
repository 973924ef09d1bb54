//! Pods that ask for a sidecar, and that the injector would leave without one or refuse.

use super::Subject;
use crate::check::Code;
use crate::check::findings::{Draft, Remedy};
use crate::outcome::Outcome;
use crate::reason::Reason;

pub(super) fn check(subject: &Subject<'_>) -> Option<Draft> {
    let (code, reason, message) = match &subject.outcome {
        Outcome::Rejected(rejected) => (Code::PodRefused, rejected.reason, &rejected.message),
        Outcome::Skipped(skipped) if skipped.asked && !subject.has_sidecar => {
            (Code::PodSkipped, skipped.reason, &skipped.message)
        }
        _ => return None,
    };
    Some(subject.draft(code, format!("{reason}: {message}"), Remedy::advice(fix(reason))))
}

/// What helps against a refusal for this reason.
const fn fix(reason: Reason) -> &'static str {
    match reason {
        Reason::IgnoredNamespace => "create it in another namespace, or remove the annotation",
        Reason::HostNetwork => "remove hostNetwork, or set sidecar.mesher.io/inject to \"no\"",
        Reason::Windows | Reason::MirrorPod => "set sidecar.mesher.io/inject to \"no\"",
        Reason::InvalidInject => "set sidecar.mesher.io/inject to \"yes\" or \"no\"",
        Reason::InvalidAnnotation => "correct the value of the annotation",
        Reason::NameTaken => "rename what holds the sidecar's name or port",
        Reason::JobWithoutNative => "run it on Kubernetes 1.32 or newer, or without a sidecar",
        Reason::TemplateError | Reason::PatchError => {
            "correct the template: `sidecar-injector template --help` shows how to try it"
        }
        _ => "`sidecar-injector explain` shows every question that was asked",
    }
}
