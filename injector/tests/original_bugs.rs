//! Bugs of the original injector (B1–B48) that concern the core stay fixed. Those about its
//! server, manifests and scripts are cited by the tests in `e2e/tests`.
//!
//! `data/original-injector` holds reviews that the original was sent, and the patch it answered.

mod support;

use injector::{Outcome, Policy, Reason, RequestInfo, inject, load_template};
use serde_json::{Value, json};
use support::{
    NAMESPACE, answer, env, injected, injected_by, named, pod, rejected, sidecar, skipped,
};

fn original(file: &str) -> Value {
    let path = format!("{}/tests/data/original-injector/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The pod the original was asked about.
fn asked() -> Value {
    original("request.json")["request"]["object"].clone()
}

#[test]
fn b1_annotations_of_the_pod_survive() {
    let mut pod = asked();
    pod["metadata"]["annotations"]["prometheus.io/scrape"] = json!("true");
    let before = pod["metadata"]["annotations"].as_object().unwrap().clone();
    // The original replaced the whole map by its status.
    let mut theirs = pod.clone();
    let patch: json_patch::Patch = serde_json::from_value(original("request.patch.json")).unwrap();
    json_patch::patch(&mut theirs, &patch).unwrap();
    assert_eq!(theirs["metadata"]["annotations"], json!({"sidecar.mesher.io/status": "injected"}));
    let after = injected(&pod)["metadata"]["annotations"].clone();
    for (key, value) in before {
        assert_eq!(after[&key], value, "{key}");
    }
    assert_eq!(after["sidecar.mesher.io/status"], "injected");
}

#[test]
fn b2_a_status_that_stands_there_is_replaced_with_an_escaped_pointer() {
    let patch = answer(&pod(&[("status", "skipped:host_network")])).patch().clone();
    let paths: Vec<&str> = patch.operations().iter().map(|o| o.path().as_str()).collect();
    assert!(paths.contains(&"/metadata/annotations/sidecar.mesher.io~1status"), "{paths:?}");
}

#[test]
fn b3_b4_b5_b6_nothing_of_one_pod_reaches_the_next() {
    let policy = Policy::builtin();
    let request = RequestInfo::pod_create(NAMESPACE);
    for i in 0..3 {
        let mut provider = asked();
        provider["metadata"]["labels"]["app"] = json!(format!("provider-{i}"));
        let outcome = inject(&provider, &request, &policy);
        let mut result = provider.clone();
        outcome.patch().apply(&mut result).unwrap();
        // B4: the original grew one SERVICE_PORTS a pod. B5: and put it into every container.
        let all = result["spec"].to_string();
        assert_eq!(all.matches("SERVICE_PORTS").count(), 1);
        assert_eq!(env(sidecar(&result), "SERVICE_PORTS"), "rest:8080");
    }
    // B3: a pod without the label took the previous pod's name; B6: or the neighbour's.
    let (consumer, _) = injected_by(&pod(&[]), &policy);
    assert_eq!(env(sidecar(&consumer), "MESHER_DEFAULT_SERVICE_NAME"), "web");
    assert!(named(&sidecar(&consumer)["env"], "SERVICE_PORTS").is_null());
}

#[test]
fn b25_b28_unclear_requests_are_answered() {
    // B25: an unknown backend was ignored, and the pod hung without its ConfigMap.
    assert_eq!(rejected(&pod(&[("discoveryType", "eureka")])).reason, Reason::InvalidAnnotation);
    let conf = &named(&injected(&pod(&[]))["spec"]["volumes"], "mesher-conf")["configMap"].clone();
    assert_eq!(conf["optional"], true);
    // B28: "true" was ignored in silence, hostNetwork injected.
    for value in ["true", "enabled", "on", "Yes", "y"] {
        assert!(matches!(answer(&pod(&[("inject", value)])), Outcome::Injected(_)), "{value}");
    }
    let mut host = pod(&[]);
    host["spec"]["hostNetwork"] = json!(true);
    assert_eq!(skipped(&host, &Policy::builtin()).reason, Reason::HostNetwork);
    let system =
        inject(&pod(&[]), &RequestInfo::pod_create("kube-system"), &Policy::builtin()).into_owned();
    assert_eq!(system.word(), "ignored_namespace");
}

#[test]
fn b29_a_forged_status_and_a_taken_name_change_nothing() {
    assert!(matches!(answer(&pod(&[("status", "injected")])), Outcome::Injected(_)));
    let mut taken = pod(&[]);
    taken["spec"]["volumes"] = json!([{"name": "mesher-conf", "emptyDir": {}}]);
    assert_eq!(skipped(&taken, &Policy::builtin()).reason, Reason::NameTaken);
}

#[test]
fn b30_b31_b32_templates_are_read_whole_or_not_at_all() {
    // B30: imagePullSecrets never loaded.
    let template = "sidecar: {name: s, image: i}\nimagePullSecrets: [{name: pull}]\n";
    let template = std::sync::Arc::new(load_template("t", template).unwrap());
    let mut policy = Policy { default_template: "t".into(), ..Policy::builtin() };
    policy.templates = [("t".to_owned(), template)].into();
    let (result, _) = injected_by(&pod(&[]), &policy);
    assert_eq!(result["spec"]["imagePullSecrets"], json!([{"name": "pull"}]));
    // B31: unknown keys were ignored and an empty template accepted.
    for bad in ["", "{}", "sidecar: {}", "sidecar: {name: s, image: i}\nvolume: []\n"] {
        assert!(load_template("t", bad).is_err(), "{bad}");
    }
    // B32: the schema now has init containers, labels, annotations, probes, security and overrides.
    let ours = sidecar(&injected(&pod(&[("cpu", "70m")]))).clone();
    assert_eq!(ours["resources"]["requests"]["cpu"], "70m");
    for key in ["securityContext", "startupProbe", "livenessProbe", "lifecycle"] {
        assert!(ours.get(key).is_some(), "{key}");
    }
}

#[test]
fn b33_jobs_end_and_the_sidecar_starts_first() {
    let mut job = pod(&[]);
    job["spec"]["restartPolicy"] = json!("Never");
    job["spec"]["initContainers"] = json!([{"name": "setup", "image": "s"}]);
    let result = injected(&job);
    let first = &result["spec"]["initContainers"][0];
    assert_eq!(
        (&first["name"], &first["restartPolicy"]),
        (&json!("sidecar-mesher"), &json!("Always"))
    );
    assert_eq!(first["lifecycle"]["preStop"]["exec"]["command"], json!(["mesher", "drain"]));
}

#[test]
fn b34_the_application_needs_no_proxy_setting_of_its_own() {
    let result = injected(&asked());
    let app = named(&result["spec"]["containers"], "app");
    assert_eq!(env(app, "http_proxy"), "http://127.0.0.1:30101");
    assert!(env(app, "no_proxy").as_str().unwrap().contains("169.254.169.254"));
}

#[test]
fn b35_b36_b46_replicas_are_one_service() {
    let mut replica = pod(&[]);
    replica["metadata"] = json!({
        "generateName": "web-7d4b9c6f5d-",
        "annotations": {"sidecar.mesher.io/inject": "yes"},
        "labels": {"pod-template-hash": "7d4b9c6f5d"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d4b9c6f5d", "controller": true}],
    });
    assert_eq!(env(sidecar(&injected(&replica)), "MESHER_DEFAULT_SERVICE_NAME"), "web");
    replica["metadata"]["labels"]["app.kubernetes.io/name"] = json!("shop");
    assert_eq!(env(sidecar(&injected(&replica)), "MESHER_DEFAULT_SERVICE_NAME"), "shop");
    // B46: name and namespace are empty in a pod at admission; the sidecar learns them at run time.
    assert!(!named(&sidecar(&injected(&replica))["env"], "POD_NAMESPACE")["valueFrom"].is_null());
}

#[test]
fn b37_service_ports_are_checked() {
    for bad in ["rest", "rest:0", "tcp:80", "rest:80,rest:80", "rest:99999"] {
        let refused = rejected(&pod(&[("servicePorts", bad)]));
        assert!(refused.field.contains("servicePorts"), "{bad}: {refused:?}");
    }
}
