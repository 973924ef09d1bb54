//! Should this pod get a sidecar? Every reason, the order among them, and what each leaves behind.

mod support;

use injector::policy::{OnInvalid, Unannotated};
use injector::{Outcome, Policy, Reason, RequestInfo, explain, inject};
use serde_json::{Value, json};
use support::{NAMESPACE, answer, injected_by, plain, pod, rejected, skipped};

/// A pod against which every objection holds at once that a pod can raise.
fn hopeless() -> Value {
    let mut pod = pod(&[("inject", "yse"), ("discoveryType", "eureka")]);
    pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("x");
    pod["spec"]["hostNetwork"] = json!(true);
    pod["spec"]["os"] = json!({"name": "windows"});
    pod["spec"]["restartPolicy"] = json!("Never");
    pod["spec"]["containers"][0]["name"] = json!("sidecar-mesher");
    pod
}

#[test]
fn the_questions_come_in_their_order() {
    let policy = plain();
    let mut pod = hopeless();
    let mut request = RequestInfo::pod_create("kube-system");
    request.operation = "UPDATE".into();
    let expect = |pod: &Value, request: &RequestInfo, reason: Reason| {
        let (passed, outcome) = explain(pod, request, &policy);
        assert_eq!(outcome.word(), reason.as_str());
        let before: Vec<Reason> = Reason::ALL.into_iter().take_while(|r| *r < reason).collect();
        assert_eq!(passed, before, "{reason}");
    };
    expect(&pod, &request, Reason::NotPodCreate);
    request.operation = "CREATE".into();
    expect(&pod, &request, Reason::IgnoredNamespace);
    request.namespace = NAMESPACE.into();
    expect(&pod, &request, Reason::MirrorPod);
    pod["metadata"]["annotations"].as_object_mut().unwrap().remove("kubernetes.io/config.mirror");
    expect(&pod, &request, Reason::InvalidInject);
    pod["metadata"]["annotations"]["sidecar.mesher.io/inject"] = json!("off");
    expect(&pod, &request, Reason::OptedOut);
    pod["metadata"]["annotations"]["sidecar.mesher.io/inject"] = json!("");
    expect(&pod, &request, Reason::NotRequested);
    pod["metadata"]["annotations"]["sidecar.mesher.io/inject"] = json!("on");
    expect(&pod, &request, Reason::HostNetwork);
    pod["spec"]["hostNetwork"] = json!(false);
    expect(&pod, &request, Reason::Windows);
    pod["spec"]["os"]["name"] = json!("linux");
    expect(&pod, &request, Reason::NameTaken);
    pod["spec"]["containers"][0]["name"] = json!("app");
    expect(&pod, &request, Reason::InvalidAnnotation);
    pod["metadata"]["annotations"]["sidecar.mesher.io/discoveryType"] = json!("sc");
    expect(&pod, &request, Reason::JobWithoutNative);
    pod["spec"]["restartPolicy"] = json!("Always");
    let (passed, outcome) = explain(&pod, &request, &policy);
    assert_eq!(outcome.word(), "injected");
    assert_eq!(passed.last(), Some(&Reason::JobWithoutNative));
}

#[test]
fn what_is_no_creation_of_a_pod_is_left_alone() {
    let change: [fn(&mut RequestInfo); 5] = [
        |r| r.kind.kind = "Deployment".into(),
        |r| r.kind.group = "apps".into(),
        |r| r.resource = "deployments".into(),
        |r| r.sub_resource = "status".into(),
        |r| r.operation = "DELETE".into(),
    ];
    for change in change {
        let mut request = RequestInfo::pod_create(NAMESPACE);
        change(&mut request);
        let outcome = inject(&pod(&[]), &request, &Policy::builtin()).into_owned();
        assert_eq!(outcome.word(), "not_pod_create", "{request:?}");
        assert!(outcome.patch().is_empty() && outcome.warnings().is_empty());
    }
    let outcome =
        inject(&Value::Null, &RequestInfo::pod_create(NAMESPACE), &Policy::builtin()).into_owned();
    assert_eq!(outcome.word(), "not_pod_create");
}

/// What the API server's match conditions may decide without us leaves no trace.
#[test]
fn silent_reasons_leave_no_trace_and_others_say_why() {
    for reason in [Reason::OptedOut, Reason::NotRequested] {
        let value = if reason == Reason::OptedOut { "no" } else { "" };
        let outcome =
            skipped(&pod(&[("inject", value), ("servicePorts", "rest:80")]), &Policy::builtin());
        assert_eq!(outcome.reason, reason);
        assert!(!outcome.asked && outcome.patch.is_empty() && outcome.warnings.is_empty());
    }
    let mut mirror = pod(&[]);
    mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("x");
    for (pod, namespace, reason) in
        [(pod(&[]), "kube-system", "ignored_namespace"), (mirror, NAMESPACE, "mirror_pod")]
    {
        let outcome =
            inject(&pod, &RequestInfo::pod_create(namespace), &Policy::builtin()).into_owned();
        assert_eq!(outcome.word(), reason);
        assert!(outcome.patch().is_empty() && outcome.warnings().is_empty());
    }
    // But for a key of ours that is misspelt: its author asked, and should learn so.
    let mut misspelt = pod(&[("inject", ""), ("injct", "yes")]);
    let outcome = skipped(&misspelt, &Policy::builtin());
    assert_eq!(outcome.reason, Reason::NotRequested);
    assert!(outcome.patch.is_empty() && outcome.warnings[0].contains("did you mean inject?"));
    misspelt["metadata"]["annotations"]["sidecar.mesher.io/inject"] = json!("no");
    assert!(skipped(&misspelt, &Policy::builtin()).warnings.is_empty());

    let mut host = pod(&[]);
    host["spec"]["hostNetwork"] = json!(true);
    let outcome = skipped(&host, &Policy::builtin());
    assert!(outcome.asked && outcome.warnings[0].contains("host_network"));
    outcome.patch.apply(&mut host).unwrap();
    assert_eq!(host["metadata"]["annotations"]["sidecar.mesher.io/status"], "skipped:host_network");
    // The second round finds the status there.
    assert!(skipped(&host, &Policy::builtin()).patch.is_empty());
}

#[test]
fn a_refusal_names_the_key_and_the_allowed_values() {
    let refused = rejected(&pod(&[("inject", "yse")]));
    assert_eq!(refused.reason, Reason::InvalidInject);
    assert_eq!(refused.field, "metadata.annotations[sidecar.mesher.io/inject]");
    assert!(
        refused.message.contains("\"yse\"")
            && refused.message.contains("y, yes, true, on, enabled")
    );
    let refused = rejected(&pod(&[("discoveryType", "eureka")]));
    assert_eq!(refused.reason, Reason::InvalidAnnotation);
    assert!(refused.message.contains("\"eureka\": use sc (service-center) or pilot (Istio)"));
    let policy = Policy { invalid_annotation: OnInvalid::Skip, ..Policy::builtin() };
    for (key, value) in [("inject", "yse"), ("discoveryType", "eureka")] {
        let outcome = skipped(&pod(&[(key, value)]), &policy);
        assert!(outcome.asked && !outcome.patch.is_empty() && !outcome.warnings.is_empty());
    }
}

#[test]
fn warnings_are_short_single_lines_without_secrets() {
    let long = "x".repeat(400);
    let mut odd = pod(&[("env", "{\"TOKEN\":\"s3cret\"}"), (long.as_str(), "1")]);
    odd["spec"]["containers"][0]["env"] =
        json!([{"name": "http_proxy", "value": "http://user:s3cret@p"}]);
    let outcome = answer(&odd);
    assert!(outcome.warnings().len() >= 2);
    let refused = rejected(&pod(&[("env", "{\"TOKEN\":[\"s3cret\"]}")]));
    for text in outcome.warnings().iter().chain([&refused.message]) {
        assert!(!text.contains("s3cret") && !text.contains('\n'), "{text}");
    }
    assert!(outcome.warnings().iter().all(|w| w.chars().count() <= 120));
}

#[test]
fn jobs_get_a_sidecar_only_where_it_ends_with_them() {
    let mut of_job = pod(&[]);
    of_job["metadata"]["ownerReferences"] =
        json!([{"kind": "Job", "name": "import", "controller": true}]);
    let mut once = pod(&[]);
    once["spec"]["restartPolicy"] = json!("OnFailure");
    for mut pod in [of_job, once] {
        assert!(injected_by(&pod, &Policy::builtin()).1.summary.native);
        let outcome = skipped(&pod, &plain());
        assert_eq!(outcome.reason, Reason::JobWithoutNative);
        assert!(outcome.message.contains("would hang"), "{}", outcome.message);
        pod["metadata"]["annotations"]["sidecar.mesher.io/nativeSidecar"] = json!("true");
        assert!(injected_by(&pod, &plain()).1.summary.native);
        pod["metadata"]["annotations"]["sidecar.mesher.io/nativeSidecar"] = json!("false");
        assert_eq!(skipped(&pod, &Policy::builtin()).reason, Reason::JobWithoutNative);
    }
}

#[test]
fn names_and_ports_of_ours_are_respected_when_taken() {
    for (what, spec) in [
        ("container", json!({"initContainers": [{"name": "sidecar-mesher", "image": "x"}]})),
        ("container", json!({"ephemeralContainers": [{"name": "sidecar-mesher"}]})),
        ("volume", json!({"volumes": [{"name": "mesher-conf", "emptyDir": {}}]})),
        ("port", json!({"containers": [{"name": "app", "ports": [{"containerPort": 30101}]}]})),
        (
            "port",
            json!({"containers": [{"name": "app", "ports": [{"containerPort": 1, "name": "mesher-grpc"}]}]}),
        ),
    ] {
        let mut pod = pod(&[]);
        pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let outcome = skipped(&pod, &Policy::builtin());
        assert_eq!(outcome.reason, Reason::NameTaken, "{spec}");
        assert!(outcome.message.contains(what), "{}", outcome.message);
    }
    // UDP on the same number is no clash.
    let mut pod = pod(&[]);
    pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 30101, "protocol": "UDP"}]);
    assert!(matches!(answer(&pod), Outcome::Injected(_)));
}

#[test]
fn the_command_line_injects_what_it_is_given() {
    let policy = Policy { unannotated: Unannotated::Inject, ..Policy::builtin() };
    let bare = json!({"spec": {"containers": [{"name": "app", "image": "a"}]}});
    let (result, _) = injected_by(&bare, &policy);
    let mut back = result.clone();
    injector::uninject(&result).unwrap().patch.apply(&mut back).unwrap();
    assert_eq!(back, bare, "even the absent metadata");
    assert_eq!(skipped(&pod(&[("inject", "no")]), &policy).reason, Reason::OptedOut);
}

#[test]
fn another_template_leaves_or_renews_the_sidecar() {
    let (done, _) = injected_by(&pod(&[]), &Policy::builtin());
    let mut newer = Policy::builtin();
    newer.sidecar.image = "mesher:9".into();
    assert!(injector::is_stale(&done, &newer) && !injector::is_stale(&done, &Policy::builtin()));
    assert_eq!(skipped(&done, &newer).reason, Reason::AlreadyInjected, "the webhook leaves it");
    newer.renew = true;
    let (renewed, _) = injected_by(&done, &newer);
    assert_eq!(renewed, injected_by(&pod(&[]), &newer).0, "as if injected for the first time");
}
