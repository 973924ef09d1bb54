//! Generated manifests in generated styles.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::laws;
use crate::written::{self, Choices};

/// Texts that are easy to misread or to break.
const TEXTS: [&str; 24] = [
    "app",
    "yes",
    "0644",
    "1e3",
    "null",
    "~",
    "",
    " ",
    "- a",
    "a: b",
    "a #b",
    "it's",
    "say \"hi\"",
    "tab\there",
    "größe 日本 🚀",
    "{a}",
    "[b]",
    "*c",
    "&d",
    "!e",
    "line one\nline two\n",
    "# no comment\n",
    "a,b",
    "true",
];

fn text() -> impl Strategy<Value = Value> {
    prop::sample::select(TEXTS.to_vec()).prop_map(Value::from)
}

/// Absent, null, empty or filled.
fn list(item: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        2 => Just(None),
        1 => Just(Some(Value::Null)),
        1 => Just(Some(json!([]))),
        3 => prop::collection::vec(item, 1..3).prop_map(|items| Some(Value::Array(items))),
    ]
}

fn texts() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        2 => Just(None),
        1 => Just(Some(Value::Null)),
        1 => Just(Some(json!({}))),
        3 => prop::collection::vec(text(), 1..3).prop_map(|texts| {
            let named = texts.into_iter().enumerate().map(|(n, text)| (format!("key-{n}"), text));
            Some(Value::Object(named.collect()))
        }),
    ]
}

/// An object of the members that are there, in an order that `turn` decides.
fn object(members: Vec<(&str, Option<Value>)>, turn: usize) -> Value {
    let there = members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let mut there: Vec<(String, Value)> = there.collect();
    let by = turn % there.len().max(1);
    there.rotate_left(by);
    Value::Object(there.into_iter().collect::<Map<_, _>>())
}

fn container(name: &'static str) -> impl Strategy<Value = Value> {
    let variable = text().prop_map(|value| json!({"name": "V", "value": value}));
    let port = (1..9_u16).prop_map(|port| json!({"containerPort": 8000 + port}));
    (list(text()), list(variable), list(port), any::<usize>()).prop_map(
        move |(args, env, ports, turn)| {
            let members = vec![
                ("name", Some(json!(name))),
                ("image", Some(json!("registry/app"))),
                ("args", args),
                ("env", env),
                ("ports", ports),
            ];
            object(members, turn)
        },
    )
}

fn pod() -> impl Strategy<Value = Value> {
    let containers =
        (container("one"), prop::option::of(container("two"))).prop_map(|(one, two)| {
            Some(Value::Array([Some(one), two].into_iter().flatten().collect()))
        });
    let volume = Just(json!({"name": "own", "emptyDir": {}}));
    let metadata = prop_oneof![
        1 => Just(None),
        1 => Just(Some(Value::Null)),
        1 => Just(Some(json!({}))),
        4 => (texts(), texts()).prop_map(|(labels, annotations)| {
            let name = Some(json!("pod"));
            Some(object(vec![("name", name), ("labels", labels), ("annotations", annotations)], 0))
        }),
    ];
    let init = list(container("first")).prop_map(|init| match init {
        // Names have to differ.
        Some(Value::Array(items)) => Some(Value::Array(items.into_iter().take(1).collect())),
        other => other,
    });
    let volumes = list(volume).prop_map(|volumes| match volumes {
        Some(Value::Array(items)) => Some(Value::Array(items.into_iter().take(1).collect())),
        other => other,
    });
    (metadata, containers, init, volumes, text(), any::<usize>()).prop_map(
        |(metadata, containers, init, volumes, other, turn)| {
            let members = vec![
                ("containers", containers),
                ("initContainers", init),
                ("volumes", volumes),
                ("futureField", Some(json!({"deep": [other]}))),
            ];
            object(vec![("metadata", metadata), ("spec", Some(object(members, turn)))], turn / 7)
        },
    )
}

fn document() -> impl Strategy<Value = Value> {
    (pod(), 0..5_u8, any::<usize>()).prop_map(|(pod, kind, turn)| {
        let workload = |api: &str, kind: &str, spec: Value| {
            let members = vec![
                ("apiVersion", Some(json!(api))),
                ("kind", Some(json!(kind))),
                ("metadata", Some(json!({"name": "generated"}))),
                ("spec", Some(spec)),
            ];
            object(members, turn)
        };
        match kind {
            0 => {
                let mut pod = pod;
                pod["apiVersion"] = json!("v1");
                pod["kind"] = json!("Pod");
                pod
            }
            1 => workload("apps/v1", "Deployment", json!({"replicas": 1, "template": pod})),
            2 => {
                let template = json!({"spec": {"template": pod}});
                workload(
                    "batch/v1",
                    "CronJob",
                    json!({"jobTemplate": template, "schedule": "@daily"}),
                )
            }
            3 => {
                let spec = json!({"template": pod.clone(), "serviceName": "x"});
                let first = workload("apps/v1", "StatefulSet", spec);
                let service = workload("v1", "Service", json!({"ports": []}));
                let second = workload("apps/v1", "DaemonSet", json!({"template": pod}));
                json!({"kind": "List", "apiVersion": "v1", "items": [first, service, second]})
            }
            _ => workload("v1", "ConfigMap", json!({"template": pod})),
        }
    })
}

/// A file of some documents in some style.
fn manifest() -> impl Strategy<Value = String> {
    let choices = prop::collection::vec(any::<u8>(), 0..600);
    (prop::collection::vec(document(), 1..3), choices).prop_map(|(documents, choices)| {
        let mut choices = Choices::new(choices);
        let mut text = String::new();
        let json = choices.below(8) == 7;
        if json {
            for document in &documents {
                text.push_str(&written::json(document, &mut choices));
                text.push('\n');
            }
        } else {
            for (n, document) in documents.iter().enumerate() {
                if n > 0 {
                    text.push_str(choices.of(&[
                        "---\n",
                        "--- # next\n",
                        "...\n---\n",
                        "---\n---\n",
                    ]));
                } else {
                    text.push_str(choices.of(&["", "", "---\n", "# head\n"]));
                }
                text.push_str(&written::yaml(document, &mut choices));
            }
            text.push_str(choices.of(&["", "", "", "---\n", "# end\n", "...\n"]));
        }
        if choices.below(3) == 2 {
            text.truncate(text.trim_end_matches('\n').len());
        }
        if choices.below(4) == 3 {
            text = text.replace('\n', "\r\n");
        }
        // With a mark in front kubectl reads YAML, where only one document can do without `---`.
        if choices.below(8) == 7 && !json {
            text.insert(0, '\u{feff}');
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_generated_manifest_keeps_the_laws(text in manifest()) {
        let kept = laws::keep(&text);
        prop_assert!(kept.is_ok(), "{}\n{text}", kept.unwrap_err());
    }
}
