//! What is the user's stays the user's, and what is there already is not put there again.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::audit::creation;
use e2e::installation::NAME;
use e2e::pod::{Pod, SIDECAR, asking, items, pods};
use serde_json::{Value, json};

use crate::{create, enabled, example};

/// The same pod, once where the injector sees it and once where it does not: the difference is what
/// the injector did.
#[test]
fn what_the_user_wrote_survives() -> Result<()> {
    let (kubectl, enabled) = enabled("survives")?;
    let plain = kubectl.0.namespace("plain")?;
    let mut pod = asking("everything");
    pod["metadata"]["annotations"] = json!({
        "sidecar.mesher.io/inject": "yes",
        "example.com/slash": "~0~1/",
        "checksum/config": "7e0b",
        "prometheus.io/scrape": "false",
        "note": "line one\nline two \"quoted\" \u{1F310}",
    });
    pod["metadata"]["labels"] = json!({"app": "everything", "version": "1.2.3", "a/b": "c"});
    pod["spec"] = json!({
        // More than a double holds exactly.
        "terminationGracePeriodSeconds": 9_007_199_254_740_993_i64,
        "tolerations": [{
            "key": "k", "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": 9_007_199_254_740_993_i64,
        }],
        "securityContext": {"runAsUser": 2_147_483_647, "fsGroup": 0},
        "initContainers": [{"name": "before", "image": "before:1"}],
        "containers": [
            {
                "name": "app", "image": "app:1", "args": ["--", ""],
                "env": [{"name": "EMPTY", "value": ""}, {"name": "LAST", "value": "$(EMPTY)"}],
                "resources": {"limits": {"memory": "1e9", "cpu": "0.1"}},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            },
            {"name": "own-proxy", "image": "b:1", "env": [{"name": "HTTP_PROXY", "value": "x"}]},
        ],
        "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}],
        // The API server drops what it does not know; with or without us, it takes the pod.
        "fieldOfTheFuture": {"a": [1, 2, 3]},
    });
    let send = |namespace: &str| -> Result<Pod> {
        let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldValidation=Ignore");
        Ok(Pod(kubectl.post(&path, &pod)?.succeeded()?.json()?))
    };
    let before = send(&plain)?;
    let after = send(&enabled)?;
    after.sidecar()?;

    let (mut taken_out, mut expected) = (after.clone(), before.clone());
    take_out_what_is_ours(&mut taken_out)?;
    for pod in [&mut taken_out, &mut expected] {
        let metadata = pod.0["metadata"].as_object_mut().context("no metadata")?;
        for assigned in ["uid", "creationTimestamp", "namespace", "managedFields"] {
            metadata.remove(assigned);
        }
        // The token volume of the ServiceAccount has a random name.
        let text = pod.0.to_string();
        let random = text.find("kube-api-access-").map(|at| text[at..at + 21].to_owned());
        let text = random.map_or(text.clone(), |name| text.replace(&name, "kube-api-access"));
        pod.0 = serde_json::from_str(&text)?;
    }
    assert_eq!(taken_out, expected);
    assert_eq!(after.annotation("prometheus.io/scrape"), Some("false"));
    assert_eq!(after.0["spec"]["terminationGracePeriodSeconds"].to_string(), "9007199254740993");
    let own_proxy = after.container("own-proxy").context("lost")?;
    assert_eq!(items(&own_proxy["env"]).len(), 1, "who names a proxy keeps it, and gets no other");
    Ok(())
}

/// By the documentation, not by the record: the record is part of what is tested.
fn take_out_what_is_ours(pod: &mut Pod) -> Result<()> {
    let metadata = &mut pod.0["metadata"];
    let annotations = metadata["annotations"].as_object_mut().context("no annotations")?;
    for key in [
        "sidecar.mesher.io/status",
        "sidecar.mesher.io/injected",
        "kubectl.kubernetes.io/default-container",
    ] {
        annotations.remove(key).with_context(|| format!("{key} is not there"))?;
    }
    let spec = &mut pod.0["spec"];
    let named = |each: &Value, start: &str| {
        each["name"].as_str().is_some_and(|name| name.starts_with(start))
    };
    spec["initContainers"].as_array_mut().context("none")?.retain(|each| !named(each, SIDECAR));
    spec["volumes"].as_array_mut().context("none")?.retain(|each| !named(each, "mesher-"));
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            let Some(variables) = container["env"].as_array_mut() else {
                continue;
            };
            variables.retain(|variable| {
                let proxy = variable["value"] == "http://127.0.0.1:30101"
                    || variable["value"] == "http://127.0.0.1:40101"
                    || variable["value"].as_str().is_some_and(|v| v.starts_with("localhost,"));
                !proxy
            });
            if container["env"] == json!([]) {
                container.as_object_mut().context("no object")?.shift_remove("env");
            }
        }
    }
    Ok(())
}

#[test]
fn a_server_side_dry_run_shows_the_sidecar_and_creates_nothing() -> Result<()> {
    let (kubectl, namespace) = enabled("dry-run")?;
    let answer = kubectl.run_with(
        &format!("create -n {namespace} --dry-run=server -o json -f -"),
        &asking("dry").to_string(),
    )?;
    Pod(answer.json()?).sidecar()?;
    let examples = example("with-service-ports/sc/");
    kubectl.run(&format!("apply --dry-run=server -f {examples} -n {namespace}"))?;
    for kind in ["pods", "deployments"] {
        let list = kubectl.get(&format!("{kind} -n {namespace}"))?;
        assert!(items(&list["items"]).is_empty(), "{kind}");
    }
    Ok(())
}

#[test]
fn a_copied_pod_has_one_sidecar() -> Result<()> {
    let (kubectl, namespace) = enabled("copied")?;
    let (original, _) = create(kubectl, &namespace, &asking("original"))?;
    let sidecar = original.sidecar()?;
    // kubectl get pod -o json | kubectl create -f -, under a new name; the API server itself wants
    // no resourceVersion.
    let mut copy = kubectl.get(&format!("pod original -n {namespace}"))?;
    let metadata = copy["metadata"].as_object_mut().context("no metadata")?;
    metadata.insert("name".into(), json!("copy"));
    metadata.remove("resourceVersion");
    let (copy, warnings) = create(kubectl, &namespace, &copy)?;
    assert_eq!(copy.sidecar()?, sidecar);
    assert_eq!(copy.volumes(), original.volumes());
    assert_eq!(warnings, "");
    let seen = creation(kubectl.0, &namespace, "copy")?;
    assert_eq!((seen.decision.as_deref(), seen.mutated), (Some("already_injected"), false));
    Ok(())
}

/// Both ways to a sidecar on one object: what the command line injected, the webhook leaves.
#[test]
fn a_manifest_injected_by_the_command_line_is_left_as_it_is() -> Result<()> {
    let (kubectl, namespace) = enabled("command-line")?;
    let output = Command::new(testbed::binary(NAME)?)
        .args(["inject", "--namespace", &namespace, "-f"])
        .arg(example("with-service-ports/sc/server.yaml"))
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let manifest = String::from_utf8(output.stdout)?;
    kubectl.run_with(&format!("create -n {namespace} -f -"), &manifest)?;
    let deployment = kubectl.get(&format!("deployment server -n {namespace}"))?;
    for pod in pods(kubectl, &namespace, "app=server", 2)? {
        pod.sidecar()?;
        // Generated names are not in the audit log; another decision would have left another record.
        let template = &deployment["spec"]["template"];
        assert_eq!(template["metadata"]["annotations"], pod.0["metadata"]["annotations"]);
        assert_eq!(template["spec"]["containers"][0]["env"], pod.containers()[0]["env"]);
    }
    Ok(())
}
