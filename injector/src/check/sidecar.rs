//! What pods have: no sidecar though they asked, or one of yesterday.

use super::sieve::Namespaces;
use super::{Code, Finding, Subject, renewal};
use crate::annotations::status;
use crate::manifest::Settings;

pub(super) fn check(
    subject: &Subject<'_>,
    namespaces: &Namespaces,
    settings: &Settings,
) -> Option<Finding> {
    let renew = || renewal::command(subject.pod, subject.namespace());
    if subject.has_sidecar && crate::is_stale(subject.pod.0, &settings.policy) {
        let problem = "its sidecar is not what the template and the policy make today".to_owned();
        let fix = if subject.exists {
            renew()
        } else {
            "renew the manifest with `sidecar-injector inject`, which replaces the old one".into()
        };
        return Some(subject.finding(Code::SidecarStale, problem, fix));
    }
    // Where the injector is never asked, making the pod anew would not help.
    let asked_about = super::sieve::reaches_injector(subject, namespaces);
    if !(subject.exists && subject.awaits_sidecar() && asked_about) {
        return None;
    }
    let problem = match status(subject.pod).strip_prefix("skipped:") {
        Some(reason) => format!("has no sidecar: it was skipped ({reason}), and would get one now"),
        None => {
            "has no sidecar: when it was created, the injector probably was not running, or its \
                 namespace not enabled"
                .to_owned()
        }
    };
    Some(subject.finding(Code::SidecarMissing, problem, renew()))
}
