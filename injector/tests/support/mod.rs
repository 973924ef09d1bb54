//! Shorthand for tests that inject pods.
#![allow(dead_code, reason = "each test file uses its part")]

use injector::outcome::{Injected, Rejected, Skipped};
use injector::{Outcome, Policy, RequestInfo, inject};
use serde_json::{Value, json};

/// The namespace of every test pod.
pub(crate) const NAMESPACE: &str = "shop";

/// A pod with one container `app`, these annotations (keys without prefix) and `inject: yes`.
pub(crate) fn pod(annotations: &[(&str, &str)]) -> Value {
    let mut map = json!({"sidecar.mesher.io/inject": "yes"});
    for (key, value) in annotations {
        map[format!("sidecar.mesher.io/{key}")] = json!(value);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "annotations": map},
        "spec": {"containers": [{"name": "app", "image": "web:1"}]},
    })
}

/// What the built-in policy answers.
pub(crate) fn answer(pod: &Value) -> Outcome<'static> {
    inject(pod, &RequestInfo::pod_create(NAMESPACE), &Policy::builtin()).into_owned()
}

/// The policy of a cluster older than 1.32.
pub(crate) fn plain() -> Policy {
    Policy { native_by_default: false, ..Policy::builtin() }
}

/// The pod with its sidecar.
pub(crate) fn injected(pod: &Value) -> Value {
    injected_by(pod, &Policy::builtin()).0
}

/// The pod with its sidecar, and the answer.
pub(crate) fn injected_by(pod: &Value, policy: &Policy) -> (Value, Injected<'static>) {
    match inject(pod, &RequestInfo::pod_create(NAMESPACE), policy).into_owned() {
        Outcome::Injected(injected) => {
            let mut result = pod.clone();
            injected.patch.apply(&mut result).expect("our patch applies");
            (result, injected)
        }
        other => panic!("no sidecar: {other:?}\n{pod:#}"),
    }
}

/// A pod that must be left alone.
pub(crate) fn skipped(pod: &Value, policy: &Policy) -> Skipped {
    match inject(pod, &RequestInfo::pod_create(NAMESPACE), policy) {
        Outcome::Skipped(skipped) => skipped,
        other => panic!("not skipped: {other:?}"),
    }
}

/// A pod that must be refused.
pub(crate) fn rejected(pod: &Value) -> Rejected {
    match answer(pod) {
        Outcome::Rejected(rejected) => rejected,
        other => panic!("not refused: {other:?}"),
    }
}

/// The item of a list that has this name.
pub(crate) fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let items = list.as_array().into_iter().flatten();
    let mut found = items.filter(|item| item["name"] == name);
    let item = found.next().unwrap_or(&Value::Null);
    assert!(found.next().is_none(), "{name} stands twice in {list}");
    item
}

/// Our container, wherever it stands.
pub(crate) fn sidecar(pod: &Value) -> &Value {
    let native = named(&pod["spec"]["initContainers"], "sidecar-mesher");
    let plain = named(&pod["spec"]["containers"], "sidecar-mesher");
    assert!(native.is_null() || plain.is_null(), "two sidecars: {pod:#}");
    if native.is_null() { plain } else { native }
}

/// The value of a variable; null where it is not set.
pub(crate) fn env<'a>(container: &'a Value, name: &str) -> &'a Value {
    &named(&container["env"], name)["value"]
}
