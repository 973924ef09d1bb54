//! The pods that a template is tried on before it is used.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod as TypedPod;
use serde_json::{Value, json};

use super::inject;
use crate::annotations::PREFIX;
use crate::outcome::Outcome;
use crate::pod::{list, name};
use crate::policy::{Discovery, Policy};
use crate::request::RequestInfo;
use crate::template::{Template, TemplateError};

/// Parses a template and tries it on sample pods; `name` is what the annotation
/// `sidecar.mesher.io/template` selects, by custom its file's stem.
///
/// ```
/// let error = injector::load_template("own", "sidecar: {name: proxy}").unwrap_err();
/// assert!(error.to_string().contains("it has no image"));
/// ```
pub fn load_template(name: &str, yaml: &str) -> Result<Template, TemplateError> {
    try_all(Template::parse(name, yaml)?)
}

/// Injects every sample with `template`: each must get a sidecar, the result must read as a pod
/// without a field Kubernetes does not know, and a second injection must find nothing to do.
fn try_all(template: Template) -> Result<Template, TemplateError> {
    let template = Arc::new(template);
    let named = template.name().to_owned();
    let mut policy = Policy {
        default_template: named.clone(),
        templates: BTreeMap::from([(named.clone(), Arc::clone(&template))]),
        ..Policy::without_templates()
    };
    for native in [true, false] {
        for discovery in [Discovery::ServiceCenter, Discovery::Pilot] {
            policy.native_by_default = native;
            policy.sidecar.discovery_type = discovery;
            for (title, pod) in samples() {
                try_one(&policy, &pod).map_err(|(at, problem)| TemplateError {
                    template: named.clone(),
                    at,
                    problem: format!("{problem} (tried on a sample: {title}, native: {native})"),
                })?;
            }
        }
    }
    drop(policy);
    Ok(Arc::into_inner(template).expect("the policy was the only other owner"))
}

fn try_one(policy: &Policy, pod: &Value) -> Result<(), (String, String)> {
    let request = RequestInfo::pod_create("sample");
    let injected = match inject(pod, &request, policy) {
        Outcome::Injected(injected) => injected,
        Outcome::Skipped(s) => return Err(at(&s.message)),
        Outcome::Rejected(r) => return Err((r.field, r.message)),
    };
    let mut result = pod.clone();
    injected.patch.apply(&mut result).map_err(|e| at(&e.to_string()))?;
    let typed: TypedPod =
        serde_json::from_value(result.clone()).map_err(|e| at(&format!("no valid pod: {e}")))?;
    let typed = serde_json::to_value(typed).map_err(|e| at(&e.to_string()))?;
    for key in ["containers", "initContainers", "volumes"] {
        let items = list(&result["spec"], key).iter().enumerate();
        let own = list(&pod["spec"], key);
        for (i, item) in items.filter(|(_, item)| !own.iter().any(|o| name(o) == name(item))) {
            let path = format!("/spec/{key}/{i}");
            let known = typed.pointer(&path).unwrap_or(&Value::Null);
            if let Some(unknown) = unknown_field(item, known, name(item)) {
                return Err((unknown, "Kubernetes knows no such field".to_owned()));
            }
        }
    }
    match inject(&result, &request, policy) {
        Outcome::Skipped(s) if s.reason == crate::Reason::AlreadyInjected => Ok(()),
        other => Err(at(&format!("a second injection is not a no-op: {}", other.word()))),
    }
}

fn at(problem: &str) -> (String, String) {
    // A message of the template engine begins with the path already.
    match problem.strip_prefix("template ").and_then(|p| p.split_once(": ")?.1.split_once(": ")) {
        Some((at, problem)) => (at.to_owned(), problem.to_owned()),
        None => ("document".to_owned(), problem.to_owned()),
    }
}

/// The path of a member that is lost when the item is read as Kubernetes' type.
fn unknown_field(item: &Value, known: &Value, path: &str) -> Option<String> {
    match (item, known) {
        (Value::Object(item), known) => item.iter().find_map(|(key, value)| {
            let path = format!("{path}.{key}");
            match known.get(key) {
                Some(known) => unknown_field(value, known, &path),
                None => (!is_default(value)).then_some(path),
            }
        }),
        (Value::Array(items), Value::Array(known)) => items
            .iter()
            .zip(known)
            .enumerate()
            .find_map(|(i, (item, known))| unknown_field(item, known, &format!("{path}[{i}]"))),
        _ => None,
    }
}

/// What reading and writing drops though it is known: empty lists.
fn is_default(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// Pods at the edges: nothing set, everything set, hostile text in every value a user writes.
fn samples() -> Vec<(&'static str, Value)> {
    let yes = format!("{PREFIX}inject");
    let annotate = |pairs: &[(&str, &str)]| {
        let mut map = json!({yes.clone(): "yes"});
        for (key, value) in pairs {
            map[format!("{PREFIX}{key}")] = json!(value);
        }
        map
    };
    let pod = |annotations: Value, spec: Value| {
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "sample", "annotations": annotations}, "spec": spec})
    };
    let hostile = "a\"b'c\n  - name: evil\n{{ x }} # %}\\";
    let mut labelled = pod(
        annotate(&[]),
        json!({"containers": [{"name": "app", "image": "app:1",
            "ports": [{"containerPort": 8080}], "env": [{"name": "A", "value": "b"}]}],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "initContainers": [{"name": "setup", "image": "setup:1"}]}),
    );
    labelled["metadata"]["labels"] = json!({"app": "shop", "version": "v2"});
    let mut strange =
        pod(annotate(&[]), json!({"containers": [{"name": "app", "image": "app:1"}]}));
    strange["metadata"]["labels"] = json!({"app": hostile, "version": hostile});
    strange["metadata"]["annotations"]["example.com/note"] = json!(hostile);
    vec![
        (
            "a bare pod",
            pod(annotate(&[]), json!({"containers": [{"name": "app", "image": "app:1"}]})),
        ),
        ("a pod with labels, ports, volumes and an init container", labelled),
        ("a pod with hostile text in its metadata", strange),
        (
            "every annotation",
            pod(
                annotate(&[
                    ("discoveryType", "pilot"),
                    ("servicePorts", "rest:8080,grpc:9000"),
                    ("image", "registry.example/mesher:2"),
                    ("imagePullPolicy", "Always"),
                    ("logLevel", "debug"),
                    ("cpu", "100m"),
                    ("memory", "64Mi"),
                    ("cpuLimit", "1"),
                    ("memoryLimit", "256Mi"),
                    ("env", "{\"EXTRA\":\"1\"}"),
                    ("serviceName", "orders"),
                    ("version", "1.2.3"),
                    ("appId", "shop"),
                    ("configMap", "other"),
                    ("passthrough", "all"),
                    ("interception", "java,node,https"),
                ]),
                json!({"containers": [{"name": "app", "image": "app:1"}]}),
            ),
        ),
    ]
}
