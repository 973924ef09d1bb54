//! Whether the API server asks the injector at all: the selectors of the webhook configuration.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Expression, Selector, SelectorExt};
use serde_json::Value;

use super::Subject;
use crate::annotations::{INJECT, NO};
use crate::check::findings::{Draft, Remedy};
use crate::check::{Code, shipped};
use crate::content::Node;
use crate::pod::{Pod, text};

/// The label that Kubernetes gives every namespace.
const NAME: &str = "kubernetes.io/metadata.name";

/// The selectors of an entry of a webhook configuration.
#[derive(Debug, Clone)]
pub(crate) struct Sieve {
    namespaces: Selector,
    objects: Selector,
}

impl Sieve {
    /// Of an entry; a selector that cannot be read is taken for one that lets everything through.
    pub(crate) fn of(entry: &Value) -> Self {
        let selector = |key: &str| {
            let value = entry.get(key).cloned().unwrap_or_default();
            let selector: LabelSelector = serde_json::from_value(value).unwrap_or_default();
            Selector::try_from(selector).unwrap_or_default()
        };
        Self { namespaces: selector("namespaceSelector"), objects: selector("objectSelector") }
    }

    /// Of the entry that ships.
    pub(crate) fn shipped() -> Self {
        Self::of(shipped::webhook())
    }

    /// Whether pods of a namespace with these labels come through.
    pub(crate) fn enables(&self, labels: &Labels) -> bool {
        self.namespaces.matches(labels)
    }

    /// Those namespaces, as a query of the API asks for them.
    pub(crate) fn query(&self) -> String {
        // RFC 3986 §2.1. What is neither letter, digit nor one of these would end the value.
        const HEX: [char; 16] =
            ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
        let mut query = String::new();
        for byte in self.namespaces.to_string().bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                query.push(char::from(byte));
            } else {
                query.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
        query
    }

    /// The labels that a namespace needs, and lacks; `None` where labels do not help.
    pub(super) fn lacking(&self, labels: &Labels) -> Option<Vec<(String, String)>> {
        let mut lacking = Vec::new();
        for expression in self.namespaces.clone() {
            if Selector::from(expression.clone()).matches(labels) {
                continue;
            }
            match expression {
                Expression::Equal(key, value) => lacking.push((key, value)),
                Expression::In(key, values) => {
                    lacking.push((key, values.into_iter().next().unwrap_or_default()));
                }
                _ => return None,
            }
        }
        Some(lacking)
    }
}

/// The labels of an object.
pub(crate) type Labels = BTreeMap<String, String>;

pub(crate) fn labels<'a>(object: impl Into<Node<'a>>) -> Labels {
    let pairs = Pod::of(object).metadata().at("labels").members().iter();
    pairs.filter_map(|(key, value)| Some((key.to_owned(), value.as_str()?.to_owned()))).collect()
}

/// What is known of the namespaces.
#[derive(Debug, Default)]
pub(crate) struct Namespaces(BTreeMap<String, Namespace>);

/// What of a namespace decides about its pods.
#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) labels: Labels,
    /// When somebody last set one of its labels, as far as the API server knows.
    pub(super) labelled: Option<String>,
}

impl Namespaces {
    /// Takes down a namespace.
    pub(crate) fn note(&mut self, namespace: &Value) {
        let name = Pod::of(namespace).metadata().text("name").to_owned();
        let mut labels = labels(namespace);
        labels.entry(NAME.into()).or_insert_with(|| name.clone());
        self.0.insert(name, Namespace { labels, labelled: labelled(namespace) });
    }

    pub(super) fn get(&self, name: &str) -> Option<&Namespace> {
        self.0.get(name)
    }

    /// Those whose pods the injector sees.
    pub(crate) fn enabled<'a>(&'a self, sieve: &'a Sieve) -> impl Iterator<Item = &'a str> {
        let enabled = self.0.iter().filter(|(_, namespace)| sieve.enables(&namespace.labels));
        enabled.map(|(name, _)| name.as_str())
    }

    /// Of a namespace that is not among the objects nothing is known, and nothing is said.
    fn is_disabled(&self, name: &str, sieve: &Sieve) -> bool {
        self.get(name).is_some_and(|namespace| !sieve.enables(&namespace.labels))
    }
}

/// When the managed fields say that labels were last set.
fn labelled(namespace: &Value) -> Option<String> {
    let entries = namespace.pointer("/metadata/managedFields")?.as_array()?;
    let times = entries.iter().filter_map(|entry| {
        let fields = entry.pointer("/fieldsV1/f:metadata/f:labels")?.as_object()?;
        let ours = fields.keys().any(|key| key.starts_with("f:") && !key.ends_with(NAME));
        ours.then(|| text(entry, "time").to_owned())
    });
    times.max()
}

/// Whether nothing is known that keeps the pod away from the injector.
pub(super) fn reaches_injector(subject: &Subject<'_>) -> bool {
    let (namespaces, sieve) = (&subject.place.namespaces, &subject.place.sieve);
    let ours = is_selected(subject);
    !namespaces.is_disabled(subject.namespace(), sieve) && ours
}

fn is_selected(subject: &Subject<'_>) -> bool {
    subject.place.sieve.objects.matches(&labels(subject.pod.0))
}

pub(super) fn check(subject: &Subject<'_>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    if !subject.awaits_sidecar() {
        return drafts;
    }
    let name = subject.namespace();
    let sieve = &subject.place.sieve;
    if let Some(namespace) = subject.place.namespaces.get(name)
        && !sieve.enables(&namespace.labels)
    {
        drafts.push(not_enabled(subject, sieve.lacking(&namespace.labels)));
    }
    if !is_selected(subject) {
        let (problem, advice) = match subject.pod.label(INJECT) {
            Some(value) if NO.contains(&value) => (
                format!("the label {INJECT}={value} wins over the annotation that asks"),
                "remove the label, or the annotation",
            ),
            _ => (
                "its labels keep it away from the injector, though its annotation asks".to_owned(),
                "change the labels by which the webhook configuration's objectSelector selects",
            ),
        };
        drafts.push(subject.draft(Code::LabelOptsOut, problem, Remedy::advice(advice)));
    }
    drafts
}

fn not_enabled(subject: &Subject<'_>, lacking: Option<Vec<(String, String)>>) -> Draft {
    let name = subject.namespace();
    let Some(lacking) = lacking.filter(|lacking| !lacking.is_empty()) else {
        let problem = format!("asks for a sidecar, but the webhook leaves namespace {name} alone");
        let remedy = Remedy::advice("create it in another namespace, or remove the annotation");
        return subject.draft(Code::NamespaceNotEnabled, problem, remedy);
    };
    let wanted =
        lacking.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ");
    let problem = format!("asks for a sidecar, but namespace {name} lacks {wanted}");
    let label = format!("kubectl label namespace {name} {wanted} --overwrite");
    let remedy = match subject.renewal() {
        Some(renewal) => Remedy::Renew(Some(label), renewal),
        None => Remedy::command(label),
    };
    subject.draft(Code::NamespaceNotEnabled, problem, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_namespace_lacks_and_what_no_label_helps() {
        let sieve = Sieve::shipped();
        let labels = |pairs: &[(&str, &str)]| -> Labels {
            pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
        };
        let wanted = Some(vec![("sidecar-injector".to_owned(), "enabled".to_owned())]);
        assert_eq!(sieve.lacking(&labels(&[])), wanted);
        assert_eq!(sieve.lacking(&labels(&[("sidecar-injector", "no")])), wanted);
        assert_eq!(sieve.lacking(&labels(&[(NAME, "kube-system")])), None);
        assert!(sieve.enables(&labels(&[("sidecar-injector", "enabled")])));
    }

    #[test]
    fn a_query_has_nothing_that_ends_it() {
        let entry = json!({"namespaceSelector": {
            "matchLabels": {"a": "b"},
            "matchExpressions": [{"key": "c/d", "operator": "NotIn", "values": ["e"]}],
        }});
        assert_eq!(Sieve::of(&entry).query(), "a%3Db%2Cc%2Fd%20notin%20%28e%29");
    }
}
