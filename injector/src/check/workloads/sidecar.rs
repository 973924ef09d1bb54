//! What pods have: no sidecar though they asked, or one of yesterday.

use super::{Renewal, Subject, sieve};
use crate::annotations::status;
use crate::check::Code;
use crate::check::findings::{Draft, Remedy};

pub(super) fn check(subject: &Subject<'_>) -> Option<Draft> {
    if subject.has_sidecar {
        return stale(subject);
    }
    // Where the injector is never asked, making the pod anew would not help.
    let lives = subject.is_pod && subject.exists;
    if !(lives && subject.awaits_sidecar() && sieve::reaches_injector(subject)) {
        return None;
    }
    let remedy = Remedy::Renew(None, renewal(subject));
    Some(subject.draft(Code::SidecarMissing, why(subject), remedy))
}

fn renewal(subject: &Subject<'_>) -> Renewal {
    Renewal::of(subject.pod, subject.owner.as_ref())
}

fn stale(subject: &Subject<'_>) -> Option<Draft> {
    let place = subject.place;
    if !place.knows_policy || !crate::is_stale(subject.pod.0, &place.settings.policy) {
        return None;
    }
    let by = crate::injection::made_by(subject.pod.0).unwrap_or_default();
    let problem = format!(
        "its sidecar is not what the template and the policy make today (it was made by version \
         {by})"
    );
    let remedy = if subject.is_pod && subject.exists {
        Remedy::Renew(None, renewal(subject))
    } else {
        let renew = "renew the manifest with `sidecar-injector inject`, which replaces the old one";
        Remedy::advice(renew)
    };
    Some(subject.draft(Code::SidecarStale, problem, remedy))
}

/// Why a pod has no sidecar that the injector would give one now.
fn why(subject: &Subject<'_>) -> String {
    if let Some(reason) = status(subject.pod).strip_prefix("skipped:") {
        return format!("has no sidecar: it was skipped ({reason}), and would get one now");
    }
    let created = subject.pod.metadata().text("creationTimestamp");
    // The API server writes every time alike, so that text sorts as time does.
    let before =
        |time: Option<&str>| time.is_some_and(|time| !created.is_empty() && created < time);
    let namespace = subject.place.namespaces.get(subject.namespace());
    let labelled = namespace.and_then(|namespace| namespace.labelled.as_deref());
    if before(subject.place.webhook_since.as_deref()) {
        return "has no sidecar: it was created before the webhook configuration".to_owned();
    }
    if before(labelled) {
        return "has no sidecar: it was created before its namespace had the labels it has"
            .to_owned();
    }
    "has no sidecar: when it was created, the injector probably was not running, or its namespace \
     not enabled"
        .to_owned()
}
