//! Templates: what they may say, and how an error reads.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use injector::Policy;
use injector::load_template;
use injector::template::BUILTIN;
use serde_json::{Value, json};
use support::{injected_by, named, pod, sidecar};

/// The built-in policy with this template as its only one.
fn policy(yaml: &str) -> Policy {
    let template = Arc::new(load_template("own", yaml).unwrap_or_else(|e| panic!("{e}")));
    Policy {
        default_template: "own".into(),
        templates: BTreeMap::from([("own".into(), template)]),
        ..Policy::builtin()
    }
}

#[test]
fn the_shipped_template_passes_its_own_validation() {
    load_template("mesher", BUILTIN).unwrap();
}

#[test]
fn leaves_keep_their_type_and_nodes_come_and_go() {
    let policy = policy(
        r#"
sidecar:
  name: own-sidecar
  image: "{{ image }}-{{ native }}"
  ports: [{containerPort: 4000, hostPort: "{{ 4000 + 1 }}"}]
  stdin: "{{ native }}"
  stdinOnce: "{{ false }}"
  tty: "{{ omit }}"
  args:
    - plain
    - "{{ omit if native else 'x' }}"
    - "{{ 'kept' if native else omit }}"
  env:
    - {$if: serviceName == 'orders', name: ONE, value: "1"}
    - {$if: serviceName == 'other', name: TWO, value: "2"}
    - {$each: "(servicePorts or '')|split(',')", $as: port, $if: port, name: "P_{{ (port|split(':')|list)|last }}", value: "{{ port }}"}
volumes:
  - {$if: "'yes' == annotations['example.com/scratch']|default('no')", name: scratch, emptyDir: {}}
labels: {mesh: "{{ namespace }}"}
"#,
    );
    let mut pod =
        pod(&[("serviceName", "orders"), ("servicePorts", "rest:80,grpc:90"), ("image", "i:1")]);
    pod["metadata"]["annotations"]["example.com/scratch"] = json!("yes");
    let (result, _) = injected_by(&pod, &policy);
    let ours = named(&result["spec"]["initContainers"], "own-sidecar");
    assert_eq!(ours["image"], "i:1-true");
    assert_eq!(ours["ports"][0]["hostPort"], 4001);
    assert_eq!((&ours["stdin"], &ours["stdinOnce"]), (&json!(true), &json!(false)));
    assert_eq!(ours.get("tty"), None);
    assert_eq!(ours["args"], json!(["plain", "kept"]));
    assert_eq!(
        ours["env"],
        json!([{"name": "ONE", "value": "1"}, {"name": "P_80", "value": "rest:80"}, {"name": "P_90", "value": "grpc:90"}])
    );
    assert_eq!(result["spec"]["volumes"], json!([{"name": "scratch", "emptyDir": {}}]));
    assert_eq!(result["metadata"]["labels"], json!({"mesh": "shop"}));
}

#[test]
fn extra_containers_stand_beside_the_sidecar() {
    let policy = policy(
        "sidecar: {name: main, image: m}\n\
         initContainers: [{name: prepare, image: p}]\n\
         containers: [{name: agent, image: a}]\n\
         imagePullSecrets: [{name: pull}]\n",
    );
    let (result, _) = injected_by(&pod(&[]), &policy);
    let names = |list: &Value| -> Vec<Value> {
        list.as_array().unwrap().iter().map(|c| c["name"].clone()).collect()
    };
    assert_eq!(names(&result["spec"]["initContainers"]), ["main", "prepare"]);
    assert_eq!(names(&result["spec"]["containers"]), ["app", "agent"]);
    assert_eq!(result["spec"]["imagePullSecrets"], json!([{"name": "pull"}]));
    assert_eq!(sidecar(&result), &Value::Null);
    let mut own = pod(&[]);
    own["spec"]["initContainers"] = json!([{"name": "setup", "image": "s"}]);
    let (result, _) = injected_by(&own, &policy);
    assert_eq!(names(&result["spec"]["initContainers"]), ["main", "prepare", "setup"]);
}

#[test]
fn an_error_names_the_place_and_the_remedy() {
    let sidecar = "sidecar: {name: s, image: i}\n";
    for (yaml, at, problem) in [
        ("- a", "document", "expected a map with the key sidecar"),
        ("a: [", "document", "line 1"),
        ("{}", "sidecar", "expected a container"),
        ("sidecar: {name: s}\n", "document", "it has no image"),
        ("sidecar: {name: '{{ image }}', image: i}\n", "sidecar.name", "without expression"),
        (&format!("{sidecar}sidecars: []\n"), "sidecars", "unknown key: use sidecar, containers"),
        (&format!("{sidecar}volumes: {{a: b}}\n"), "volumes", "expected a list of volumes"),
        (&format!("{sidecar}labels: {{a: 1}}\n"), "labels", "expected a map of strings"),
        ("sidecar: {name: s, image: '{{ imag }}'}\n", "sidecar.image", "undefined"),
        ("sidecar: {name: s, image: '{{ image '}\n", "sidecar.image", "syntax error"),
        ("sidecar: {name: s, image: 'x{{ }}'}\n", "sidecar.image", "syntax error"),
        (
            "sidecar: {name: s, image: i, tty: '{{ serviceName }}'}\n",
            "sidecar.tty",
            "write `or omit`",
        ),
        (
            "sidecar: {name: s, image: i, args: ['{{ labels }}']}\n",
            "sidecar.args[0]",
            "a leaf holds text",
        ),
        ("sidecar: {name: s, image: i, $if: 'native +'}\n", "sidecar.$if", "syntax error"),
        (
            "sidecar: {name: s, image: i, resources: {$each: labels}}\n",
            "sidecar.resources.$each",
            "only on the items of a list",
        ),
        (
            "sidecar: {name: s, image: i, resources: {$when: x}}\n",
            "sidecar.resources.$when",
            "use $if, $each and $as",
        ),
        (
            "sidecar: {name: s, image: i, imagePullPolcy: Always}\n",
            "s.imagePullPolcy",
            "knows no such field",
        ),
        (
            "sidecar: {name: s, image: i, ports: [{containerPort: abc}]}\n",
            "document",
            "no valid pod",
        ),
        (
            "sidecar: {name: s, image: i, volumeMounts: [{name: gone, mountPath: /x}]}\n",
            "document",
            "volume gone",
        ),
        (
            "sidecar: {name: s, image: i, readinessProbe: {$if: native, tcpSocket: {port: 1}}, env: [{name: A, value: 1}]}\n",
            "document",
            "no valid pod",
        ),
    ] {
        let error = load_template("t", yaml).unwrap_err();
        assert_eq!(error.at, at, "{yaml}: {error}");
        assert!(error.problem.contains(problem), "{yaml}: {error}");
    }
}

#[test]
fn anchors_and_comments_are_yaml() {
    let policy = policy(
        "sidecar:\n  name: s # why\n  image: i\n  resources: &r {limits: {memory: 1Mi}}\ncontainers:\n  - {name: t, image: i, resources: *r}\n",
    );
    let (result, _) = injected_by(&pod(&[]), &policy);
    assert_eq!(named(&result["spec"]["containers"], "t")["resources"]["limits"]["memory"], "1Mi");
}
