//! R8 to R13: what stands in the answers.

use anyhow::Result;
use e2e::injector::PATIENCE;
use serde_json::{Value, json};

use crate::data::{REFUSING, V1, V1BETA1, annotated, patch, plain_pod, response, shared, v1};

#[test]
fn r08_patch_and_type_stand_together() -> Result<()> {
    for body in [V1, V1BETA1] {
        let response = response(shared()?, body)?;
        assert_eq!(response["patchType"], "JSONPatch");
        let operations = patch(&response)?.expect("a patch");
        assert!(!operations.is_empty());
        for operation in operations {
            assert!(operation["op"] == "add" || operation["op"] == "replace", "{operation}");
            assert!(operation["path"].as_str().is_some_and(|p| p.starts_with('/')), "{operation}");
        }
    }
    Ok(())
}

#[test]
fn r09_without_a_change_both_are_absent() -> Result<()> {
    let unasked = v1(|review| review["request"]["object"] = plain_pod())?;
    for body in [REFUSING, &unasked] {
        let response = response(shared()?, body)?;
        assert_eq!(response["allowed"], true);
        for key in ["patch", "patchType", "status", "warnings"] {
            assert!(response.get(key).is_none(), "{key}: {response}");
        }
    }
    Ok(())
}

#[test]
fn r10_a_denial_says_which_field_and_what_is_allowed() -> Result<()> {
    for (annotations, field, allowed) in [
        (json!({"sidecar.mesher.io/inject": "yse"}), "sidecar.mesher.io/inject", "yes"),
        (
            json!({"sidecar.mesher.io/inject": "yes", "sidecar.mesher.io/discoveryType": "eureka"}),
            "sidecar.mesher.io/discoveryType",
            "pilot",
        ),
        (
            json!({"sidecar.mesher.io/inject": "yes", "sidecar.mesher.io/servicePorts": "rest:99999"}),
            "sidecar.mesher.io/servicePorts",
            "65535",
        ),
    ] {
        let value = annotations.to_string();
        let response = response(shared()?, &annotated(annotations)?)?;
        assert_eq!(response["allowed"], false, "{value}");
        assert_eq!(response["status"]["code"], 403);
        assert_eq!(response["status"]["status"], "Failure");
        assert_eq!(response["status"]["reason"], "Forbidden");
        let message = response["status"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(field) && message.contains(allowed), "{value}: {message}");
        assert!(response.get("patch").is_none() && response.get("patchType").is_none());
    }
    Ok(())
}

#[test]
fn r11_warnings_are_short_lines() -> Result<()> {
    let long = "x".repeat(500);
    let mistyped = format!("sidecar.mesher.io/{long}");
    let multiline = format!("sidecar.mesher.io/inject{}", "\n");
    let cases = [
        json!({"sidecar.mesher.io/inject": "yes", "sidecar.mesher.io/servicePort": "rest:80"}),
        json!({"sidecar.mesher.io/inject": "yes", (mistyped): "1", (multiline): "no\nyes"}),
    ];
    for annotations in cases {
        let response = response(shared()?, &annotated(annotations)?)?;
        assert_eq!(response["allowed"], true, "{response}");
        let warnings = response["warnings"].as_array().cloned().unwrap_or_default();
        assert!(!warnings.is_empty(), "{response}");
        for warning in warnings {
            let text = warning.as_str().expect("a string");
            assert!(text.chars().count() <= 120 && !text.chars().any(char::is_control), "{text:?}");
            assert!(!text.starts_with("Warning:"), "{text:?}");
        }
    }
    let host = v1(|review| review["request"]["object"]["spec"]["hostNetwork"] = true.into())?;
    let response = response(shared()?, &host)?;
    let warning = response["warnings"][0].as_str().unwrap_or_default();
    assert!(warning.contains("host_network"), "the reason's word: {response}");
    Ok(())
}

#[test]
fn r12_audit_annotations_have_short_stable_keys() -> Result<()> {
    let cases = [
        (V1.to_vec(), "injected"),
        (REFUSING.to_vec(), "opted_out"),
        (annotated(json!({"sidecar.mesher.io/inject": "yse"}))?, "invalid_inject"),
    ];
    for (body, decision) in cases {
        let response = response(shared()?, &body)?;
        let audit = response["auditAnnotations"].as_object().cloned().unwrap_or_default();
        assert_eq!(audit["decision"], decision);
        for (key, value) in &audit {
            // The API server puts `<webhook>/` before them.
            assert!(key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{key}");
            assert!(value.as_str().is_some_and(|v| v.len() < 64), "{key}: {value}");
        }
    }
    let response = response(shared()?, V1)?;
    assert_eq!(response["auditAnnotations"]["template"], "mesher");
    Ok(())
}

/// A change to a request, by name.
type Case = (&'static str, Box<dyn Fn(&mut Value)>);

#[test]
fn r13_what_is_not_the_creation_of_a_pod_passes_untouched() -> Result<()> {
    let set = |pointer: &'static str, value: Value| -> Case {
        let name = pointer;
        let change = move |review: &mut Value| {
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
            review.pointer_mut(parent).expect("a parent")[key] = value.clone();
        };
        (name, Box::new(change))
    };
    let cases: Vec<Case> = vec![
        set("/request/operation", json!("UPDATE")),
        set("/request/operation", json!("DELETE")),
        set("/request/operation", json!("CONNECT")),
        set("/request/operation", Value::Null),
        set("/request/subResource", json!("ephemeralcontainers")),
        set("/request/kind", json!({"group": "apps", "version": "v1", "kind": "Deployment"})),
        set("/request/kind/kind", json!("PodTemplate")),
        set("/request/resource", json!({"group": "", "version": "v1", "resource": "services"})),
        set("/request/namespace", json!("kube-system")),
    ];
    for (name, change) in cases {
        let body = v1(|review| change(review))?;
        let response = response(shared()?, &body)?;
        assert_eq!(response["allowed"], true, "{name}");
        assert!(response.get("patch").is_none(), "{name}: {response}");
    }
    Ok(())
}

#[test]
fn r13_null_and_absent_parts_of_a_pod_do_no_harm() -> Result<()> {
    let objects = [
        Value::Null,
        json!({}),
        json!([]),
        json!("pod"),
        json!({"metadata": null, "spec": null}),
        json!({"metadata": {"annotations": null, "labels": null}, "spec": {"containers": null}}),
        json!({"metadata": {"annotations": {"sidecar.mesher.io/inject": "yes"}}}),
        json!({"metadata": {"annotations": {"sidecar.mesher.io/inject": "yes"}}, "spec": {}}),
        json!({"metadata": {"annotations": {"example.com/a": 7}}, "spec": []}),
        json!({"metadata": {"annotations": "yes"}, "spec": {"containers": [null, 1, "x"]}}),
    ];
    for object in objects {
        let body = v1(|review| review["request"]["object"] = object.clone())?;
        let response = response(shared()?, &body)?;
        assert_eq!(response["allowed"], true, "{object}: {response}");
        assert_ne!(response["auditAnnotations"]["decision"], "internal_error", "{object}");
    }
    let without = v1(|review| {
        review["request"].as_object_mut().expect("a request").remove("object");
    })?;
    assert_eq!(response(shared()?, &without)?["allowed"], true);

    let sparse = json!({
        "metadata": {"generateName": "orders-", "labels": null,
            "annotations": {"sidecar.mesher.io/inject": "yes"}},
        "spec": {"containers": [{"name": "app", "env": null, "volumeMounts": null}],
            "volumes": null, "initContainers": null, "imagePullSecrets": null},
    });
    let body = v1(|review| review["request"]["object"] = sparse)?;
    let response = response(shared()?, &body)?;
    assert_eq!(response["auditAnnotations"]["decision"], "injected", "{response}");
    Ok(())
}

/// B38: the original logged whole patches, users and secrets, into a file. B47: and an ERROR for
/// every optional annotation that was absent.
#[test]
fn r13_the_log_names_the_pod_by_what_is_known_and_holds_nothing_of_it() -> Result<()> {
    let secret = "hunter2-in-an-annotation";
    let body = v1(|review| {
        let request = &mut review["request"];
        request["uid"] = "uid-of-the-log-test".into();
        request["namespace"] = "shop".into();
        request["object"] = plain_pod();
        request["object"]["metadata"]["annotations"] =
            json!({"sidecar.mesher.io/inject": secret, "example.com/token": secret});
        request["object"]["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": secret}]);
    })?;
    response(shared()?, &body)?;
    // Lines are written a moment after what they tell of.
    let injector = shared()?;
    let mut line = None;
    injector.server().wait_until("telling of the decision", PATIENCE, || {
        line = injector.log().into_iter().find(|line| line["uid"] == "uid-of-the-log-test");
        line.is_some()
    })?;
    let line = line.expect("it was waited for");
    assert_eq!(line["message"], "rejected");
    assert_eq!(line["namespace"], "shop");
    assert_eq!(line["pod"], "orders-*");
    assert_eq!(line["reason"], "invalid_inject");
    assert!(line["micros"].is_u64(), "{line}");
    assert!(!shared()?.server().log().contains(secret));
    Ok(())
}
