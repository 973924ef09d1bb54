//! Admission rules R14–R24: what a patch may do to a pod. (R1–R13 and R35–R37 are about the wire,
//! R27–R34 about the webhook's registration: see `e2e/tests`.)

mod support;

use injector::patch::{Patch, Pointer};
use injector::{Outcome, Policy, Reason, RequestInfo, inject, uninject};
use serde_json::{Value, json};
use support::{NAMESPACE, answer, env, injected, injected_by, named, plain, pod, sidecar, skipped};

#[test]
fn r14_pointers_are_escaped_tilde_first() {
    for (key, escaped) in [("a/b", "/a~1b"), ("a~b", "/a~0b"), ("~1", "/~01"), ("~/", "/~0~1")] {
        let pointer = Pointer::root().child(key);
        assert_eq!(pointer.as_str(), escaped);
        assert_eq!(pointer.tokens().collect::<Vec<_>>(), [key]);
        let mut document = json!({key: 1});
        let mut patch = Patch::empty();
        patch.replace(pointer, json!(2));
        patch.apply(&mut document).unwrap();
        assert_eq!(document, json!({key: 2}));
    }
}

#[test]
fn r15_parents_are_made_only_where_they_are_missing() {
    for (parent, path) in [
        ("volumes", "/spec/volumes"),
        ("initContainers", "/spec/initContainers"),
        ("imagePullSecrets", "/spec/imagePullSecrets"),
    ] {
        for (value, whole) in [
            (None, true),
            (Some(Value::Null), true),
            (Some(json!([])), true),
            (Some(json!([{"name": "own", "image": "own:1"}])), false),
        ] {
            let mut pod = pod(&[]);
            if let Some(value) = value {
                pod["spec"][parent] = value;
            }
            let mut policy = Policy::builtin();
            policy.sidecar.image_pull_secrets = vec!["pull".into()];
            let (_, injected) = injected_by(&pod, &policy);
            let paths: Vec<&str> =
                injected.patch.operations().iter().map(|o| o.path().as_str()).collect();
            assert_eq!(paths.contains(&path), whole, "{parent}: {paths:?}");
        }
    }
    // Annotations one by one where there are any; the map only where there is none.
    let patch = answer(&pod(&[])).patch().clone();
    assert!(patch.operations().iter().all(|o| o.path().as_str() != "/metadata/annotations"));
    let mut bare = pod(&[]);
    bare["metadata"]["annotations"] = Value::Null;
    let policy = Policy { unannotated: injector::policy::Unannotated::Inject, ..Policy::builtin() };
    let (result, _) = injected_by(&bare, &policy);
    assert_eq!(result["metadata"]["annotations"]["sidecar.mesher.io/status"], "injected");
}

#[test]
fn r16_every_other_byte_survives() {
    let mut pod = pod(&[]);
    pod["metadata"]["annotations"]["checksum/config"] = json!("abc");
    pod["metadata"]["finalizers"] = json!(["a/b"]);
    pod["spec"]["futureField"] = json!({"deep": [1, 2, {"three": null}]});
    pod["spec"]["activeDeadlineSeconds"] = json!(9_223_372_036_854_775_807_i64);
    pod["spec"]["containers"][0]["securityContext"] =
        json!({"runAsUser": 9_007_199_254_740_993_i64});
    let result = injected(&pod);
    let mut without = result.clone();
    uninject(&result).unwrap().patch.apply(&mut without).unwrap();
    assert_eq!(without.to_string(), pod.to_string(), "even the order of the keys");
    assert_eq!(result["spec"]["futureField"], pod["spec"]["futureField"]);
}

#[test]
fn r17_a_patch_that_does_not_fit_is_never_sent() {
    // The annotation makes the sidecar's record exceed what a pod's annotations may hold.
    let mut pod = pod(&[]);
    pod["metadata"]["annotations"]["note"] = json!("x".repeat(256 * 1024 - 100));
    let outcome = skipped(&pod, &Policy::builtin());
    assert_eq!(outcome.reason, Reason::PatchError);
    assert!(outcome.message.contains("256 KiB"), "{}", outcome.message);
    // A value of the wrong type where a list belongs.
    let mut odd = support::pod(&[]);
    odd["spec"]["volumes"] = json!("none");
    let outcome = skipped(&odd, &Policy::builtin());
    assert_eq!(outcome.reason, Reason::PatchError);
    assert!(outcome.message.contains("/spec/volumes has the wrong type"), "{}", outcome.message);
    // Strict as the API server: what fails there fails here.
    for patch in [
        r#"[{"op":"add","path":"/a/b/c","value":1}]"#,
        r#"[{"op":"add","path":"/list/7","value":1}]"#,
        r#"[{"op":"replace","path":"/gone","value":1}]"#,
        r#"[{"op":"remove","path":"/gone"}]"#,
        r#"[{"op":"remove","path":"/list/1"}]"#,
        r#"[{"op":"add","path":"/list/01","value":1}]"#,
    ] {
        let document = json!({"a": {}, "list": [0]});
        let theirs: json_patch::Patch = serde_json::from_str(patch).unwrap();
        assert!(json_patch::patch(&mut document.clone(), &theirs).is_err(), "{patch}");
        assert!(own_patch(patch).apply(&mut document.clone()).is_err(), "{patch}");
    }
}

fn own_patch(text: &str) -> Patch<'static> {
    let operations: Vec<Value> = serde_json::from_str(text).unwrap();
    let mut patch = Patch::empty();
    for operation in operations {
        let mut path = Pointer::root();
        for token in operation["path"].as_str().unwrap().split('/').skip(1) {
            path = path.child(token);
        }
        match operation["op"].as_str().unwrap() {
            "add" => patch.add(path, operation["value"].clone()),
            "replace" => patch.replace(path, operation["value"].clone()),
            _ => patch.remove(path),
        }
    }
    patch
}

#[test]
fn r18_no_defaults_and_no_service_account_mounts_are_added() {
    let result = injected(&pod(&[]));
    let ours = sidecar(&result);
    assert!(ours.get("terminationMessagePath").is_none());
    assert!(!ours["volumeMounts"].to_string().contains("kubernetes.io/serviceaccount"));
    assert!(result["spec"].get("serviceAccountName").is_none());
}

#[test]
fn r19_the_result_is_a_valid_pod() {
    for policy in [Policy::builtin(), plain()] {
        let (result, _) = injected_by(&pod(&[("discoveryType", "pilot")]), &policy);
        let ours = sidecar(&result);
        let typed: k8s_openapi::api::core::v1::Pod =
            serde_json::from_value(result.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap()["spec"], result["spec"]);
        for port in ours["ports"].as_array().unwrap() {
            assert!(port["name"].as_str().unwrap().len() <= 15);
        }
        for mount in ours["volumeMounts"].as_array().unwrap() {
            assert!(!named(&result["spec"]["volumes"], mount["name"].as_str().unwrap()).is_null());
        }
        let native = policy.native_by_default;
        assert_eq!(ours.get("restartPolicy").is_some(), native);
        assert!(ours.get("readinessProbe").is_none());
    }
    for (spec, reason) in [
        (json!({"hostNetwork": true}), Reason::HostNetwork),
        (json!({"os": {"name": "windows"}}), Reason::Windows),
        (json!({"nodeSelector": {"kubernetes.io/os": "windows"}}), Reason::Windows),
    ] {
        let mut pod = pod(&[]);
        pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        assert_eq!(skipped(&pod, &Policy::builtin()).reason, reason);
    }
}

#[test]
fn r20_the_sidecar_meets_pod_security_restricted_by_itself() {
    let result = injected(&pod(&[]));
    let context = &sidecar(&result)["securityContext"];
    assert_eq!(
        context,
        &json!({
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
        })
    );
    for volume in result["spec"]["volumes"].as_array().unwrap() {
        assert!(volume.get("hostPath").is_none(), "{volume}");
    }
}

#[test]
fn r21_the_second_call_returns_no_patch() {
    for policy in [Policy::builtin(), plain()] {
        let (once, _) = injected_by(&pod(&[("servicePorts", "rest:8080")]), &policy);
        let again = skipped(&once, &policy);
        assert_eq!(again.reason, Reason::AlreadyInjected);
        assert!(again.patch.is_empty() && again.warnings.is_empty());
    }
}

#[test]
fn r22_whatever_the_annotations_say_there_is_one_sidecar() {
    let done = injected(&pod(&[]));
    // A forged status proves nothing.
    let forged = injected(&pod(&[("status", "injected")]));
    assert_eq!(sidecar(&forged)["image"], sidecar(&done)["image"]);
    // Nor does a record copied from another pod with its annotations.
    let mut copied = pod(&[]);
    copied["metadata"]["annotations"] = done["metadata"]["annotations"].clone();
    let copied = injected(&copied);
    assert_eq!(copied["spec"], done["spec"]);
    // A record that does not read.
    let broken = injected(&pod(&[("injected", "{not json")]));
    assert!(!sidecar(&broken).is_null());
    // A whole copy (`kubectl get -o yaml | kubectl create -f -`) is what it was.
    assert_eq!(skipped(&done, &Policy::builtin()).reason, Reason::AlreadyInjected);
    // Removed annotations: the container is there, so there must not be another.
    let mut stripped = done.clone();
    stripped["metadata"]["annotations"] = json!({"sidecar.mesher.io/inject": "yes"});
    let outcome = skipped(&stripped, &Policy::builtin());
    assert_eq!(outcome.reason, Reason::NameTaken);
    outcome.patch.apply(&mut stripped).unwrap();
    assert!(!sidecar(&stripped).is_null());
    // A container of the user's with our name.
    let mut own = pod(&[]);
    own["spec"]["containers"][0]["name"] = json!("sidecar-mesher");
    assert_eq!(skipped(&own, &Policy::builtin()).reason, Reason::NameTaken);
}

#[test]
fn r23_the_second_call_repairs_ours_and_leaves_theirs() {
    let done = injected(&pod(&[]));
    let mut round_two = done.clone();
    // An older webhook rebuilt the pod without the fields it did not know, and added its own.
    round_two["spec"]["initContainers"][0].as_object_mut().unwrap().remove("restartPolicy");
    round_two["spec"]["initContainers"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({"name": "first", "image": "f:1"}));
    round_two["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "later", "image": "l:1", "env": []}));
    round_two["spec"]["containers"][0]["image"] = json!("mirror/web:1");
    round_two["spec"]["initContainers"][1]["image"] = json!("mirror/mesher:1");
    let status = round_two["metadata"]["annotations"]["sidecar.mesher.io/status"].clone();
    let (mended, answer) = injected_by(&round_two, &Policy::builtin());
    assert!(answer.summary.repaired && answer.warnings.is_empty());
    let init = &mended["spec"]["initContainers"];
    assert_eq!(init[0], json!({"name": "first", "image": "f:1"}), "runs before ours: no variables");
    assert_eq!(init[1]["restartPolicy"], "Always");
    assert_eq!(init[1]["image"], "mirror/mesher:1", "another webhook's decision stays");
    assert_eq!(mended["spec"]["containers"][0]["image"], "mirror/web:1");
    assert_eq!(
        env(named(&mended["spec"]["containers"], "later"), "http_proxy"),
        "http://127.0.0.1:30101"
    );
    assert_eq!(mended["metadata"]["annotations"]["sidecar.mesher.io/status"], status);
    assert_eq!(skipped(&mended, &Policy::builtin()).reason, Reason::AlreadyInjected);
    // Another mesh dropped our init container altogether: it comes back, once.
    let mut dropped = done.clone();
    dropped["spec"].as_object_mut().unwrap().remove("initContainers");
    assert_eq!(injected(&dropped)["spec"]["initContainers"], done["spec"]["initContainers"]);
}

#[test]
fn r24_the_same_bytes_on_every_thread() {
    let pod = pod(&[("discoveryType", "pilot"), ("servicePorts", "rest:8080,grpc:9000")]);
    let expected = answer(&pod).patch().to_bytes();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let policy = Policy::builtin();
                for i in 0..50 {
                    let mut other = support::pod(&[("servicePorts", "rest:1")]);
                    other["metadata"]["labels"] = json!({"app": format!("other-{i}")});
                    inject(&other, &RequestInfo::pod_create("other"), &policy);
                    let outcome = inject(&pod, &RequestInfo::pod_create(NAMESPACE), &policy);
                    assert!(matches!(outcome, Outcome::Injected(_)));
                    assert_eq!(outcome.patch().to_bytes(), expected);
                }
            });
        }
    });
}
