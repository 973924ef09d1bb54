//! What the sidecar is told, and what the pod's own containers get.

mod support;

use injector::policy::Policy;
use injector::request::{RequestInfo, Workload};
use injector::{Outcome, inject};
use serde_json::{Value, json};
use support::{env, injected, injected_by, named, pod, sidecar};

#[test]
fn annotations_become_the_explicit_environment() {
    let result = injected(&pod(&[
        ("discoveryType", "pilot"),
        ("servicePorts", " rest:8080, grpc:9000"),
        ("serviceName", "orders"),
        ("version", "1.2.0"),
        ("appId", "shop"),
        ("passthrough", "none"),
        ("logLevel", "DEBUG"),
        ("image", "registry.example:5000/mesher:2@sha256:abc"),
        ("imagePullPolicy", "Always"),
        ("configMap", "orders-mesher"),
        ("env", "{\"EXTRA\":\"1\",\"LOG_LEVEL\":\"trace\"}"),
    ]));
    let ours = sidecar(&result);
    for (name, value) in [
        ("DISCOVERY_TYPE", "pilot"),
        ("SERVICE_PORTS", "rest:8080,grpc:9000"),
        ("SERVICE_NAME", "orders"),
        ("VERSION", "1.2.0"),
        ("APP_ID", "shop"),
        ("MESHER_PASSTHROUGH", "none"),
        ("EXTRA", "1"),
        ("LOG_LEVEL", "trace"),
    ] {
        assert_eq!(env(ours, name), value, "{name}");
    }
    assert_eq!(ours["image"], "registry.example:5000/mesher:2@sha256:abc");
    assert_eq!(ours["imagePullPolicy"], "Always");
    let conf = named(&result["spec"]["volumes"], "mesher-conf");
    assert_eq!(conf["configMap"], json!({"name": "orders-mesher", "optional": true}));
    // Istio's token and root certificate only for Istio.
    assert!(!named(&ours["volumeMounts"], "mesher-istio-token").is_null());
    assert!(
        named(&result["spec"]["volumes"], "mesher-istio-token")
            .to_string()
            .contains("\"audience\":\"istio-ca\"")
    );
    let sc = injected(&pod(&[("discoveryType", "sc")]));
    assert!(named(&sc["spec"]["volumes"], "mesher-istio-token").is_null());
}

#[test]
fn what_is_not_said_is_only_a_default() {
    let mut pod = pod(&[]);
    pod["metadata"]["labels"] = json!({"app.kubernetes.io/name": "web", "version": "v2"});
    pod["spec"]["containers"][0]["ports"] =
        json!([{"containerPort": 8080}, {"containerPort": 9000}]);
    let mut policy = Policy::builtin();
    policy.sidecar.app_id = Some("shop".into());
    let (result, _) = injected_by(&pod, &policy);
    let ours = sidecar(&result);
    for (name, value) in [
        ("MESHER_DEFAULT_SERVICE_NAME", "web"),
        ("MESHER_DEFAULT_VERSION", "v2"),
        ("MESHER_DEFAULT_APP_ID", "shop"),
        ("MESHER_DEFAULT_DISCOVERY_TYPE", "sc"),
        ("MESHER_DEFAULT_CSE_REGISTRY_ADDR", "http://service-center.servicecomb:30100"),
        ("MESHER_DEFAULT_ISTIO_PILOT_ADDR", "istiod.istio-system.svc:15010"),
        ("APP_PORTS", "8080,9000"),
    ] {
        assert_eq!(env(ours, name), value, "{name}");
    }
    for name in [
        "DISCOVERY_TYPE",
        "SERVICE_PORTS",
        "SERVICE_NAME",
        "VERSION",
        "APP_ID",
        "CSE_REGISTRY_ADDR",
        "ISTIO_PILOT_ADDR",
    ] {
        assert!(named(&ours["env"], name).is_null(), "{name} would beat the user's files");
    }
    for (name, path) in [
        ("POD_NAME", "metadata.name"),
        ("POD_NAMESPACE", "metadata.namespace"),
        ("POD_UID", "metadata.uid"),
        ("INSTANCE_IP", "status.podIP"),
        ("INSTANCE_IPS", "status.podIPs"),
        ("HOSTING_SERVER_IP", "status.hostIP"),
        ("NODE_NAME", "spec.nodeName"),
        ("SERVICE_ACCOUNT", "spec.serviceAccountName"),
    ] {
        assert_eq!(named(&ours["env"], name)["valueFrom"]["fieldRef"]["fieldPath"], path);
    }
}

#[test]
fn proxy_variables_go_to_the_pods_own_containers_only() {
    let mut pod = pod(&[]);
    pod["spec"]["containers"] = json!([
        {"name": "app", "image": "a", "env": [{"name": "A", "value": "$(B)"}]},
        {"name": "daprd", "image": "d"},
        {"name": "proxied", "image": "p", "env": [{"name": "All_Proxy", "value": "http://p"}]},
    ]);
    pod["spec"]["initContainers"] = json!([{"name": "setup", "image": "s"}]);
    pod["spec"]["ephemeralContainers"] = json!([{"name": "debug", "image": "d"}]);
    let (native, answer) = injected_by(&pod, &Policy::builtin());
    assert_eq!(answer.summary.intercepted, ["app", "setup"]);
    assert_eq!(answer.warnings.len(), 1, "{:?}", answer.warnings);
    let containers = &native["spec"]["containers"];
    assert_eq!(containers[0]["env"][0], json!({"name": "A", "value": "$(B)"}));
    assert_eq!(env(&containers[0], "grpc_proxy"), "http://127.0.0.1:40101");
    assert_eq!(containers[1], pod["spec"]["containers"][1]);
    assert_eq!(containers[2], pod["spec"]["containers"][2]);
    assert_eq!(native["spec"]["ephemeralContainers"], pod["spec"]["ephemeralContainers"]);
    // Without a native sidecar an init container runs before any proxy.
    let (plain, _) = injected_by(&pod, &support::plain());
    assert_eq!(plain["spec"]["initContainers"], pod["spec"]["initContainers"]);
    assert_eq!(plain["spec"]["containers"][3]["name"], "sidecar-mesher");
    // Switched off.
    let mut off = pod.clone();
    off["metadata"]["annotations"]["sidecar.mesher.io/interception"] = json!("none");
    assert_eq!(injected(&off)["spec"]["containers"], pod["spec"]["containers"]);
}

#[test]
fn annotations_of_others_are_set_only_where_absent() {
    let result = injected(&pod(&[]));
    let annotations = &result["metadata"]["annotations"];
    assert_eq!(annotations["kubectl.kubernetes.io/default-container"], "app");
    assert_eq!(annotations["prometheus.io/port"], "30102");
    let mut own = pod(&[]);
    own["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] = json!("other");
    own["metadata"]["annotations"]["prometheus.io/scrape"] = json!("false");
    let result = injected(&own);
    let annotations = &result["metadata"]["annotations"];
    assert_eq!(annotations["kubectl.kubernetes.io/default-container"], "other");
    assert_eq!(annotations["prometheus.io/scrape"], "false");
    assert!(annotations.get("prometheus.io/port").is_none());
}

#[test]
fn pull_secrets_are_merged_by_name() {
    let mut policy = Policy::builtin();
    policy.sidecar.image_pull_secrets = vec!["own".into(), "mesh".into(), "mesh".into()];
    let mut pod = pod(&[]);
    pod["spec"]["imagePullSecrets"] = json!([{"name": "own"}]);
    let (result, _) = injected_by(&pod, &policy);
    assert_eq!(result["spec"]["imagePullSecrets"], json!([{"name": "own"}, {"name": "mesh"}]));
}

#[test]
fn the_workload_names_the_service_on_the_command_line() {
    let template = json!({"metadata": {"annotations": {"sidecar.mesher.io/inject": "yes"}},
        "spec": {"containers": [{"name": "app", "image": "a"}]}});
    let mut request = RequestInfo::pod_create("shop");
    request.workload = Some(Workload { kind: "Deployment".into(), name: "orders".into() });
    let outcome = inject(&template, &request, &Policy::builtin()).into_owned();
    let mut result = template.clone();
    outcome.patch().apply(&mut result).unwrap();
    assert_eq!(env(sidecar(&result), "MESHER_DEFAULT_SERVICE_NAME"), "orders");
    request.workload = Some(Workload { kind: "CronJob".into(), name: "nightly".into() });
    let outcome = inject(&template, &request, &support::plain()).into_owned();
    assert!(
        matches!(&outcome, Outcome::Skipped(s) if s.reason == injector::Reason::JobWithoutNative)
    );
}

#[test]
fn hostile_values_stay_values() {
    let hostile = "x\"\n- name: evil\n  image: evil\n{{ 7 * 7 }}{% raw %} # $(POD_IP) \\";
    let mut pod = pod(&[]);
    pod["metadata"]["labels"] = json!({"app": hostile, "version": hostile});
    let result = injected(&pod);
    assert_eq!(env(sidecar(&result), "MESHER_DEFAULT_SERVICE_NAME"), hostile);
    let names = |list: &Value| list.as_array().map_or(0, Vec::len);
    assert_eq!(
        (names(&result["spec"]["containers"]), names(&result["spec"]["initContainers"])),
        (1, 1)
    );
}
