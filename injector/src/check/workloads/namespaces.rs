//! Labels of namespaces that look like the one that enables them, and enable nothing.

use serde_json::Value;

use super::sieve::{Sieve, labels};
use crate::annotations::{INJECT, NO};
use crate::check::Code;
use crate::check::findings::{Draft, Remedy};
use crate::pod::Pod;
use crate::suggestion::closest;

pub(super) fn check(source: &str, namespace: &Value, sieve: &Sieve) -> Option<Draft> {
    let name = Pod::of(namespace).metadata().text("name");
    let mut labels = labels(namespace);
    labels.entry("kubernetes.io/metadata.name".into()).or_insert_with(|| name.to_owned());
    if sieve.enables(&labels) {
        return None;
    }
    for (key, value) in sieve.lacking(&labels)? {
        let meant = |label: &str| label == INJECT || closest(label, [key.as_str()]).is_some();
        let Some((found, said)) = labels.iter().find(|(label, _)| meant(label)) else {
            continue;
        };
        // Whoever says no means it.
        if NO.contains(&said.as_str()) {
            continue;
        }
        let remove = if *found == key { String::new() } else { format!(" {found}-") };
        return Some(Draft {
            code: Code::NamespaceMisspelt,
            source: source.to_owned(),
            namespace: String::new(),
            object: format!("namespace/{name}"),
            aspect: String::new(),
            pods: 0,
            problem: format!("{found}={said} enables nothing: did you mean {key}={value}?"),
            remedy: Remedy::command(format!(
                "kubectl label namespace {name} --overwrite {key}={value}{remove}"
            )),
        });
    }
    None
}
