//! Whether the API server asks the injector at all: the labels that the webhook configuration
//! (`manifests/base/webhook.yaml`) selects by.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Code, Finding, Subject};
use crate::annotations::{INJECT, NO};
use crate::manifest::objects;
use crate::pod::Pod;

/// The label that enables a namespace, and its value.
const ENABLED: (&str, &str) = ("sidecar-injector", "enabled");
/// The Namespaces that are among the objects, and whether they are enabled.
pub(super) struct Namespaces(BTreeMap<String, bool>);

impl Namespaces {
    pub(super) fn of<'a>(documents: impl Iterator<Item = &'a Value>, default: &str) -> Self {
        let mut found = BTreeMap::new();
        for document in documents {
            for object in objects(document, default).into_iter().filter(|o| o.kind == "Namespace") {
                let value = document.pointer(object.at.as_str()).unwrap_or(&Value::Null);
                let enabled = Pod(value).label(ENABLED.0) == Some(ENABLED.1);
                found.insert(object.name, enabled);
            }
        }
        Self(found)
    }

    /// Of a namespace that is not among the objects nothing is known, and nothing is said.
    fn is_disabled(&self, name: &str) -> bool {
        self.0.get(name) == Some(&false)
    }
}

/// Whether nothing is known that keeps the pod away from the injector.
pub(super) fn reaches_injector(subject: &Subject<'_>, namespaces: &Namespaces) -> bool {
    !namespaces.is_disabled(subject.namespace()) && opting_out(subject).is_none()
}

/// The label of the annotation's key: as a selector, it is compared letter by letter.
fn opting_out<'a>(subject: &Subject<'a>) -> Option<&'a str> {
    subject.pod.label(INJECT).filter(|value| NO.contains(value))
}

pub(super) fn check(subject: &Subject<'_>, namespaces: &Namespaces) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !subject.awaits_sidecar() {
        return findings;
    }
    let namespace = subject.namespace();
    let restart = || {
        let renew = super::renewal::command(subject.pod, namespace);
        if subject.exists { format!(" && {renew}") } else { String::new() }
    };
    if namespaces.is_disabled(namespace) {
        let (key, value) = ENABLED;
        let problem = format!("asks for a sidecar, but namespace {namespace} lacks {key}={value}");
        let fix = format!("kubectl label namespace {namespace} {key}={value}{}", restart());
        findings.push(subject.finding(Code::NamespaceNotEnabled, problem, fix));
    }
    if let Some(value) = opting_out(subject) {
        let problem = format!("the label {INJECT}={value} wins over the annotation that asks");
        let fix = "remove the label, or the annotation".to_owned();
        findings.push(subject.finding(Code::LabelOptsOut, problem, fix));
    }
    findings
}
