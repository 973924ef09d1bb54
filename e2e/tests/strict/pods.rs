//! Pods of every kind that the injector tells apart, in all combinations.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Mostly nothing, else one of `values`.
fn rarely(values: Vec<Value>) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![4 => Just(None), 1 => select(values).prop_map(Some)]
}

fn object(members: Vec<(&str, Option<Value>)>) -> Value {
    Value::Object(members.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).collect())
}

fn annotations(record: &str) -> impl Strategy<Value = Value> {
    let inject = prop_oneof![
        6 => select(vec!["yes", "Y", " true ", "ON", "Enabled"]).prop_map(Some),
        2 => select(vec!["no", " off", "N", "FALSE", "", "  ", "\u{a0}no\u{2003}"]).prop_map(Some),
        1 => select(vec!["yse", "0", "ｎｏ"]).prop_map(Some),
        1 => Just(None),
    ];
    let record = json!(record);
    (
        inject,
        prop_oneof![1 => Just(None), 1 => select(vec!["auto", "true", "false", " false ", "", "maybe"]).prop_map(Some)],
        rarely(vec![json!("sc"), json!("eureka"), json!("")]),
        rarely(vec![json!("injected"), json!("skipped:host_network"), json!("skipped:job_without_native")]),
        rarely(vec![record, json!("{}"), json!("forged")]),
        rarely(vec![json!("x")]),
        prop_oneof![9 => Just(None), 1 => Just(Some(json!("5f3")))],
    )
        .prop_map(|(inject, native, discovery, status, record, foreign, mirror)| {
            object(vec![
                ("sidecar.mesher.io/inject", inject.map(Value::from)),
                ("sidecar.mesher.io/nativeSidecar", native.map(Value::from)),
                ("sidecar.mesher.io/discoveryType", discovery),
                ("sidecar.mesher.io/status", status),
                ("sidecar.mesher.io/injected", record),
                ("example.com/inject", foreign),
                ("kubernetes.io/config.mirror", mirror),
            ])
        })
}

fn metadata(record: &str) -> impl Strategy<Value = Value> {
    let owner = |version: &str, kind: &str, controller: bool| json!([{"apiVersion": version, "kind": kind, "name": "owner", "uid": "5f3", "controller": controller}]);
    (
        annotations(record),
        rarely(vec![
            json!({"app": "web"}),
            json!({"sidecar.mesher.io/inject": "no"}),
            json!({"sidecar.mesher.io/inject": "yes"}),
            json!({"app.kubernetes.io/name": "sidecar-injector"}),
        ]),
        rarely(vec![
            owner("batch/v1", "Job", true),
            owner("batch/v1", "Job", false),
            owner("apps/v1", "ReplicaSet", true),
        ]),
    )
        .prop_map(|(annotations, labels, owners)| {
            let annotations = (annotations != json!({})).then_some(annotations);
            object(vec![
                ("name", Some(json!("generated"))),
                ("annotations", annotations),
                ("labels", labels),
                ("ownerReferences", owners),
            ])
        })
}

fn container(name: &str, ports: Option<Value>) -> Value {
    object(vec![("name", Some(json!(name))), ("image", Some(json!("app:1"))), ("ports", ports)])
}

/// Containers, init containers and volumes: now and then one that has what the sidecar would have.
fn contents() -> impl Strategy<Value = Map<String, Value>> {
    let port =
        |number: u16, protocol: &str| json!([{"containerPort": number, "protocol": protocol}]);
    let port_named = |number: u16, name: &str| json!([{"containerPort": number, "name": name}]);
    let init = |policy: Option<&str>| {
        let mut container = container("sidecar-mesher", None);
        policy.inspect(|policy| container["restartPolicy"] = json!(policy));
        json!([container])
    };
    (
        rarely(vec![
            json!([{"containerPort": 8080}]),
            json!([{"containerPort": 30101}]),
            port(30101, "UDP"),
            port_named(8080, "mesher-http"),
        ]),
        rarely(vec![
            container("other", None),
            container("other", Some(port(40101, "TCP"))),
            container("other", Some(port(30102, "SCTP"))),
            container("sidecar-mesher", None),
            container("sidecar-mesher-2", None),
        ]),
        rarely(vec![
            json!([container("before", None)]),
            json!([container("before", Some(port_named(9000, "mesher-admin")))]),
            init(None),
            init(Some("Always")),
        ]),
        rarely(vec![
            json!([{"name": "data", "emptyDir": {}}]),
            json!([{"name": "data", "emptyDir": {}}, {"name": "mesher-conf", "emptyDir": {}}]),
            json!([{"name": "mesher-istio-root", "emptyDir": {}}]),
        ]),
    )
        .prop_filter("two containers of one name", |(_, other, init, _)| {
            let twice = init.as_ref().is_some_and(|init| init[0]["name"] == "sidecar-mesher");
            !(twice && other.as_ref().is_some_and(|other| other["name"] == "sidecar-mesher"))
        })
        .prop_map(|(ports, other, init, volumes)| {
            let mut containers = vec![container("app", ports)];
            containers.extend(other);
            let contents = object(vec![
                ("containers", Some(json!(containers))),
                ("initContainers", init),
                ("volumes", volumes),
            ]);
            contents.as_object().cloned().unwrap_or_default()
        })
}

/// Any pod that the API server takes; `record` is what an injector wrote into another pod.
pub(crate) fn pods(record: &str) -> impl Strategy<Value = Value> {
    (
        metadata(record),
        contents(),
        rarely(vec![json!(true), json!(false)]),
        rarely(vec![json!({"name": "linux"}), json!({"name": "windows"})]),
        rarely(vec![
            json!({"kubernetes.io/os": "linux"}),
            json!({"kubernetes.io/os": "windows"}),
            json!({"disk": "fast"}),
        ]),
        prop_oneof![
            1 => Just(None),
            1 => select(vec!["Always", "Never", "OnFailure"]).prop_map(|p| Some(json!(p))),
        ],
    )
        .prop_map(|(metadata, contents, host_network, os, node_selector, restart_policy)| {
            let mut spec = object(vec![
                ("hostNetwork", host_network),
                ("os", os),
                ("nodeSelector", node_selector),
                ("restartPolicy", restart_policy),
            ]);
            // A mirror pod has its node.
            if !metadata["annotations"]["kubernetes.io/config.mirror"].is_null() {
                spec["nodeName"] = json!("node-1");
            }
            spec.as_object_mut().expect("an object").extend(contents);
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        })
}
