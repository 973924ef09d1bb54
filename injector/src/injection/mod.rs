//! The pure core: a pod, its circumstances and the policy in, an [`Outcome`] out.
//!
//! The way of a pod reads top to bottom here: [`decision`] asks the questions that need no
//! template, [`record`] tells what of the pod is ours already, [`build`] renders and patches.

use self::build::{Build, annotate};
use self::decision::Objection;
use self::record::Record;
use crate::annotations::{self, STATUS, Settings};
use crate::content::{Content, Node};
use crate::outcome::{Outcome, Rejected, Skipped};
use crate::patch::Patch;
use crate::pod::Pod;
use crate::policy::{OnError, OnInvalid, Policy};
use crate::reason::Reason;
use crate::request::{RequestInfo, TextRecord};
use crate::warning::warning;

mod additions;
mod build;
mod context;
mod decision;
mod identity;
mod record;
mod resources;
mod trial;
mod validity;

pub use trial::load_template;

/// Decides whether `pod` gets a sidecar, and answers with the minimal patch. Deterministic: the
/// same input gives the same bytes on every replica.
///
/// ```
/// use injector::{Outcome, Policy, RequestInfo, inject};
/// let pod = serde_json::json!({
///     "metadata": {"name": "web", "annotations": {"sidecar.mesher.io/inject": "yes"}},
///     "spec": {"containers": [{"name": "app", "image": "web:1"}]},
/// });
/// let policy = Policy::builtin();
/// let outcome = inject(&pod, &RequestInfo::pod_create("shop"), &policy);
/// let mut patched = pod.clone();
/// outcome.patch().apply(&mut patched).unwrap();
/// assert_eq!(patched["spec"]["initContainers"][0]["name"], "sidecar-mesher");
/// ```
pub fn inject<'d, 'p>(
    pod: impl Into<Node<'d>>,
    request: &RequestInfo,
    policy: &'p Policy,
) -> Outcome<'p> {
    decide(Pod::of(pod), request, policy, &mut |_| {})
}

/// As [`inject`], and tells `passed` of every question that found nothing against the sidecar.
pub fn explain<'d, 'p>(
    pod: impl Into<Node<'d>>,
    request: &RequestInfo,
    policy: &'p Policy,
) -> (Vec<Reason>, Outcome<'p>) {
    let mut passed = Vec::new();
    let outcome = decide(Pod::of(pod), request, policy, &mut |reason| passed.push(reason));
    (passed, outcome)
}

/// What takes our sidecar out of a pod again.
#[derive(Debug, Clone, PartialEq)]
pub struct Uninjected {
    /// What to do to the pod.
    pub patch: Patch<'static>,
    /// What the command line had stored to restore the text.
    pub text: Option<TextRecord>,
}

/// Reads the record of `pod` and takes out everything it names; `None` when the pod has none, or
/// one that its containers do not bear out.
pub fn uninject<'d>(pod: impl Into<Node<'d>>) -> Option<Uninjected> {
    let pod = Pod::of(pod);
    let record = Record::read(pod).filter(|r| r.agrees(pod))?;
    Some(Uninjected { patch: record.removal(pod), text: record.text })
}

/// Whether `pod` has a sidecar of ours that `policy` would make otherwise today.
pub fn is_stale<'d>(pod: impl Into<Node<'d>>, policy: &Policy) -> bool {
    let pod = Pod::of(pod);
    Record::read(pod).filter(|r| r.agrees(pod)).is_some_and(|record| {
        policy.templates.get(&*record.template).is_none_or(|t| policy.hash(t) != record.hash)
    })
}

/// The version of the injector that made the sidecar of `pod`, by its record.
pub(crate) fn made_by<'d>(pod: impl Into<Node<'d>>) -> Option<String> {
    let version = Record::read(Pod::of(pod))?.version;
    (!version.is_empty()).then(|| version.into_owned())
}

fn decide<'p>(
    pod: Pod<'_>,
    request: &RequestInfo,
    policy: &'p Policy,
    passed: &mut dyn FnMut(Reason),
) -> Outcome<'p> {
    if let Err(objection) = decision::gate(pod, request, policy, passed) {
        return refuse(pod, policy, objection);
    }
    let stored = Record::read(pod);
    let removal = stored.as_ref().map(|record| record.removal(pod));
    // A removal is made from the pod it is applied to; should it not fit, the record is void.
    let without_us = removal.as_ref().and_then(|patch| Content::patched(pod.0, patch).ok());
    let base = without_us.as_ref().map_or(pod, Pod::of);
    let settings = Settings::read(base, &policy.templates);
    if let Some((record, removal)) = stored.as_ref().zip(removal.as_ref())
        && record.agrees(pod)
    {
        if let Some(outcome) = present(pod, base, record, &settings, request, policy) {
            return outcome;
        }
        let mut outcome = decide(base, request, policy, passed);
        if let Outcome::Injected(injected) = &mut outcome {
            let both = removal.operations().iter().chain(injected.patch.operations());
            injected.patch = both.cloned().collect();
        }
        return outcome;
    }
    passed(Reason::AlreadyInjected);
    let named = settings.as_ref().ok().and_then(|s| s.template.as_ref());
    let wanted = named.unwrap_or(&policy.default_template);
    let Some(template) = policy.templates.get(wanted) else {
        let message = format!("there is no template \"{wanted}\": check defaultTemplate");
        return refuse(pod, policy, Objection::new(Reason::TemplateError, message));
    };
    if let Some(objection) = decision::name_taken(base, template) {
        return refuse(pod, policy, objection);
    }
    passed(Reason::NameTaken);
    let settings = match settings {
        Ok(settings) => settings,
        Err(problem) => {
            let (key, reason) = (&problem.key, Reason::InvalidAnnotation);
            return refuse(pod, policy, Objection::of_annotation(reason, key, &problem.problem));
        }
    };
    passed(Reason::InvalidAnnotation);
    let native = settings.native.unwrap_or(policy.native_by_default);
    if !native && decision::runs_to_completion(pod, request) {
        let message = "the pod ends by itself, but a plain sidecar never does: the Job would hang; \
                       use Kubernetes 1.32+ or nativeSidecar: \"true\"";
        return refuse(pod, policy, Objection::new(Reason::JobWithoutNative, message));
    }
    passed(Reason::JobWithoutNative);
    let build = Build { pod, base, request, policy, settings: &settings, template, native };
    match build.fresh() {
        Ok(injected) => Outcome::Injected(injected),
        Err(objection) => refuse(pod, policy, objection),
    }
}

/// A pod that has our sidecar: nothing to do, missing pieces, or (`None`) to be made anew.
fn present<'p>(
    pod: Pod<'_>,
    base: Pod<'_>,
    record: &Record<'_>,
    settings: &Result<Settings, annotations::Problem>,
    request: &RequestInfo,
    policy: &'p Policy,
) -> Option<Outcome<'p>> {
    let already = || {
        Some(Outcome::Skipped(Skipped {
            reason: Reason::AlreadyInjected,
            message: format!("has its sidecar (template {})", record.template),
            asked: true,
            patch: Patch::empty(),
            warnings: Vec::new(),
        }))
    };
    let Ok(settings) = settings else {
        return already();
    };
    let named = settings.template.as_ref().unwrap_or(&policy.default_template);
    let template = policy.templates.get(named);
    let current = template.filter(|t| t.name() == record.template && policy.hash(t) == record.hash);
    let Some(template) = current else {
        return if policy.renew && template.is_some() { None } else { already() };
    };
    let native = record.is_native(template.sidecar_name());
    let build = Build { pod, base, request, policy, settings, template, native };
    match build.repair(record) {
        Ok(Some(injected)) => Some(Outcome::Injected(injected)),
        Ok(None) => already(),
        Err(objection) => Some(refuse(pod, policy, objection)),
    }
}

/// The answer to a pod that gets no sidecar.
fn refuse(pod: Pod<'_>, policy: &Policy, objection: Objection) -> Outcome<'static> {
    let Objection { reason, annotation, message } = objection;
    let rejects = match reason {
        Reason::InvalidInject | Reason::InvalidAnnotation => {
            policy.invalid_annotation == OnInvalid::Reject
        }
        Reason::TemplateError | Reason::PatchError => policy.on_error == OnError::Deny,
        _ => false,
    };
    if rejects {
        let field =
            annotation.map_or_else(String::new, |key| format!("metadata.annotations[{key}]"));
        return Outcome::Rejected(Rejected { reason, field, message, warnings: Vec::new() });
    }
    let asked = decision::asked(pod, policy);
    let mut skipped =
        Skipped { reason, message, asked, patch: Patch::empty(), warnings: Vec::new() };
    match reason {
        // These may be what the API server's match conditions decide alone: no trace of us.
        Reason::NotPodCreate | Reason::IgnoredNamespace | Reason::MirrorPod | Reason::OptedOut => {}
        // Whoever wrote a key of ours wrong asked without knowing it; the pod itself stays as it is.
        Reason::NotRequested => {
            skipped.warnings.extend(annotations::unknown_keys(pod).iter().map(|w| warning(w)));
        }
        _ if asked => {
            let why = format!("no sidecar ({reason}): {}", skipped.message);
            skipped.warnings.push(warning(&why));
            skipped.warnings.extend(annotations::unknown_keys(pod).iter().map(|w| warning(w)));
            skipped.patch = status_patch(pod, reason);
        }
        _ => {}
    }
    Outcome::Skipped(skipped)
}

/// Writes `skipped:<reason>` where it does not stand yet.
fn status_patch(pod: Pod<'_>, reason: Reason) -> Patch<'static> {
    let status = format!("skipped:{reason}");
    if annotations::status(pod) == status {
        return Patch::empty();
    }
    let mut patch = Patch::empty();
    let annotations = vec![(STATUS.into(), status.into())];
    // A pod whose annotations are no map is the API server's to refuse.
    match annotate(&mut patch, pod, Vec::new(), annotations) {
        Ok(()) => patch,
        Err(_) => Patch::empty(),
    }
}
