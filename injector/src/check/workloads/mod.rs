//! What is wrong with workloads and pods: pure functions from objects to findings, the same for
//! manifests and for a cluster.
//!
//! Objects that exist are told by their uid, and only a pod that exists can lack its sidecar
//! already. One file per concern: what stands in [`annotations`], what the core would answer
//! ([`decision`]), whether the API server would ask at all ([`sieve`]), what the pods have
//! ([`sidecar`]), whose they are ([`super::owner`]) and what renews them ([`super::renewal`]).
//! [`lack`] is all of that about one pod in a word, for who follows a cluster.

mod annotations;
mod decision;
mod lack;
mod namespaces;
mod sidecar;
mod sieve;

use serde_json::Value;

pub(super) use self::sieve::Namespaces;
pub(crate) use self::sieve::Sieve;

use super::Code;
use super::findings::{Draft, Findings, Remedy};
use super::owner::{Owner, Owners};
use super::renewal::Renewal;
use crate::manifest::{Object, Settings, objects};
use crate::outcome::Outcome;
use crate::pod::{Pod, text};

/// What holds for all objects of a check.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(super) settings: &'a Settings,
    /// Whether `settings` hold the policy of the place, and not only a likely one.
    pub(super) knows_policy: bool,
    pub(super) sieve: Sieve,
    pub(super) namespaces: Namespaces,
    /// When the webhook configuration was made, where that is known.
    pub(crate) webhook_since: Option<String>,
    /// Who made the Jobs.
    owners: Owners,
}

impl<'a> Place<'a> {
    pub(crate) fn new(settings: &'a Settings, sieve: Sieve) -> Self {
        Self {
            settings,
            knows_policy: true,
            sieve,
            namespaces: Namespaces::default(),
            webhook_since: None,
            owners: Owners::default(),
        }
    }

    /// Takes down what a document says of the place: its namespaces, and who made its Jobs. To be
    /// done before its objects, and all others of the place, are checked.
    pub(crate) fn note(&mut self, document: &Value) {
        for object in objects(document, &self.settings.namespace) {
            let value = document.pointer(object.at.as_str()).unwrap_or(&Value::Null);
            match (object.kind.as_str(), Pod::of(value).controller()) {
                ("Namespace", _) => self.namespaces.note(value),
                ("Job", Some(controller)) => {
                    self.owners.note(&object.request.namespace, &object.name, controller);
                }
                _ => {}
            }
        }
    }

    /// Checks every object of a document; how many had a pod.
    pub(super) fn check(&self, source: &str, document: &Value, findings: &mut Findings) -> usize {
        let mut subjects = 0;
        for object in objects(document, &self.settings.namespace) {
            if object.kind == "Namespace" {
                let value = document.pointer(object.at.as_str()).unwrap_or(&Value::Null);
                if let Some(draft) = namespaces::check(source, value, &self.sieve) {
                    findings.push(draft);
                }
            }
            let Some(subject) = Subject::new(source, document, &object, self) else {
                continue;
            };
            subjects += 1;
            let mut drafts = annotations::check(&subject);
            drafts.extend(decision::check(&subject));
            drafts.extend(sieve::check(&subject));
            drafts.extend(sidecar::check(&subject));
            for draft in drafts {
                if subject.exists { findings.join(draft) } else { findings.push(draft) }
            }
        }
        subjects
    }
}

/// An object with a pod, and what the core says of it.
struct Subject<'a> {
    source: &'a str,
    document: &'a Value,
    object: &'a Object,
    place: &'a Place<'a>,
    /// The pod, or the template that stands for it.
    pod: Pod<'a>,
    /// The workload that makes the pod; for a workload itself.
    owner: Option<Owner>,
    outcome: Outcome<'a>,
    /// Whether it has a sidecar of ours.
    has_sidecar: bool,
    /// A pod, not a template.
    is_pod: bool,
    /// Whether it is an object of a cluster, and not one that is only described.
    exists: bool,
}

impl<'a> Subject<'a> {
    /// `None` for an object without a pod, for one whose owner is checked instead, and for a pod
    /// that has ended or is about to.
    fn new(
        source: &'a str,
        document: &'a Value,
        object: &'a Object,
        place: &'a Place<'a>,
    ) -> Option<Self> {
        let pod = Pod::of(object.pod_in(document)?);
        let whole = document.pointer(object.at.as_str())?;
        let is_pod = object.kind == "Pod";
        let phase = whole.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
        let ends = !whole.pointer("/metadata/deletionTimestamp").is_none_or(Value::is_null);
        let over = ends || (is_pod && ["Succeeded", "Failed"].contains(&phase));
        if over || (!is_pod && Pod::of(whole).controller().is_some()) || is_done(object, whole) {
            return None;
        }
        let owner = if is_pod {
            place.owners.of(pod, &object.request.namespace)
        } else {
            Some(Owner { kind: object.kind.clone(), name: object.name.clone() })
        };
        Some(Self {
            source,
            document,
            object,
            place,
            pod,
            owner,
            outcome: crate::inject(pod.0, &object.request, &place.settings.policy),
            has_sidecar: crate::uninject(pod.0).is_some(),
            is_pod,
            exists: !Pod::of(whole).metadata().text("uid").is_empty(),
        })
    }

    /// Whether it gets its sidecar as soon as the injector sees it, and has none yet.
    fn awaits_sidecar(&self) -> bool {
        !self.has_sidecar && matches!(self.outcome, Outcome::Injected(_))
    }

    fn namespace(&self) -> &'a str {
        &self.object.request.namespace
    }

    /// How its pods are made anew; `None` where none exist yet.
    fn renewal(&self) -> Option<Renewal> {
        match &self.owner {
            _ if !self.exists => None,
            Some(owner) if !self.is_pod => Some(Renewal::of_workload(owner)),
            owner => Some(Renewal::of(self.pod, owner.as_ref())),
        }
    }

    fn draft(&self, code: Code, problem: String, remedy: Remedy) -> Draft {
        let object = match &self.owner {
            Some(owner) if self.exists => owner.label(),
            _ => self.object.label(),
        };
        Draft {
            code,
            source: self.source.to_owned(),
            namespace: self.namespace().to_owned(),
            object,
            aspect: String::new(),
            pods: usize::from(self.is_pod && self.exists),
            problem,
            remedy,
        }
    }
}

/// A Job that makes no more pods.
fn is_done(object: &Object, whole: &Value) -> bool {
    let done = |condition: &Value| {
        ["Complete", "Failed"].contains(&text(condition, "type"))
            && text(condition, "status") == "True"
    };
    let conditions = whole.pointer("/status/conditions").and_then(Value::as_array);
    object.kind == "Job" && conditions.into_iter().flatten().any(done)
}
