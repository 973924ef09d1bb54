//! The policy beside the injector: of every pod, evaluated by the real API server, it says what the
//! injector's own decision says.
//!
//! The injector is away and the webhook ignores that, so that the pods reach the policy as their
//! authors wrote them. Refused is what the injector would have given a sidecar, or refused; what it
//! would have left without one is admitted, and so is everything that it has dealt with.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use e2e::installation::{ENABLED, NAME, PATIENCE, checkout, enabled_namespace};
use e2e::kubectl::{Kubectl, eventually};
use e2e::pod::asking;
use hyper::Request;
use injector::{Outcome, Policy, Reason, RequestInfo, inject};
use kube::Client;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};
use testbed::{Cluster, write_kustomization};
use tokio::runtime::Runtime;

use crate::OVERLAY;
use crate::pods::pods;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Admitted,
    Refused,
}
use Verdict::{Admitted, Refused};

/// A cluster with the overlay applied and no injector behind its webhook.
struct Strict {
    kubectl: Kubectl<'static>,
    client: Client,
    runtime: Runtime,
    namespace: String,
}

impl Strict {
    fn new() -> Result<Self> {
        let cluster = Cluster::shared()?;
        let kubectl = Kubectl(cluster);
        let away = json!([{"patch": json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": NAME},
            "webhooks": [{
                "name": "sidecar-injector.mesher.io", "failurePolicy": "Ignore",
                "clientConfig": {"service": null, "url": "https://127.0.0.1:1/mutate"},
            }],
        }).to_string()}]);
        let folder = cluster.folder().join("strict");
        let overlay = write_kustomization(&folder, &checkout(OVERLAY), &away.to_string())?;
        kubectl.run(&format!("apply -k {}", overlay.display()))?;
        let namespace = enabled_namespace(cluster, "verdicts")?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let connecting = injector::kubernetes::connect(Some(cluster.kubeconfig()));
        let client = runtime.block_on(connecting)?;
        let strict = Self { kubectl, client, runtime, namespace };
        // The controller manager checks the types of what the expressions read.
        let status = eventually("the policy's expressions are checked", PATIENCE, || {
            let policy = kubectl.get(&format!("validatingadmissionpolicy {NAME}"))?;
            let checked =
                policy["status"]["observedGeneration"] == policy["metadata"]["generation"];
            Ok(checked.then(|| policy["status"].clone()))
        })?;
        let warnings = &status["typeChecking"]["expressionWarnings"];
        ensure!(warnings.is_null(), "{warnings:#}");
        eventually("the policy is in force", PATIENCE, || {
            Ok((strict.verdict(&asking("first"))? == Refused).then_some(()))
        })?;
        Ok(strict)
    }

    /// What the API server says of the creation of `pod`.
    fn verdict(&self, pod: &Value) -> Result<Verdict> {
        self.verdict_in(&self.namespace, pod)
    }

    fn verdict_in(&self, namespace: &str, pod: &Value) -> Result<Verdict> {
        let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
        let request = Request::post(path)
            .header("Content-Type", "application/json")
            .body(pod.to_string().into_bytes())?;
        match self.runtime.block_on(self.client.request_text(request)) {
            Ok(_) => Ok(Admitted),
            Err(kube::Error::Api(status))
                if status.message.contains("ValidatingAdmissionPolicy 'sidecar-injector'") =>
            {
                ensure!(status.code == 403, "{status:?}");
                for advice in
                    ["explain -f", "sidecar-injector check", "sidecar.mesher.io/inject", "\"no\""]
                {
                    ensure!(status.message.contains(advice), "{advice}: {}", status.message);
                }
                Ok(Refused)
            }
            Err(error) => bail!("{error}: {pod:#}"),
        }
    }
}

fn request() -> RequestInfo {
    RequestInfo::pod_create("verdicts")
}

/// What the injector's decision calls for.
fn expected(pod: &Value, policy: &Policy) -> Verdict {
    let label = |key: &str| pod["metadata"]["labels"][key].as_str().unwrap_or_default();
    if label("sidecar.mesher.io/inject") == "no" || label("app.kubernetes.io/name") == NAME {
        return Admitted;
    }
    match inject(pod, &request(), policy) {
        // A sidecar that is there is one, though it may lack something.
        Outcome::Injected(injected) if injected.summary.repaired => Admitted,
        Outcome::Injected(_) => Refused,
        Outcome::Skipped(_) => Admitted,
        // The injector says no more than that it cannot read the pod: what it would say, could it.
        Outcome::Rejected(_) => {
            let mut readable = pod.clone();
            let annotations = &mut readable["metadata"]["annotations"];
            annotations["sidecar.mesher.io/inject"] = json!("yes");
            annotations["sidecar.mesher.io/discoveryType"] = json!("");
            let native = &mut annotations["sidecar.mesher.io/nativeSidecar"];
            if native == "maybe" {
                // What nobody understands excuses from nothing.
                *native = json!("true");
            }
            expected(&readable, policy)
        }
    }
}

/// The pod as the injector leaves it.
fn outcome<'p>(pod: &Value, policy: &'p Policy) -> Result<(Value, Outcome<'p>)> {
    let outcome = inject(pod, &request(), policy);
    let mut result = pod.clone();
    outcome.patch().apply(&mut result)?;
    Ok((result, outcome))
}

/// What the injector wrote into another pod.
fn record() -> Result<String> {
    let (pod, _) = outcome(&asking("another"), &Policy::builtin())?;
    let record = &pod["metadata"]["annotations"]["sidecar.mesher.io/injected"];
    Ok(record.as_str().context("no record")?.to_owned())
}

/// Each reason code, by a pod that shows it.
fn rows() -> Vec<(Reason, Value)> {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut pod = asking("row");
        change(&mut pod);
        pod
    };
    let inject = |word: &'static str| {
        with(&move |pod| pod["metadata"]["annotations"]["sidecar.mesher.io/inject"] = json!(word))
    };
    let spec = |key: &'static str, value: Value| with(&|pod| pod["spec"][key] = value.clone());
    let ports = |port: Value| with(&|pod| pod["spec"]["containers"][0]["ports"] = json!([port]));
    let (whole, _) = outcome(&asking("row"), &Policy::builtin()).expect("our patch applies");
    let mut plain = asking("row");
    plain["metadata"]["annotations"]["sidecar.mesher.io/nativeSidecar"] = json!("false");
    let (plainly, _) = outcome(&plain, &Policy::builtin()).expect("our patch applies");
    plain["spec"]["restartPolicy"] = json!("OnFailure");
    vec![
        (
            Reason::MirrorPod,
            with(&|pod| {
                pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("5f3");
                pod["spec"]["nodeName"] = json!("node-1");
            }),
        ),
        (Reason::OptedOut, inject("Off")),
        (Reason::NotRequested, inject(" ")),
        (Reason::NotRequested, with(&|pod| pod["metadata"]["annotations"] = Value::Null)),
        (Reason::InvalidInject, inject("yse")),
        (Reason::HostNetwork, spec("hostNetwork", json!(true))),
        (Reason::Windows, spec("os", json!({"name": "windows"}))),
        (Reason::Windows, spec("nodeSelector", json!({"kubernetes.io/os": "windows"}))),
        (Reason::AlreadyInjected, whole),
        (Reason::AlreadyInjected, plainly),
        (
            Reason::NameTaken,
            spec("initContainers", json!([{"name": "sidecar-mesher", "image": "x"}])),
        ),
        (Reason::NameTaken, spec("volumes", json!([{"name": "mesher-podinfo", "emptyDir": {}}]))),
        (Reason::NameTaken, ports(json!({"containerPort": 40101}))),
        (Reason::NameTaken, ports(json!({"containerPort": 80, "name": "mesher-grpc"}))),
        (
            Reason::InvalidAnnotation,
            with(&|pod| {
                pod["metadata"]["annotations"]["sidecar.mesher.io/discoveryType"] = json!("eureka");
            }),
        ),
        (Reason::JobWithoutNative, plain),
    ]
}

/// Reasons that no pod shows by itself.
const ELSEWHERE: [Reason; 6] = [
    // The policy is about nothing else.
    Reason::NotPodCreate,
    // By the selectors: below.
    Reason::IgnoredNamespace,
    // `outage.rs`: refused, as these are accidents.
    Reason::TemplateError,
    Reason::PatchError,
    Reason::InternalError,
    // No answer: the API server refuses by `failurePolicy`.
    Reason::Overloaded,
];

#[test]
fn the_policy_refuses_what_the_injector_would_not_have_let_through() -> Result<()> {
    let strict = Strict::new()?;
    let policy = Policy::builtin();
    by_hand(&strict, &policy)?;
    not_trusted(&strict)?;
    selected(&strict)?;
    let mut seen = generated(&strict, &policy)?;

    // Where sidecars are plain, a Job that asks gets none.
    let mut job = asking("job");
    job["spec"]["restartPolicy"] = json!("Never");
    assert_eq!(strict.verdict(&job)?, Refused);
    let object = strict.kubectl.get(&format!("validatingadmissionpolicy {NAME}"))?;
    let variables = object["spec"]["variables"].as_array().context("no variables")?;
    let at = variables.iter().position(|v| v["name"] == "plainByDefault").context("it is gone")?;
    let change = json!([{"op": "replace", "path": format!("/spec/variables/{at}/expression"), "value": "true"}]);
    let line = format!("patch validatingadmissionpolicy {NAME} --type=json -p {change}");
    strict.kubectl.run(&line)?;
    eventually("the policy counts with plain sidecars", PATIENCE, || {
        Ok((strict.verdict(&job)? == Admitted).then_some(()))
    })?;
    seen.append(&mut generated(&strict, &Policy { native_by_default: false, ..policy })?);
    // Of both together: the first alone has few Jobs, and once in some hundred runs none.
    for word in ["injected", "host_network", "name_taken", "job_without_native", "not_requested"] {
        ensure!(seen.contains(word), "no pod was {word}: {seen:?}");
    }
    Ok(())
}

fn by_hand(strict: &Strict, policy: &Policy) -> Result<()> {
    let mut seen = BTreeSet::from(ELSEWHERE);
    for (reason, pod) in rows() {
        let (result, outcome) = outcome(&pod, policy)?;
        let found = match &outcome {
            Outcome::Skipped(skipped) => skipped.reason,
            Outcome::Rejected(rejected) => rejected.reason,
            Outcome::Injected(_) => bail!("{reason}: it has a sidecar now: {pod:#}"),
        };
        assert_eq!(found, reason);
        let refuses = matches!(outcome, Outcome::Rejected(_));
        let expected = if refuses { Refused } else { Admitted };
        assert_eq!(strict.verdict(&pod)?, expected, "{reason}: {pod:#}");
        // With `status: skipped:…` it is no other.
        assert_eq!(strict.verdict(&result)?, expected, "{reason}, marked: {result:#}");
        seen.insert(reason);
    }
    assert_eq!(seen, BTreeSet::from(Reason::ALL), "each reason has a pod, or is accounted for");
    Ok(())
}

/// Annotations say nothing that the containers do not bear out; a container of our name does.
fn not_trusted(strict: &Strict) -> Result<()> {
    let record = record()?;
    let forged = r#"{"template":"mesher","hash":"0","containers":["app"]}"#;
    for (key, value) in [
        ("status", "injected"),
        ("status", "skipped:host_network"),
        ("status", "skipped:job_without_native"),
        ("injected", record.as_str()),
        // The injector believes this one.
        ("injected", forged),
    ] {
        let mut pod = asking("copied");
        pod["metadata"]["annotations"][format!("sidecar.mesher.io/{key}")] = json!(value);
        assert_eq!(strict.verdict(&pod)?, Refused, "{key}: {value}");
        pod["spec"]["restartPolicy"] = json!("Never");
        assert_eq!(strict.verdict(&pod)?, Refused, "{key}: {value}, and it ends");
        pod["spec"]["volumes"] = json!([{"name": "mesher-conf", "emptyDir": {}}]);
        // The injector makes a whole sidecar of a volume that the record names.
        let expected = if value == record { Refused } else { Admitted };
        assert_eq!(strict.verdict(&pod)?, expected, "{key}: {value}, with a volume");
        let own = json!({"name": "sidecar-mesher", "image": "something-else:1"});
        pod["spec"]["containers"].as_array_mut().context("a list")?.push(own);
        assert_eq!(strict.verdict(&pod)?, Admitted, "{key}: {value}, with a container");
    }
    Ok(())
}

fn selected(strict: &Strict) -> Result<()> {
    let unlabelled = strict.kubectl.0.namespace("unlabelled")?;
    strict.kubectl.run(&format!("label namespace kube-system {ENABLED}"))?;
    let wait = "wait --for=create serviceaccount/default --timeout=60s -n kube-system";
    strict.kubectl.run(wait)?;
    let asking = asking("selected");
    for namespace in [unlabelled.as_str(), "kube-system"] {
        assert_eq!(strict.verdict_in(namespace, &asking)?, Admitted, "{namespace}");
    }
    let mut labelled = asking;
    for (key, value) in [("sidecar.mesher.io/inject", "false"), ("app.kubernetes.io/name", NAME)] {
        labelled["metadata"]["labels"] = json!({key: value});
        assert_eq!(strict.verdict(&labelled)?, Admitted, "{key}");
    }
    Ok(())
}

/// Pods in all combinations; returns what they were.
fn generated(strict: &Strict, policy: &Policy) -> Result<BTreeSet<String>> {
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    let seen = std::cell::RefCell::new(BTreeSet::new());
    let fail = |error: anyhow::Error| TestCaseError::fail(format!("{error:#}"));
    TestRunner::new(config).run(&pods(&record()?), |pod| {
        let verdict = strict.verdict(&pod).map_err(fail)?;
        let (result, outcome) = outcome(&pod, policy).map_err(fail)?;
        if verdict != expected(&pod, policy) {
            return Err(TestCaseError::fail(format!("{verdict:?}, but {outcome:?}: {pod:#}")));
        }
        let word = match &outcome {
            Outcome::Injected(_) => "injected",
            Outcome::Skipped(skipped) => skipped.reason.as_str(),
            Outcome::Rejected(rejected) => rejected.reason.as_str(),
        };
        seen.borrow_mut().insert(word.to_owned());
        let dealt_with = !matches!(outcome, Outcome::Rejected(_));
        if dealt_with && strict.verdict(&result).map_err(fail)? != Admitted {
            return Err(TestCaseError::fail(format!("refused after {outcome:?}: {result:#}")));
        }
        Ok(())
    })?;
    Ok(seen.into_inner())
}
