//! `explain`: every question in order, and which one decided.

use injector::manifest::{Settings, explain};
use injector::{Policy, Reason};

fn explained(text: &str) -> Vec<injector::manifest::Explanation> {
    let settings =
        Settings { policy: Policy::builtin(), namespace: "shop".into(), reformat: false };
    explain(text, &settings).unwrap()
}

#[test]
fn each_object_of_a_file_is_explained() {
    let all = explained(
        "kind: Service\nmetadata: {name: web}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\n\
         metadata: {name: web, namespace: other, annotations: {sidecar.mesher.io/inject: 'yes'}}\n\
         spec: {template: {spec: {containers: [{name: app, image: a}]}}}\n---\n\
         apiVersion: v1\nkind: Pod\n\
         metadata: {name: host, annotations: {sidecar.mesher.io/inject: 'yes'}}\n\
         spec: {hostNetwork: true, containers: [{name: app, image: a}]}\n---\n\
         apiVersion: v1\nkind: Pod\n\
         metadata: {name: fine, annotations: {sidecar.mesher.io/inject: 'yes'}}\n\
         spec: {containers: [{name: app, image: a}]}\n",
    );
    let told: Vec<(&str, &str, &str)> = all
        .iter()
        .map(|e| (e.object.as_str(), e.namespace.as_str(), e.decision.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("service/web", "shop", "no_pod"),
            ("deployment/web", "other", "not_requested"),
            ("pod/host", "shop", "host_network"),
            ("pod/fine", "shop", "injected"),
        ]
    );
    assert!(all[1].warnings[0].contains("has no effect on the Deployment"), "{:?}", all[1]);
    let passed: Vec<&str> = all[2].passed.iter().map(|a| a.reason).collect();
    let before = Reason::ALL.into_iter().take_while(|r| *r < Reason::HostNetwork);
    assert_eq!(passed, before.map(Reason::as_str).collect::<Vec<_>>());
    assert!(all[3].detail.contains("as a native sidecar"), "{}", all[3].detail);
}

#[test]
fn a_file_that_does_not_read_is_an_error_with_its_place() {
    let settings =
        Settings { policy: Policy::builtin(), namespace: "shop".into(), reformat: false };
    let error = explain("kind: Pod\n  bad: [", &settings).unwrap_err().to_string();
    assert!(error.starts_with('2') || error.starts_with('1'), "{error}");
}
