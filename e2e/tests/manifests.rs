//! What `kubectl apply -k manifests/base` puts into a cluster: the rules R27 to R30 for the webhook
//! configuration, and what else an operator would look for.

use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use e2e::installation::{ENABLED, NAME, PATIENCE, WEBHOOK, checkout};
use e2e::kubectl::{Kubectl, eventually};
use serde_json::{Value, json};
use testbed::{Cluster, ClusterOptions};

/// A cluster with the base applied twice, and what the two runs printed.
struct Applied {
    kubectl: Kubectl<'static>,
    first: String,
    second: String,
    warnings: String,
}

fn applied() -> Result<&'static Applied> {
    static APPLIED: OnceLock<Result<Applied, String>> = OnceLock::new();
    let apply = || -> Result<Applied> {
        let kubectl = Kubectl(Cluster::shared()?);
        let line = format!("apply -k {}", checkout("manifests/base").display());
        let first = kubectl.run(&line)?;
        let second = kubectl.run(&line)?;
        let warnings = first.stderr + &second.stderr;
        Ok(Applied { kubectl, first: first.stdout, second: second.stdout, warnings })
    };
    APPLIED
        .get_or_init(|| apply().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|error| anyhow!("{error}"))
}

fn objects(folder: &str) -> Result<Vec<Value>> {
    e2e::manifests::objects(Kubectl(Cluster::shared()?), folder)
}

fn object(folder: &str, kind: &str) -> Result<Value> {
    e2e::manifests::object(Kubectl(Cluster::shared()?), folder, kind)
}

fn webhook() -> Result<Value> {
    Ok(object("manifests/base", "MutatingWebhookConfiguration")?["webhooks"][0].clone())
}

fn has(list: &Value, wanted: &Value) -> bool {
    list.as_array().is_some_and(|items| items.contains(wanted))
}

/// B41: the original's install script could not be run twice.
#[test]
fn applying_the_base_again_changes_nothing() -> Result<()> {
    let applied = applied()?;
    assert!(applied.first.lines().all(|line| line.ends_with(" created")), "{}", applied.first);
    assert!(applied.second.lines().all(|line| line.ends_with(" unchanged")), "{}", applied.second);
    assert_eq!(applied.first.lines().count(), applied.second.lines().count());
    assert_eq!(applied.warnings, "", "nothing is deprecated or unknown");
    Ok(())
}

/// B42: the original ran `:latest` of everything, one replica, as root on port 443.
#[test]
fn no_image_floats() -> Result<()> {
    let deployment = object("manifests/base", "Deployment")?;
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, &json!(format!("sidecar-injector:{}", env!("CARGO_PKG_VERSION"))));
    Ok(())
}

/// B38, B42: logs go to standard output, nothing is written to the root file system.
#[test]
fn the_injectors_pod_is_admitted_to_its_restricted_namespace() -> Result<()> {
    let kubectl = applied()?.kubectl;
    let namespace = kubectl.get(&format!("namespace {NAME}"))?;
    let labels = &namespace["metadata"]["labels"];
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    let pod = eventually("the Deployment has its pod", PATIENCE, || {
        let pods = kubectl.get(&format!("pods -n {NAME} -l app.kubernetes.io/name={NAME}"))?;
        Ok(pods["items"].get(0).cloned())
    })?;
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(pod["spec"]["serviceAccountName"], NAME);
    for resource in ["requests", "limits"] {
        assert!(container["resources"][resource]["memory"].is_string(), "{container}");
    }
    // 5 s of drain.delay and 15 s of drain.deadline.
    let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().context("no grace")?;
    assert!(grace > 20, "{grace}");
    Ok(())
}

/// B14: the original's probes looked at a file that was never removed. B27: its configuration was
/// mounted over what its image had there.
#[test]
fn probes_and_service_lead_to_ports_that_exist() -> Result<()> {
    let deployment = object("manifests/base", "Deployment")?;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let port = |name: &Value| {
        let ports = container["ports"].as_array().into_iter().flatten();
        ports.filter(|port| &port["name"] == name).map(|port| port["containerPort"].clone()).next()
    };
    let service = object("manifests/base", "Service")?;
    let exposed = &service["spec"]["ports"][0];
    assert_eq!(exposed["port"], webhook()?["clientConfig"]["service"]["port"]);
    assert_eq!(port(&exposed["targetPort"]), Some(json!(9443)));
    for (probe, path) in [("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")] {
        let get = &container[probe]["httpGet"];
        assert_eq!((port(&get["port"]), &get["path"]), (Some(json!(9090)), &json!(path)));
    }
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    for (key, value) in service["spec"]["selector"].as_object().context("no selector")? {
        assert_eq!(&labels[key], value);
    }
    Ok(())
}

/// Exactly what the ServiceAccount may do beyond what every ServiceAccount may.
/// B39: the original might create and update ConfigMaps and namespaces of the whole cluster.
#[test]
fn the_service_account_may_do_this_and_nothing_else() -> Result<()> {
    let kubectl = applied()?.kubectl;
    let rules = |account: &str| -> Result<Vec<Value>> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": NAME},
        });
        let answer = kubectl.run_with(
            &format!(
                "create --raw /apis/authorization.k8s.io/v1/selfsubjectrulesreviews -f - \
                 --as=system:serviceaccount:{NAME}:{account} \
                 --as-group=system:serviceaccounts --as-group=system:serviceaccounts:{NAME} \
                 --as-group=system:authenticated"
            ),
            &review.to_string(),
        )?;
        let rules = answer.json()?["status"]["resourceRules"].clone();
        Ok(serde_json::from_value(rules)?)
    };
    let everybody = rules("default")?;
    let own = eventually("RBAC knows the roles", PATIENCE, || {
        let mut own = rules(NAME)?;
        own.retain(|rule| !everybody.contains(rule));
        Ok((own.len() >= 5).then_some(own))
    })?;
    let expected = [
        json!({
            "verbs": ["get", "list", "watch", "patch"], "apiGroups": [""],
            "resources": ["secrets"], "resourceNames": ["sidecar-injector-certificates"],
        }),
        json!({"verbs": ["create"], "apiGroups": [""], "resources": ["secrets"]}),
        json!({
            "verbs": ["get", "list", "watch", "update"], "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"], "resourceNames": [NAME],
        }),
        json!({
            "verbs": ["create"], "apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
        }),
        json!({
            "verbs": ["get", "list", "watch", "patch"],
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["mutatingwebhookconfigurations"], "resourceNames": [NAME],
        }),
    ];
    assert_eq!(own.len(), expected.len(), "{own:?}");
    for rule in expected {
        assert!(own.contains(&rule), "{rule} is not among {own:?}");
    }
    // In other namespaces it may not even do that, and it takes no webhook away.
    for (line, allowed) in [
        ("create secrets -n sidecar-injector", true),
        ("patch mutatingwebhookconfigurations/sidecar-injector", true),
        ("update leases/sidecar-injector -n sidecar-injector", true),
        ("create leases -n sidecar-injector", true),
        ("create secrets -n default", false),
        ("update leases/another -n sidecar-injector", false),
        ("delete leases/sidecar-injector -n sidecar-injector", false),
        ("create leases -n default", false),
        ("get secrets/another -n sidecar-injector", false),
        ("get pods -A", false),
        ("create mutatingwebhookconfigurations", false),
        ("delete mutatingwebhookconfigurations/sidecar-injector", false),
        ("patch mutatingwebhookconfigurations/another", false),
    ] {
        let account = format!("system:serviceaccount:{NAME}:{NAME}");
        let answer = kubectl.try_run(&format!("auth can-i {line} --as={account}"))?;
        assert_eq!(answer.stdout.trim(), if allowed { "yes" } else { "no" }, "{line}");
    }
    Ok(())
}

/// B15: v1beta1 objects and a Deployment without selector. B22: no `sideEffects`, so that every
/// server-side dry run was refused.
#[test]
fn r27_what_v1_requires_is_there() -> Result<()> {
    let webhook = webhook()?;
    assert_eq!(webhook["name"], WEBHOOK);
    assert!(WEBHOOK.split('.').count() >= 3);
    assert_eq!(webhook["sideEffects"], "None");
    assert_eq!(webhook["admissionReviewVersions"], json!(["v1", "v1beta1"]));
    assert_eq!(webhook["timeoutSeconds"], 5);
    let client = webhook["clientConfig"].as_object().context("no clientConfig")?;
    assert_eq!(client.keys().collect::<Vec<_>>(), ["service"], "either service or url");
    assert_eq!(client["service"]["path"], "/mutate");
    // And the API server took all of it.
    let live = applied()?.kubectl.get(&format!("mutatingwebhookconfigurations {NAME}"))?;
    for (key, value) in webhook.as_object().context("no webhook")? {
        assert_eq!(&live["webhooks"][0][key], value, "{key}");
    }
    Ok(())
}

/// B43: neither failure policy nor timeout nor object selector.
#[test]
fn r28_what_has_a_dangerous_default_is_said() -> Result<()> {
    let webhook = webhook()?;
    assert_eq!(webhook["failurePolicy"], "Ignore");
    assert_eq!(webhook["matchPolicy"], "Equivalent");
    assert_eq!(webhook["reinvocationPolicy"], "IfNeeded");
    assert_eq!(
        webhook["rules"],
        json!([{
            "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
            "resources": ["pods"], "scope": "Namespaced",
        }])
    );
    Ok(())
}

#[test]
fn r29_the_clusters_own_namespaces_and_pods_are_left_alone() -> Result<()> {
    let webhook = webhook()?;
    assert_eq!(webhook["namespaceSelector"]["matchLabels"], json!({"sidecar-injector": "enabled"}));
    let by_name = &webhook["namespaceSelector"]["matchExpressions"][0];
    assert_eq!(
        (&by_name["key"], &by_name["operator"]),
        (&json!("kubernetes.io/metadata.name"), &json!("NotIn"))
    );
    for namespace in ["kube-system", "kube-public", "kube-node-lease", NAME] {
        assert!(has(&by_name["values"], &json!(namespace)), "{namespace}");
    }
    let pods =
        object("manifests/base", "Deployment")?["spec"]["template"]["metadata"]["labels"].clone();
    let objects = &webhook["objectSelector"]["matchExpressions"];
    let excluded = objects.as_array().into_iter().flatten().any(|expression| {
        let label = &pods[expression["key"].as_str().unwrap_or_default()];
        expression["operator"] == "NotIn" && has(&expression["values"], label)
    });
    assert!(excluded, "{objects}");
    Ok(())
}

/// With Fail and no injector anywhere, its own pod must come back, or nothing ever does.
#[test]
fn r29_under_fail_the_injector_can_still_start() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions { controller_manager: true })?;
    let kubectl = Kubectl(&cluster);
    kubectl.run(&format!("apply -k {}", checkout("manifests/base").display()))?;
    let fail = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]);
    kubectl.run(&format!("patch mutatingwebhookconfiguration {NAME} --type=json -p {fail}"))?;
    // A label on the namespace must not change that.
    kubectl.run(&format!("label namespace {NAME} {ENABLED}"))?;

    let enabled = cluster.namespace("strict")?;
    kubectl.run(&format!("label namespace {enabled} {ENABLED}"))?;
    let pods = format!("/api/v1/namespaces/{enabled}/pods?dryRun=All");
    let asking = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "app", "annotations": {"sidecar.mesher.io/inject": "yes"}},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    });
    let refusal = eventually("Fail is in force", PATIENCE, || {
        let answer = kubectl.post(&pods, &asking)?;
        Ok((!answer.success).then_some(answer.stderr))
    })?;
    assert!(refusal.contains(WEBHOOK), "{refusal}");

    let list = format!("pods -n {NAME} -l app.kubernetes.io/name={NAME}");
    let the_pod = |but: &str| {
        eventually("the injector's pod is there", PATIENCE, || {
            let pods = kubectl.get(&list)?;
            let name = pods["items"][0]["metadata"]["name"].as_str();
            Ok(name.filter(|name| *name != but).map(String::from))
        })
    };
    let first = the_pod("")?;
    kubectl.run(&format!("delete pod {first} -n {NAME} --now"))?;
    let second = the_pod(&first)?;
    ensure!(first != second);
    Ok(())
}

#[test]
fn r30_mirror_pods_never_reach_the_injector() -> Result<()> {
    let conditions = webhook()?["matchConditions"].clone();
    let names: Vec<_> =
        conditions.as_array().into_iter().flatten().map(|condition| &condition["name"]).collect();
    // What they mean to the API server, `match_conditions.rs` shows.
    assert!(names.contains(&&json!("is-not-a-mirror-pod")), "{names:?}");
    assert!(names.len() <= 64);
    Ok(())
}

#[test]
fn r33_no_manifest_says_ca_bundle() -> Result<()> {
    for folder in ["manifests/base", "manifests/overlays/local"] {
        for object in objects(folder)? {
            assert!(!object.to_string().contains("caBundle"), "{folder}: {object}");
        }
    }
    Ok(())
}

#[test]
fn the_overlay_local_is_the_base_but_for_where_the_injector_runs() -> Result<()> {
    let mut expected = objects("manifests/base")?;
    expected.retain(|object| object["kind"] != "Deployment" && object["kind"] != "Service");
    for object in &mut expected {
        if object["kind"] == "MutatingWebhookConfiguration" {
            object["webhooks"][0]["clientConfig"] = json!({"url": "https://127.0.0.1:9443/mutate"});
        }
    }
    assert_eq!(objects("manifests/overlays/local")?, expected);
    Ok(())
}
