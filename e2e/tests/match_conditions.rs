//! R31 and R32: which pods the API server shows to the injector. The shipped selectors and
//! matchConditions, evaluated by the real API server, beside what the real injector decides of the
//! same pods when nothing keeps them from it.
//!
//! The agreement: where a condition keeps a pod away, the injector would have left that pod alone,
//! unpatched. What the injector must see to say something about it (a typo, hostNetwork) reaches
//! it. Nothing is created: dry runs go the same way, up to the store.

use anyhow::{Context, Result, ensure};
use e2e::audit::creation;
use e2e::installation::{ENABLED, Installation, NAME, PATIENCE, enabled_namespace};
use e2e::kubectl::{Kubectl, eventually};
use serde_json::{Value, json};
use testbed::Cluster;

/// What a condition that says no implies for the injector's own decision.
const KEPT_AWAY: [&str; 5] =
    ["not_pod_create", "ignored_namespace", "mirror_pod", "opted_out", "not_requested"];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Sieve {
    /// The injector is called and decides so.
    Passes(&'static str),
    /// A condition keeps the pod away; the injector would decide so.
    Condition(&'static str),
    /// A selector keeps the pod away. Labels are the API server's business: only where the
    /// injector has a rule of its own (its namespaces) is there a word.
    Selector(Option<&'static str>),
}
use Sieve::{Condition, Passes, Selector};

struct Row {
    about: &'static str,
    /// `None`: an enabled namespace made for this test.
    namespace: Option<&'static str>,
    metadata: Value,
    spec: Value,
    sieve: Sieve,
}

fn row(about: &'static str, sieve: Sieve, metadata: Value) -> Row {
    Row { about, namespace: None, metadata, spec: json!({}), sieve }
}

impl Row {
    fn spec(mut self, spec: Value) -> Self {
        self.spec = spec;
        self
    }

    fn namespace(mut self, name: &'static str) -> Self {
        self.namespace = Some(name);
        self
    }

    fn pod(&self, name: &str) -> Value {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": self.metadata,
            "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        });
        pod["metadata"]["name"] = json!(name);
        for (key, value) in self.spec.as_object().into_iter().flatten() {
            pod["spec"][key] = value.clone();
        }
        pod
    }
}

/// Metadata with the annotation `sidecar.mesher.io/inject: value`.
fn inject(value: &str) -> Value {
    json!({"annotations": {"sidecar.mesher.io/inject": value}})
}

fn table() -> Vec<Row> {
    let mirror = |value: &str| {
        json!({"annotations": {
            "sidecar.mesher.io/inject": value, "kubernetes.io/config.mirror": "5f3",
        }})
    };
    let on_a_node = json!({"nodeName": "node-1"});
    vec![
        // Nothing of ours: the injector is not bothered.
        row("no annotations, no labels", Condition("not_requested"), json!({})),
        row("annotations: null", Condition("not_requested"), json!({"annotations": null})),
        row("annotations: {}", Condition("not_requested"), json!({"annotations": {}})),
        row("labels: null", Condition("not_requested"), json!({"labels": null})),
        row(
            "annotations of others",
            Condition("not_requested"),
            json!({"annotations": {"prometheus.io/scrape": "true", "inject": "yes"}}),
        ),
        row(
            "keys that only resemble ours",
            Condition("not_requested"),
            json!({"annotations": {
                "x.sidecar.mesher.io/inject": "yes", "sidecar.mesher.iox/inject": "yes",
                "sidecar-mesher.io/inject": "yes",
            }}),
        ),
        row(
            "our prefix in capitals: keys are case-sensitive",
            Condition("not_requested"),
            json!({"annotations": {"Sidecar.Mesher.io/inject": "yes"}}),
        ),
        row("hostNetwork, and nothing asked", Condition("not_requested"), json!({}))
            .spec(json!({"hostNetwork": true})),
        // A clear no.
        row("n", Condition("opted_out"), inject("n")),
        row("no", Condition("opted_out"), inject("no")),
        row("NO", Condition("opted_out"), inject("NO")),
        row("false", Condition("opted_out"), inject("false")),
        row("False", Condition("opted_out"), inject("False")),
        row("Off", Condition("opted_out"), inject("Off")),
        row("disabled", Condition("opted_out"), inject("disabled")),
        row(
            "no, though other annotations of ours are wrong",
            Condition("opted_out"),
            json!({"annotations": {
                "sidecar.mesher.io/inject": "no", "sidecar.mesher.io/discoveryType": "eureka",
            }}),
        ),
        // Mirror pods. NodeRestriction lets kubelets create no others; an administrator may make
        // one by hand, if it names its node.
        row("mirror pod that asks", Condition("mirror_pod"), mirror("yes")).spec(on_a_node.clone()),
        row("mirror pod with a typo", Condition("mirror_pod"), mirror("yse")).spec(on_a_node),
        // Yes, in all its spellings.
        row("y", Passes("injected"), inject("y")),
        row("Y", Passes("injected"), inject("Y")),
        row("yes", Passes("injected"), inject("yes")),
        row("Yes", Passes("injected"), inject("Yes")),
        row("true", Passes("injected"), inject("true")),
        row("on", Passes("injected"), inject("on")),
        row("Enabled", Passes("injected"), inject("Enabled")),
        row(
            "yes, with metadata that is not there",
            Passes("injected"),
            json!({"annotations": {"sidecar.mesher.io/inject": "yes"}, "labels": null}),
        ),
        // Neither yes nor no: somebody has to say so.
        row("empty", Passes("not_requested"), inject("")),
        row(
            "null, which the API server reads as empty",
            Passes("not_requested"),
            json!({"annotations": {"sidecar.mesher.io/inject": null}}),
        ),
        row("yse", Passes("invalid_inject"), inject("yse")),
        row("nope", Passes("invalid_inject"), inject("nope")),
        row("a no in another alphabet", Passes("invalid_inject"), inject("ｎｏ")),
        row(
            "a mistyped key",
            Passes("not_requested"),
            json!({"annotations": {"sidecar.mesher.io/injct": "yes"}}),
        ),
        row(
            "settings, but no question",
            Passes("not_requested"),
            json!({"annotations": {"sidecar.mesher.io/discoveryType": "sc"}}),
        ),
        row(
            "a status from nowhere",
            Passes("not_requested"),
            json!({"annotations": {"sidecar.mesher.io/status": "injected"}}),
        ),
        // Asked in vain: told why.
        row("hostNetwork that asks", Passes("host_network"), inject("yes"))
            .spec(json!({"hostNetwork": true})),
        row("Windows that asks", Passes("windows"), inject("yes"))
            .spec(json!({"os": {"name": "windows"}})),
        row(
            "an unknown discoveryType",
            Passes("invalid_annotation"),
            json!({"annotations": {
                "sidecar.mesher.io/inject": "yes", "sidecar.mesher.io/discoveryType": "eureka",
            }}),
        ),
        // Selectors.
        row("a namespace without the label", Selector(None), inject("yes")).namespace("default"),
        row("kube-system, labelled", Selector(Some("ignored_namespace")), inject("yes"))
            .namespace("kube-system"),
        row(
            "the injector's namespace, labelled",
            Selector(Some("ignored_namespace")),
            inject("yes"),
        )
        .namespace(NAME)
        .spec(restricted()),
        row(
            "a label that opts out",
            Selector(None),
            json!({
                "annotations": {"sidecar.mesher.io/inject": "yes"},
                "labels": {"sidecar.mesher.io/inject": "false"},
            }),
        ),
        row(
            "a pod of the injector",
            Selector(None),
            json!({
                "annotations": {"sidecar.mesher.io/inject": "yes"},
                "labels": {"app.kubernetes.io/name": "sidecar-injector"},
            }),
        ),
    ]
}

/// What Pod Security `restricted`, in force in the injector's namespace, asks of a pod.
fn restricted() -> Value {
    json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "app", "image": "app:1", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
        }}],
    })
}

#[test]
fn r31_r32_the_shipped_conditions_and_the_injector_agree() -> Result<()> {
    let cluster = Cluster::shared()?;
    let kubectl = Kubectl(cluster);
    let _injector = Installation::start(cluster, &testbed::binary(NAME)?)?;
    let enabled = enabled_namespace(cluster, "conditions")?;
    for namespace in ["kube-system", NAME] {
        kubectl.run(&format!("label namespace {namespace} {ENABLED}"))?;
        wait_for_account(kubectl, namespace)?;
    }
    let mut wrong = Vec::new();

    for (number, row) in table().iter().enumerate() {
        let seen = send(cluster, row, &enabled, &format!("sieved-{number}"))?;
        let expected = match row.sieve {
            Passes(word) => Some(word),
            Condition(_) | Selector(_) => None,
        };
        if seen.calls.min(1) != usize::from(expected.is_some())
            || seen.decision.as_deref() != expected
            || seen.failed_open
        {
            wrong.push(format!("{}: {:?}, but {seen:?}", row.about, row.sieve));
        }
    }

    // The same pods once more, with nothing between them and the injector.
    let open = json!([
        {"op": "remove", "path": "/webhooks/0/matchConditions"},
        {"op": "replace", "path": "/webhooks/0/namespaceSelector",
         "value": {"matchLabels": {"sidecar-injector": "enabled"}}},
        {"op": "replace", "path": "/webhooks/0/objectSelector", "value": {}},
    ]);
    // Without blanks, as the line is split at them.
    kubectl.run(&format!("patch mutatingwebhookconfiguration {NAME} --type=json -p {open}"))?;
    let mut tries = 0;
    eventually("the API server has taken the open configuration over", PATIENCE, || {
        tries += 1;
        let bare = row("", Passes(""), json!({}));
        let seen = send(cluster, &bare, &enabled, &format!("open-{tries}"))?;
        Ok((seen.calls > 0).then_some(()))
    })?;
    for (number, row) in table().iter().enumerate() {
        let (Condition(word) | Selector(Some(word))) = row.sieve else {
            continue;
        };
        ensure!(KEPT_AWAY.contains(&word), "{}: {word} must reach the injector", row.about);
        let seen = send(cluster, row, &enabled, &format!("unsieved-{number}"))?;
        if seen.decision.as_deref() != Some(word) || seen.mutated || seen.code != 201 {
            wrong.push(format!("{}, called all the same: {word}, but {seen:?}", row.about));
        }
    }
    ensure!(wrong.is_empty(), "{} rows are wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

fn send(cluster: &Cluster, row: &Row, enabled: &str, name: &str) -> Result<e2e::audit::Creation> {
    let namespace = row.namespace.unwrap_or(enabled);
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    // A refusal is an answer too; whether the pod got that far, the audit log says.
    let answer = Kubectl(cluster).post(&path, &row.pod(name))?;
    creation(cluster, namespace, name)
        .with_context(|| format!("{}: {}{}", row.about, answer.stdout, answer.stderr))
}

/// No pod is admitted before its namespace has a ServiceAccount.
fn wait_for_account(kubectl: Kubectl<'_>, namespace: &str) -> Result<()> {
    kubectl.run(&format!(
        "wait --for=create serviceaccount/default --timeout=60s --namespace {namespace}"
    ))?;
    Ok(())
}
