//! Why one pod of a cluster has no sidecar, in a word: what [`Place::check`] finds, without the rest.

use serde_json::Value;

use super::{Place, Subject, decision, sidecar, sieve};
use crate::check::{Code, Fix};
use crate::manifest::objects;
use crate::outcome::Outcome;

/// Why a pod that asked for a sidecar has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lack {
    /// The reason code of the decision; where that is to inject, the code of the finding.
    pub(crate) word: &'static str,
    /// Whether the same pod would get its sidecar if it were created now.
    pub(crate) mends: bool,
    /// Why, in a sentence.
    pub(crate) problem: String,
    /// What to do about it.
    pub(crate) fix: Fix,
}

impl Place<'_> {
    /// Judges an existing pod. `None`: it has a sidecar, or asked for none, or is about to end.
    pub(crate) fn lack(&self, pod: &Value) -> Option<Lack> {
        let object = objects(pod, &self.settings.namespace).pop()?;
        let subject = Subject::new("cluster", pod, &object, self)?;
        if subject.has_sidecar {
            return None;
        }
        let drafts = decision::check(&subject).into_iter().chain(sieve::check(&subject));
        let draft = drafts.chain(sidecar::check(&subject)).next()?;
        let word = match &subject.outcome {
            Outcome::Injected(_) => draft.code.as_str(),
            other => other.word(),
        };
        Some(Lack {
            word,
            mends: draft.code == Code::SidecarMissing,
            problem: draft.problem,
            fix: draft.remedy.finish(subject.namespace()),
        })
    }

    /// Whether the injector sees pods of a namespace; `None` where it was not noted.
    pub(crate) fn enables(&self, namespace: &str) -> Option<bool> {
        let namespace = self.namespaces.get(namespace)?;
        Some(self.sieve.enables(&namespace.labels))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Policy;
    use crate::check::workloads::Sieve;
    use crate::manifest::Settings;

    /// A pod as the API server shows it, with changes by path.
    fn pod(changes: &[(&str, Value)]) -> Value {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "web-1", "namespace": "shop", "uid": "u-1",
                "annotations": {"sidecar.mesher.io/inject": "yes"},
                "ownerReferences": [{"kind": "StatefulSet", "name": "web", "controller": true}],
            },
            "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        });
        for (path, value) in changes {
            let (parent, key) = path.rsplit_once('/').expect("a path");
            pod.pointer_mut(parent).expect("a parent")[key.replace('~', "/")] = value.clone();
        }
        pod
    }

    fn namespace(name: &str, value: &str) -> Value {
        let labels = json!({"sidecar-injector": value});
        json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
        })
    }

    #[test]
    fn each_reason_in_the_word_of_decision_or_finding() {
        let settings =
            Settings { policy: Policy::builtin(), namespace: "default".into(), reformat: false };
        let mut place = Place::new(&settings, Sieve::shipped());
        place.note(&namespace("shop", "enabled"));
        place.note(&namespace("closed", "off"));
        assert_eq!(
            ["shop", "closed", "unknown"].map(|name| place.enables(name)),
            [Some(true), Some(false), None]
        );
        let asked = "/metadata/annotations/sidecar.mesher.io~inject";
        let label = json!({"sidecar.mesher.io/inject": "no"});
        for (changes, expected) in [
            (&[][..], Some(("sidecar_missing", true))),
            (&[("/metadata/namespace", json!("unknown"))], Some(("sidecar_missing", true))),
            (&[("/metadata/namespace", json!("closed"))], Some(("namespace_not_enabled", false))),
            (&[("/metadata/labels", label)], Some(("label_opts_out", false))),
            (&[("/spec/hostNetwork", json!(true))], Some(("host_network", false))),
            (&[("/metadata/namespace", json!("kube-system"))], Some(("ignored_namespace", false))),
            (&[(asked, json!("perhaps"))], Some(("invalid_inject", false))),
            (&[(asked, json!("no"))], None),
            (&[(asked, json!(""))], None),
            (&[("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z"))], None),
            (&[("/status", json!({"phase": "Succeeded"}))], None),
        ] {
            let lack = place.lack(&pod(changes));
            let found = lack.as_ref().map(|lack| (lack.word, lack.mends));
            assert_eq!(found, expected, "{changes:?} {lack:?}");
        }
        let lack = place.lack(&pod(&[])).expect("a lack");
        let restart = "kubectl rollout restart statefulset/web --namespace shop";
        assert_eq!(lack.fix.as_str(), restart);
    }

    #[test]
    fn a_sidecar_is_told_by_record_and_container_and_not_by_the_status() {
        let settings =
            Settings { policy: Policy::builtin(), namespace: "default".into(), reformat: false };
        let place = Place::new(&settings, Sieve::shipped());
        let forged = pod(&[("/metadata/annotations/sidecar.mesher.io~status", json!("injected"))]);
        assert!(place.lack(&forged).is_some());
        let mut injected = pod(&[]);
        let request = crate::RequestInfo::pod_create("shop");
        let outcome = crate::inject(&pod(&[]), &request, &settings.policy).into_owned();
        outcome.patch().apply(&mut injected).expect("it applies");
        assert_eq!(place.lack(&injected), None);
    }
}
