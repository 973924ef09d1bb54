//! Laws that hold for every pod: generated ones with every parent absent, null, empty or filled.

mod support;

use std::sync::LazyLock;

use injector::admission::Review;
use injector::{Outcome, Policy, Reason, RequestInfo, inject, uninject};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use support::{NAMESPACE, injected_by, sidecar, skipped};

/// Absent, null, empty, or one of the values.
fn parent(
    empty: Value,
    filled: impl Strategy<Value = Value> + 'static,
) -> BoxedStrategy<Option<Value>> {
    prop_oneof![
        2 => Just(None),
        1 => Just(Some(Value::Null)),
        1 => Just(Some(empty)),
        4 => filled.prop_map(Some),
    ]
    .boxed()
}

fn object(members: Vec<(&'static str, Option<Value>)>) -> Value {
    Value::Object(members.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).collect())
}

fn variables() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        "[A-Z_]{1,8}",
        Just("http_proxy".to_owned()),
        Just("JAVA_TOOL_OPTIONS".to_owned())
    ];
    proptest::collection::btree_map(name, "\\PC{0,12}", 1..4).prop_map(|map| {
        map.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
    })
}

fn container(name: String) -> impl Strategy<Value = Value> {
    let resources = prop_oneof![
        Just(json!({"limits": {"cpu": "1", "memory": "1Gi"}})),
        Just(json!({"limits": {"cpu": 1}, "requests": {"cpu": "100m"}})),
        Just(json!({"requests": {"cpu": "100m"}})),
    ];
    let ports = Just(json!([{"containerPort": 8080, "name": "http"}]));
    (
        parent(json!([]), variables()),
        parent(json!({}), resources),
        parent(json!([]), ports),
        prop_oneof![4 => Just(None), 1 => Just(Some(json!([{"configMapRef": {"name": "c"}}])))],
        prop_oneof![4 => Just(None), 1 => Just(Some(json!({"fromTheFuture": [1, {"x": null}]})))],
    )
        .prop_map(move |(env, resources, ports, env_from, unknown)| {
            object(vec![
                ("name", Some(json!(name))),
                ("image", Some(json!("image:1"))),
                ("env", env),
                ("envFrom", env_from),
                ("resources", resources),
                ("ports", ports),
                ("unknownField", unknown),
            ])
        })
}

fn containers(prefix: &'static str, count: std::ops::Range<usize>) -> impl Strategy<Value = Value> {
    count
        .prop_flat_map(move |n| {
            (0..n).map(|i| container(format!("{prefix}{i}"))).collect::<Vec<_>>()
        })
        .prop_map(Value::Array)
}

fn metadata() -> impl Strategy<Value = Value> {
    let text = || proptest::collection::btree_map("[a-z~/.]{1,12}", "\\PC{0,20}", 1..4);
    let annotation = prop_oneof![
        Just(("prometheus.io/scrape", "false")),
        Just(("kubectl.kubernetes.io/default-container", "c0")),
        Just(("sidecar.mesher.io/interception", "java,node,https")),
        Just(("sidecar.mesher.io/discoveryType", "pilot")),
        Just(("sidecar.mesher.io/servicePorts", "rest:8080")),
        Just(("sidecar.mesher.io/env", "{\"LOG_LEVEL\":\"debug\",\"X\":\"1\"}")),
        Just(("sidecar.mesher.io/status", "injected")),
        Just(("sidecar.mesher.io/injected", "{\"forged\":true}")),
        Just(("sidecar.mesher.io/typo", "x")),
    ];
    (
        parent(json!({}), text().prop_map(|m| json!(m))),
        text(),
        proptest::collection::vec(annotation, 0..4),
    )
        .prop_map(|(labels, others, ours)| {
            let mut annotations = Map::new();
            annotations.extend(others.into_iter().map(|(k, v)| (k, json!(v))));
            annotations.extend(ours.into_iter().map(|(k, v)| (k.to_owned(), json!(v))));
            annotations.insert("sidecar.mesher.io/inject".into(), json!("yes"));
            object(vec![
                ("name", Some(json!("web"))),
                ("labels", labels),
                ("annotations", Some(Value::Object(annotations))),
            ])
        })
}

fn pods() -> impl Strategy<Value = Value> {
    let volumes = Just(json!([{"name": "data", "emptyDir": {}}]));
    let secrets = Just(json!([{"name": "own"}, {"name": "pull"}]));
    (
        metadata(),
        containers("c", 1..4),
        parent(json!([]), containers("i", 1..3)),
        parent(json!([]), volumes),
        parent(json!([]), secrets),
        prop_oneof![Just(None), Just(Some(json!(9_007_199_254_740_993_i64)))],
    )
        .prop_map(|(metadata, containers, init, volumes, secrets, big)| {
            json!({"metadata": metadata, "spec": object(vec![
                ("volumes", volumes),
                ("initContainers", init),
                ("containers", Some(containers)),
                ("imagePullSecrets", secrets),
                ("terminationGracePeriodSeconds", big),
            ])})
        })
}

fn policies() -> impl Strategy<Value = Policy> {
    (any::<bool>(), any::<bool>()).prop_map(|(native, secrets)| {
        static BUILTIN: LazyLock<Policy> = LazyLock::new(Policy::builtin);
        let mut policy = Policy { native_by_default: native, ..BUILTIN.clone() };
        if secrets {
            policy.sidecar.image_pull_secrets = vec!["pull".into(), "mirror".into()];
        }
        policy
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// R16, R17, R21, R24: the patch applies, as the API server's library understands it too; the
    /// second look finds nothing to do; removal gives back the very pod; the bytes are the same.
    #[test]
    fn inject_is_exact_idempotent_and_reversible(pod in pods(), policy in policies()) {
        let (result, injected) = injected_by(&pod, &policy);
        let mut theirs = pod.clone();
        let patch: json_patch::Patch = serde_json::from_slice(&injected.patch.to_bytes()).unwrap();
        json_patch::patch(&mut theirs, &patch).unwrap();
        prop_assert_eq!(&theirs, &result);
        let again = skipped(&result, &policy);
        prop_assert_eq!(again.reason, Reason::AlreadyInjected);
        prop_assert!(again.patch.is_empty() && again.warnings.is_empty());
        let mut back = result.clone();
        uninject(&result).unwrap().patch.apply(&mut back).unwrap();
        prop_assert_eq!(&back, &pod);
        let (_, twice) = injected_by(&pod, &policy);
        prop_assert_eq!(twice.patch.to_bytes(), injected.patch.to_bytes());
    }

    /// R16: everything of the pod's is where it was, but for indices behind a native sidecar.
    #[test]
    fn nothing_of_the_pods_is_touched(pod in pods(), policy in policies()) {
        let (result, injected) = injected_by(&pod, &policy);
        for operation in injected.patch.operations() {
            let path = operation.path().as_str();
            let allowed = path.starts_with("/metadata/annotations")
                || path.ends_with("/env") || path.contains("/env/")
                || ["/spec/volumes", "/spec/initContainers", "/spec/containers", "/spec/imagePullSecrets"]
                    .iter().any(|p| path == *p || path.strip_prefix(p).is_some_and(|rest| rest == "/-" || rest == "/0"));
            prop_assert!(allowed, "{}", path);
        }
        let own = |list: &Value| -> Vec<Value> {
            let ours = |c: &&Value| c["name"] != "sidecar-mesher";
            list.as_array().into_iter().flatten().filter(ours).map(|c| c["name"].clone()).collect()
        };
        for list in ["containers", "initContainers"] {
            prop_assert_eq!(own(&result["spec"][list]), own(&pod["spec"][list]));
        }
    }

    /// R22, R23: another webhook drops pieces of ours and adds its own; the second round brings
    /// ours back, once, and leaves the others'.
    #[test]
    fn lost_pieces_come_back(pod in pods(), policy in policies(), lose in any::<[bool; 6]>(), first in any::<bool>()) {
        let (whole, _) = injected_by(&pod, &policy);
        let mut damaged = whole.clone();
        let list = if policy.native_by_default { "initContainers" } else { "containers" };
        let ours = damaged["spec"][list].as_array_mut().unwrap()
            .iter_mut().find(|c| c["name"] == "sidecar-mesher").unwrap();
        if lose[0] { ours.as_object_mut().unwrap().remove("restartPolicy"); }
        if lose[1] { ours["env"].as_array_mut().unwrap().retain(|e| e["name"] != "POD_UID"); }
        if lose[2] { ours["volumeMounts"].as_array_mut().unwrap().remove(0); }
        if lose[3] { ours.as_object_mut().unwrap().remove("lifecycle"); }
        if lose[4] { damaged["spec"]["volumes"].as_array_mut().unwrap().retain(|v| v["name"] != "mesher-podinfo"); }
        if lose[5] {
            let other = json!({"name": "other-agent", "image": "agent:1"});
            let containers = damaged["spec"]["containers"].as_array_mut().unwrap();
            if first { containers.insert(0, other) } else { containers.push(other) }
        }
        let before = names(&damaged);
        match inject(&damaged, &RequestInfo::pod_create(NAMESPACE), &policy) {
            Outcome::Injected(injected) => {
                prop_assert!(injected.summary.repaired);
                injected.patch.apply(&mut damaged).unwrap();
            }
            Outcome::Skipped(s) => {
                prop_assert_eq!(s.reason, Reason::AlreadyInjected);
                let nothing_lost = !lose[1] && !lose[2] && !lose[3] && !lose[4]
                    && (!lose[0] || !policy.native_by_default);
                // The new container gets no variables where interception is off or refused.
                prop_assert!(nothing_lost, "lost and not repaired");
            }
            Outcome::Rejected(r) => prop_assert!(false, "{r:?}"),
        }
        let sorted = |value: &Value| {
            let mut items: Vec<String> = value.as_array().unwrap().iter().map(Value::to_string).collect();
            items.sort();
            items
        };
        let (mended, original) = (sidecar(&damaged), sidecar(&whole));
        for (key, value) in original.as_object().unwrap() {
            if value.is_array() {
                prop_assert_eq!(sorted(&mended[key]), sorted(value));
            } else {
                prop_assert_eq!(&mended[key], value);
            }
        }
        prop_assert_eq!(sorted(&damaged["spec"]["volumes"]), sorted(&whole["spec"]["volumes"]));
        prop_assert_eq!(names(&damaged), before);
        let again = skipped(&damaged, &policy);
        prop_assert_eq!(again.reason, Reason::AlreadyInjected);
        // What is left after removal is the pod and the other webhook's container.
        let mut back = damaged.clone();
        uninject(&damaged).unwrap().patch.apply(&mut back).unwrap();
        let others = |c: &&Value| c["name"] != "other-agent";
        let kept: Vec<&Value> = back["spec"]["containers"].as_array().unwrap().iter().filter(others).collect();
        prop_assert_eq!(kept, pod["spec"]["containers"].as_array().unwrap().iter().collect::<Vec<_>>());
        prop_assert_eq!(&back["metadata"], &pod["metadata"]);
    }

    /// What the server leaves unread of a pod has no say in the decision.
    #[test]
    fn a_pod_read_in_part_is_decided_as_the_whole(
        pod in pods(), value in json_values(), policy in policies()
    ) {
        let (with_sidecar, _) = injected_by(&pod, &policy);
        let annotations = json!({"sidecar.mesher.io/inject": "yes"});
        for pod in [
            pod,
            with_sidecar,
            value.clone(),
            json!({"metadata": {"annotations": annotations}, "spec": value}),
            json!({"metadata": {"annotations": annotations, "ownerReferences": value},
                   "spec": {"containers": [value, {"name": "a", "env": [value], "ports": value}],
                            "initContainers": value, "volumes": [value], "imagePullSecrets": value,
                            "ephemeralContainers": [value], "os": value, "tolerations": value}}),
        ] {
            let review = json!({
                "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
                "request": {"uid": "u", "operation": "CREATE", "namespace": NAMESPACE,
                    "kind": {"group": "", "version": "v1", "kind": "Pod"},
                    "resource": {"resource": "pods"}, "object": pod},
            });
            let body = review.to_string();
            let read = Review::read(body.as_bytes()).unwrap();
            let request = &read.request;
            prop_assert_eq!(inject(&read.object, request, &policy), inject(&pod, request, &policy));
        }
    }

    /// Whatever JSON stands where a pod should: an answer, and a patch that applies.
    #[test]
    fn no_json_makes_it_panic(value in json_values(), policy in policies()) {
        let shapes = [
            value.clone(),
            json!({"metadata": value, "spec": value}),
            json!({"metadata": {"annotations": {"sidecar.mesher.io/inject": "yes"}, "labels": value},
                   "spec": {"containers": value, "volumes": value, "initContainers": [value]}}),
            json!({"metadata": {"annotations": value}, "spec": {"containers": [{"name": "a", "env": value, "ports": value}]}}),
        ];
        for pod in shapes {
            let outcome = inject(&pod, &RequestInfo::pod_create(NAMESPACE), &policy);
            outcome.patch().apply(&mut pod.clone()).unwrap();
            if let Some(removal) = uninject(&pod) {
                removal.patch.apply(&mut pod.clone()).unwrap();
            }
        }
    }
}

fn names(pod: &Value) -> Vec<Value> {
    let lists = [&pod["spec"]["containers"], &pod["spec"]["initContainers"]];
    lists
        .iter()
        .flat_map(|l| l.as_array().into_iter().flatten())
        .map(|c| c["name"].clone())
        .collect()
}

fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        "[a-z]{1,4}",
        Just("name".to_owned()),
        Just("env".to_owned()),
        Just("sidecar.mesher.io/inject".to_owned()),
        Just("sidecar.mesher.io/injected".to_owned()),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            proptest::collection::btree_map(key.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
