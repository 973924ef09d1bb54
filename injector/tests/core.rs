//! What an injection does to a pod.

use injector::{Outcome, Policy, Reason, RequestInfo, inject, template::Template, uninject};
use serde_json::{Value, json};

fn pod(annotations: Value, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "annotations": annotations}, "spec": spec})
}

#[test]
fn the_shipped_template_passes_its_own_validation() {
    Template::parse("mesher", injector::template::BUILTIN).unwrap();
}

#[test]
fn a_pod_gets_its_sidecar_and_loses_it_again() {
    let request = RequestInfo::pod_create("shop");
    let policy = Policy::builtin();
    let bare = pod(
        json!({"sidecar.mesher.io/inject": "yes"}),
        json!({"containers": [{"name": "app", "image": "a:1"}]}),
    );
    let outcome = inject(&bare, &request, &policy);
    assert!(matches!(outcome, Outcome::Injected(_)), "{outcome:?}");
    let mut patched = bare.clone();
    outcome.patch().apply(&mut patched).unwrap();
    println!("{}", serde_json::to_string_pretty(&patched).unwrap());
    let Outcome::Skipped(again) = inject(&patched, &request, &policy) else {
        panic!()
    };
    assert_eq!(again.reason, Reason::AlreadyInjected);
    let gone = uninject(&patched).unwrap();
    gone.patch.apply(&mut patched).unwrap();
    assert_eq!(patched, bare);
}
