//! `check`: each fault is found under its code, with what helps, and a healthy object has none.

use std::path::Path;
use std::process::Output;

use injector::Policy;
use injector::check::{Code, Finding, Fix, Report, Source, check};
use injector::manifest::Settings;
use serde_json::{Value, json};

#[path = "support/program.rs"]
mod program;
mod support;

fn checked_by(policy: Policy, objects: &[Value]) -> Vec<Finding> {
    let settings = Settings { policy, namespace: "shop".into(), reformat: false };
    let texts: Vec<String> = objects.iter().map(Value::to_string).collect();
    let sources: Vec<Source<'_>> =
        texts.iter().map(|text| Source { name: "a.yaml", text }).collect();
    let Report { findings, not_checked } = check(&sources, &settings).unwrap();
    assert_eq!(not_checked, [], "files are all there");
    findings
}

fn checked(objects: &[Value]) -> Vec<Finding> {
    checked_by(Policy::builtin(), objects)
}

fn codes(findings: &[Finding]) -> Vec<Code> {
    findings.iter().map(|finding| finding.code).collect()
}

fn deployment(pod: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"template": {"metadata": pod["metadata"], "spec": pod["spec"]}},
    })
}

fn namespace(labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}})
}

/// The pod as the API server has it, made by a Deployment.
fn existing(mut pod: Value) -> Value {
    pod["metadata"]["uid"] = json!("0b7d");
    pod["metadata"]["labels"] = json!({"pod-template-hash": "5d4f"});
    pod["metadata"]["ownerReferences"] =
        json!([{"kind": "ReplicaSet", "name": "web-5d4f", "controller": true}]);
    pod
}

const RESTART: &str = "kubectl rollout restart deployment/web --namespace shop";

#[test]
fn what_gets_its_sidecar_has_no_findings() {
    let pod = support::pod(&[]);
    let enabled = namespace(&json!({"sidecar-injector": "enabled"}));
    let silent = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {}});
    let healthy = existing(support::injected(&pod));
    assert_eq!(checked(&[enabled, deployment(&pod), silent, healthy]), []);
}

#[test]
fn each_fault_of_a_template_has_its_code_and_a_fix() {
    let with = |path: &str, value: Value| {
        let mut pod = support::pod(&[]);
        let (parent, key) = path.rsplit_once('/').unwrap();
        pod.pointer_mut(parent).unwrap()[key] = value;
        deployment(&pod)
    };
    let mut misplaced = deployment(&json!({"metadata": {}, "spec": {"containers": []}}));
    misplaced["metadata"]["annotations"] = json!({"sidecar.mesher.io/inject": "yes"});
    for (object, code, problem, fix) in [
        (misplaced, Code::AnnotationMisplaced, "no effect on the Deployment", "spec.template.meta"),
        (
            deployment(&support::pod(&[("servicePort", "rest:80")])),
            Code::AnnotationUnknown,
            "did you mean servicePorts?",
            "correct the key",
        ),
        (
            deployment(&support::pod(&[("inject", "yse")])),
            Code::PodRefused,
            "invalid_inject: ",
            "\"yes\" or \"no\"",
        ),
        (
            deployment(&support::pod(&[("logLevel", "loud")])),
            Code::PodRefused,
            "invalid_annotation: ",
            "correct the value",
        ),
        (with("/spec/hostNetwork", json!(true)), Code::PodSkipped, "host_network: ", "remove host"),
        (
            with("/spec/nodeSelector", json!({"kubernetes.io/os": "windows"})),
            Code::PodSkipped,
            "windows: ",
            "to \"no\"",
        ),
        (
            with("/metadata/labels", json!({"sidecar.mesher.io/inject": "no"})),
            Code::LabelOptsOut,
            "sidecar.mesher.io/inject=no wins",
            "remove the label",
        ),
    ] {
        let findings = checked(std::slice::from_ref(&object));
        assert_eq!(codes(&findings), [code], "{object:#}");
        let found = &findings[0];
        assert_eq!((found.object.as_str(), found.namespace.as_str()), ("deployment/web", "shop"));
        assert!(found.problem.contains(problem), "{found:?}");
        assert!(found.fix.as_str().contains(fix), "{found:?}");
    }
}

#[test]
fn a_namespace_counts_for_the_pods_of_every_file() {
    let pod = deployment(&support::pod(&[]));
    for (labels, expected) in [
        (json!({"sidecar-injector": "enabled"}), vec![]),
        (
            json!({"sidecar-injector": "yes"}),
            vec![Code::NamespaceNotEnabled, Code::NamespaceMisspelt],
        ),
        (json!({}), vec![Code::NamespaceNotEnabled]),
    ] {
        assert_eq!(codes(&checked(&[pod.clone(), namespace(&labels)])), expected, "{labels}");
    }
    let findings = checked(&[namespace(&json!({})), existing(support::pod(&[]))]);
    assert_eq!(codes(&findings), [Code::NamespaceNotEnabled], "and no second word on its pod");
    let enable = "kubectl label namespace shop sidecar-injector=enabled --overwrite";
    assert_eq!(findings[0].fix, Fix::Command(format!("{enable} && {RESTART}")));
    // Nobody asks there, or what asks has its sidecar in the manifest.
    let unasked = deployment(&json!({"spec": {"containers": []}}));
    let manual = deployment(&support::injected(&support::pod(&[])));
    assert_eq!(checked(&[namespace(&json!({})), unasked, manual]), []);
}

#[test]
fn a_pod_that_asked_and_has_none_is_made_anew() {
    let findings = checked(&[existing(support::pod(&[]))]);
    assert_eq!(codes(&findings), [Code::SidecarMissing]);
    assert_eq!(findings[0].fix, Fix::Command(RESTART.into()));

    let skipped = existing(support::pod(&[("status", "skipped:template_error")]));
    let findings = checked(&[skipped]);
    assert!(findings[0].problem.contains("skipped (template_error)"), "{findings:?}");
}

#[test]
fn what_has_ended_or_belongs_to_a_checked_owner_is_passed_over() {
    let mut succeeded = existing(support::pod(&[]));
    succeeded["status"] = json!({"phase": "Succeeded"});
    let mut leaving = existing(support::pod(&[]));
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut owned = deployment(&support::pod(&[("inject", "yse")]));
    owned["kind"] = json!("ReplicaSet");
    owned["metadata"]["ownerReferences"] =
        json!([{"kind": "Deployment", "name": "web", "controller": true}]);
    assert_eq!(checked(&[succeeded, leaving, owned]), []);
}

#[test]
fn a_sidecar_of_another_policy_is_stale() {
    let pod = support::injected(&support::pod(&[]));
    let mut policy = Policy::builtin();
    policy.sidecar.image = "mesher:next".into();
    let findings = checked_by(policy, &[deployment(&pod), existing(pod)]);
    assert_eq!(codes(&findings), [Code::SidecarStale, Code::SidecarStale]);
    assert!(findings[0].fix.as_str().contains("sidecar-injector inject"), "{findings:?}");
    assert_eq!(findings[1].fix, Fix::Command(RESTART.into()));
}

/// A Deployment of a cluster: unlike one that a file only describes, its pods' faults are its own.
#[test]
fn a_workload_and_its_pods_have_one_finding() {
    let mut workload = deployment(&support::pod(&[]));
    workload["metadata"]["uid"] = json!("3a1c");
    let pods = ["web-1", "web-2"].map(|name| {
        let mut pod = existing(support::pod(&[]));
        pod["metadata"]["name"] = json!(name);
        pod
    });
    let [first, second] = pods;
    let plain = namespace(&json!({}));
    let orders = [
        [workload.clone(), first.clone(), second.clone()],
        [first.clone(), second.clone(), workload],
    ];
    for objects in orders {
        let findings = checked(&[&objects[..], std::slice::from_ref(&plain)].concat());
        assert_eq!(codes(&findings), [Code::NamespaceNotEnabled]);
        assert_eq!((findings[0].object.as_str(), findings[0].pods), ("deployment/web", 2));
        assert!(findings[0].fix.as_str().ends_with(RESTART), "{findings:?}");
    }
    let findings = checked(&[first, second]);
    assert_eq!(codes(&findings), [Code::SidecarMissing]);
    assert_eq!((findings[0].object.as_str(), findings[0].pods), ("deployment/web", 2));
}

#[test]
fn a_misspelt_label_of_a_namespace_is_told_from_a_no() {
    for (labels, found) in [
        (json!({"sidecar-injection": "enabled"}), true),
        (json!({"sidecar-injector": "enable"}), true),
        (json!({"sidecar-injector": "true"}), true),
        (json!({"sidecarInjector": "enabled"}), true),
        (json!({"sidecar.mesher.io/inject": "yes"}), true),
        (json!({"sidecar-injector": "disabled"}), false),
        (json!({"istio-injection": "enabled"}), false),
        (json!({"sidecar-injector": "enabled", "sidecar-injection": "enabled"}), false),
        (json!({}), false),
    ] {
        let expected: &[Code] = if found { &[Code::NamespaceMisspelt] } else { &[] };
        assert_eq!(codes(&checked(&[namespace(&labels)])), expected, "{labels}");
    }
    let findings = checked(&[namespace(&json!({"sidecar-injection": "enabled"}))]);
    let command = "kubectl label namespace shop --overwrite sidecar-injector=enabled \
                   sidecar-injection-";
    assert_eq!(findings[0].fix, Fix::Command(command.into()));
}

#[test]
fn a_sidecar_that_never_came_says_why_as_far_as_is_known() {
    let mut pod = existing(support::pod(&[]));
    pod["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let labelled = |time: &str| {
        let mut namespace = namespace(&json!({"sidecar-injector": "enabled"}));
        namespace["metadata"]["managedFields"] = json!([
            {"manager": "a", "time": "2025-01-01T00:00:00Z",
             "fieldsV1": {"f:metadata": {"f:labels": {"f:kubernetes.io/metadata.name": {}}}}},
            {"manager": "kubectl-label", "time": time,
             "fieldsV1": {"f:metadata": {"f:labels": {"f:sidecar-injector": {}}}}},
        ]);
        namespace
    };
    for (time, said) in [
        ("2026-01-01T00:00:01Z", "created before its namespace had the labels"),
        ("2025-12-31T23:59:59Z", "the injector probably was not running"),
    ] {
        let findings = checked(&[labelled(time), pod.clone()]);
        assert!(findings[0].problem.contains(said), "{time} {findings:?}");
    }
}

#[test]
fn words_are_what_json_says() {
    for finding in checked(&[namespace(&json!({})), deployment(&support::pod(&[]))]) {
        let value = serde_json::to_value(&finding).unwrap();
        assert_eq!(value["code"], finding.code.as_str());
        assert_eq!(value["severity"], "error");
    }
}

fn run(arguments: &[&str], input: &str) -> Output {
    let arguments = [&["check"], arguments].concat();
    program::run(&arguments, Path::new("."), input)
}

#[test]
fn scripts_can_tell_the_outcome_by_the_exit_code() {
    let fine = deployment(&support::pod(&[])).to_string();
    let warned = deployment(&support::pod(&[("servicePort", "rest:80")])).to_string();
    let faulty = deployment(&support::pod(&[("inject", "yse")])).to_string();
    for (arguments, input, code, printed) in [
        (&["-f", "-"][..], fine.as_str(), 0, "nothing found\n"),
        (&["-f", "-"], &warned, 0, "warning  annotation_unknown  deployment/web in namespace"),
        (&["-f", "-", "-n", "shop"], &faulty, 3, "error  pod_refused  deployment/web in namespace"),
        (&["-f", "-", "-o", "json"], &fine, 0, "{\n  \"findings\": [],\n  \"notChecked\": []\n}\n"),
        (
            &["-f", "-", "-o", "json"],
            &faulty,
            3,
            "{\n  \"findings\": [\n    {\n      \"code\": \"pod_refused\"",
        ),
        (&["-f", "-"], "kind: [", 1, ""),
        (&["--kubeconfig", "no/such/file"], "", 1, ""),
        (&["--unheard-of"], &fine, 2, ""),
        (&["-f", "-", "--context", "a"], &fine, 2, ""),
    ] {
        let output = run(arguments, input);
        let out = String::from_utf8(output.stdout).unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {out} {err}");
        assert!(out.starts_with(printed), "{arguments:?} {out}");
        assert_eq!(out.is_empty(), [1, 2].contains(&code), "{arguments:?} {out}");
    }
}
