//! What is wrong with objects that should have sidecars: pure functions from objects to findings.
//!
//! The objects may come from manifests, or from a cluster by `kubectl get -o yaml`; those that
//! exist are told by their uid, and only a pod that exists can lack its sidecar already. One file
//! per concern: what stands in [`annotations`], what the core would answer ([`decision`]), whether
//! the API server would ask at all ([`sieve`]), what the pods have ([`sidecar`]) and what renews
//! them ([`renewal`]).

mod annotations;
mod decision;
mod finding;
mod renewal;
mod sidecar;
mod sieve;

use serde_json::Value;

pub use finding::{Code, Finding, Severity};

use self::sieve::Namespaces;
use crate::manifest::{ManifestError, Object, Settings, objects, read};
use crate::outcome::Outcome;
use crate::pod::{Pod, text};

/// A file, or what stands for one.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// What findings call it.
    pub name: &'a str,
    /// Its YAML or JSON.
    pub text: &'a str,
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{name}:{problem}")]
pub struct Unreadable {
    /// The file.
    name: String,
    /// Where and why.
    problem: ManifestError,
}

/// Checks everything that `sources` hold together: a Namespace in one counts for the pods of all.
/// The findings come in the order of the objects.
pub fn check(sources: &[Source<'_>], settings: &Settings) -> Result<Vec<Finding>, Unreadable> {
    let mut documents = Vec::new();
    for source in sources {
        let unreadable = |problem| Unreadable { name: source.name.to_owned(), problem };
        let read = read(source.text).map_err(unreadable)?;
        documents.extend(read.into_iter().map(|document| (source.name, document)));
    }
    let namespaces =
        Namespaces::of(documents.iter().map(|(_, document)| document), &settings.namespace);
    let mut findings = Vec::new();
    for (source, document) in &documents {
        for object in objects(document, &settings.namespace) {
            let Some(subject) = Subject::new(source, document, &object, settings) else {
                continue;
            };
            findings.extend(annotations::check(&subject));
            findings.extend(decision::check(&subject));
            findings.extend(sieve::check(&subject, &namespaces));
            findings.extend(sidecar::check(&subject, &namespaces, settings));
        }
    }
    Ok(findings)
}

/// An object with a pod, and what the core says of it.
struct Subject<'a> {
    source: &'a str,
    document: &'a Value,
    object: &'a Object,
    /// The pod, or the template that stands for it.
    pod: Pod<'a>,
    outcome: Outcome,
    /// Whether it has a sidecar of ours.
    has_sidecar: bool,
    /// Whether it is a pod of a cluster, and not one that is only described.
    exists: bool,
}

impl<'a> Subject<'a> {
    /// `None` for an object without a pod, for one whose owner is checked instead, and for a pod
    /// that has ended or is about to.
    fn new(
        source: &'a str,
        document: &'a Value,
        object: &'a Object,
        settings: &Settings,
    ) -> Option<Self> {
        let pod = Pod(object.pod_in(document)?);
        let whole = document.pointer(object.at.as_str())?;
        let is_pod = object.kind == "Pod";
        let phase = whole.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
        let ends = !whole.pointer("/metadata/deletionTimestamp").is_none_or(Value::is_null);
        let over = ends || (is_pod && ["Succeeded", "Failed"].contains(&phase));
        if over || (!is_pod && Pod(whole).controller().is_some()) {
            return None;
        }
        Some(Self {
            source,
            document,
            object,
            pod,
            outcome: crate::inject(pod.0, &object.request, &settings.policy),
            has_sidecar: crate::uninject(pod.0).is_some(),
            exists: is_pod && !text(pod.metadata(), "uid").is_empty(),
        })
    }

    /// Whether it gets its sidecar as soon as the injector sees it, and has none yet.
    fn awaits_sidecar(&self) -> bool {
        !self.has_sidecar && matches!(self.outcome, Outcome::Injected(_))
    }

    fn namespace(&self) -> &'a str {
        &self.object.request.namespace
    }

    fn finding(&self, code: Code, problem: String, fix: String) -> Finding {
        Finding {
            code,
            severity: code.severity(),
            source: self.source.to_owned(),
            namespace: self.namespace().to_owned(),
            object: self.object.label(),
            problem,
            fix,
        }
    }
}
