//! Which objects of a document hold pods, and where.

use serde_json::Value;

use crate::patch::Pointer;
use crate::request::{RequestInfo, Workload};

/// An object of a document, alone or an item of a List.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    /// For example `Deployment`; empty where it has none.
    pub kind: String,
    /// Its `metadata.name`, else its `generateName`.
    pub name: String,
    /// Where it stands.
    pub at: Pointer,
    /// Where its pod stands: itself, or its template. `None` for an object without one.
    pub pod: Option<Pointer>,
    /// What the API server would say of the pod's creation.
    pub request: RequestInfo,
}

impl Object {
    /// `deployment/web`, as kubectl prints it.
    pub(crate) fn label(&self) -> String {
        let kind = if self.kind.is_empty() { "object" } else { &self.kind };
        format!("{}/{}", kind.to_ascii_lowercase(), self.name)
    }

    /// The pod, or the template that stands for it.
    pub(crate) fn pod_in<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        document.pointer(self.pod.as_ref()?.as_str())
    }

    /// Where the pod stands; for an object without one, where the object stands.
    pub(super) fn pod_at(&self) -> &Pointer {
        self.pod.as_ref().unwrap_or(&self.at)
    }

    /// Annotations of ours that stand where nobody reads them, on the workload and not on its pod:
    /// each key, and the path where it belongs.
    pub(crate) fn misplaced(&self, document: &Value) -> Vec<(String, String)> {
        let (Some(pod), Some(object)) = (&self.pod, document.pointer(self.at.as_str())) else {
            return Vec::new();
        };
        let own = object.pointer("/metadata/annotations").and_then(Value::as_object);
        let inside = &pod.as_str()[self.at.as_str().len()..];
        let right =
            format!("{}.metadata.annotations", inside[inside.len().min(1)..].replace('/', "."));
        own.into_iter()
            .flat_map(serde_json::Map::keys)
            .filter(|key| *pod != self.at && key.starts_with("sidecar.mesher.io/"))
            .map(|key| (key.clone(), right.clone()))
            .collect()
    }

    /// What [`Self::misplaced`] finds, in sentences.
    pub(super) fn warnings(&self, document: &Value) -> Vec<String> {
        self.misplaced(document)
            .into_iter()
            .map(|(key, right)| {
                format!("{key} has no effect on the {}; move it to {right}", self.kind)
            })
            .collect()
    }
}

/// The objects of a document in order; `namespace` is that of objects that name none.
pub(crate) fn objects(document: &Value, namespace: &str) -> Vec<Object> {
    let mut found = Vec::new();
    let items = document.get("items").and_then(Value::as_array);
    match items {
        Some(items) if text(document, "/kind").ends_with("List") => {
            let list = Pointer::root().child("items");
            for (n, item) in items.iter().enumerate().filter(|(_, item)| item.is_object()) {
                found.push(object(item, list.index(n), namespace));
            }
        }
        _ if document.is_object() => found.push(object(document, Pointer::root(), namespace)),
        _ => {}
    }
    found
}

fn object(value: &Value, at: Pointer, namespace: &str) -> Object {
    let kind = text(value, "/kind");
    let given = |path| Some(text(value, path)).filter(|t| !t.is_empty());
    let name = given("/metadata/name").or_else(|| given("/metadata/generateName"));
    let name = name.unwrap_or_default().to_owned();
    let mut request = RequestInfo::pod_create(given("/metadata/namespace").unwrap_or(namespace));
    let pod = template(text(value, "/apiVersion"), kind)
        .map(|path| path.iter().fold(at.clone(), |at, step| at.child(step)));
    if kind == "Pod" {
        given("/metadata/name").unwrap_or_default().clone_into(&mut request.name);
    } else if pod.is_some() {
        request.workload = Some(Workload { kind: kind.to_owned(), name: name.clone() });
    }
    let pod = pod.filter(|pod| {
        let inside = &pod.as_str()[at.as_str().len()..];
        value.pointer(inside).is_some_and(Value::is_object)
    });
    Object { kind: kind.to_owned(), name, at, pod, request }
}

/// The steps from an object of this kind to its pod.
fn template(api_version: &str, kind: &str) -> Option<&'static [&'static str]> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match (group, kind) {
        ("", "Pod") => Some(&[]),
        ("", "ReplicationController" | "DeploymentConfig")
        | ("apps" | "extensions", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job")
        | ("apps.openshift.io", "DeploymentConfig") => Some(&["spec", "template"]),
        ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template"]),
        _ => None,
    }
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pods(value: &Value) -> Vec<(String, Option<String>)> {
        objects(value, "default")
            .iter()
            .map(|o| (o.label(), o.pod.as_ref().map(|p| p.as_str().to_owned())))
            .collect()
    }

    #[test]
    fn every_kind_with_a_pod_is_known_in_its_group() {
        for (api, kind, path) in [
            ("v1", "ReplicationController", "/spec/template"),
            ("apps/v1", "Deployment", "/spec/template"),
            ("apps/v1", "StatefulSet", "/spec/template"),
            ("apps/v1", "DaemonSet", "/spec/template"),
            ("apps/v1", "ReplicaSet", "/spec/template"),
            ("batch/v1", "Job", "/spec/template"),
            ("batch/v1", "CronJob", "/spec/jobTemplate/spec/template"),
            ("batch/v1beta1", "CronJob", "/spec/jobTemplate/spec/template"),
            ("apps.openshift.io/v1", "DeploymentConfig", "/spec/template"),
        ] {
            let mut value = json!({"apiVersion": api, "kind": kind, "metadata": {"name": "x"}});
            let spec = if kind == "CronJob" {
                json!({"jobTemplate": {"spec": {"template": {}}}})
            } else {
                json!({"template": {}})
            };
            value["spec"] = spec;
            let label = format!("{}/x", kind.to_lowercase());
            assert_eq!(pods(&value), [(label, Some(path.to_owned()))], "{api} {kind}");
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "x-"}});
        assert_eq!(pods(&pod), [("pod/x-".to_owned(), Some(String::new()))]);
    }

    #[test]
    fn the_same_kind_in_a_foreign_group_is_left_alone() {
        let value =
            json!({"apiVersion": "example.com/v1", "kind": "Deployment", "spec": {"template": {}}});
        assert_eq!(pods(&value), [("deployment/".to_owned(), None)]);
        assert_eq!(pods(&json!("a scalar")), []);
    }

    #[test]
    fn items_of_a_list_are_objects() {
        let value = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}},
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "b"}, "spec": {"template": {}}},
        ]});
        assert_eq!(
            pods(&value),
            [
                ("service/a".to_owned(), None),
                ("deployment/b".to_owned(), Some("/items/1/spec/template".to_owned())),
            ]
        );
    }
}
