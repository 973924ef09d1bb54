//! The main job, as users do it: label a namespace, `kubectl create` the examples, and the pods
//! that the real controller manager makes of them carry the sidecar that the real injector,
//! called by the real API server, put there.

use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use e2e::audit::creation;
use e2e::installation::{
    ENABLED, Installation, NAME, PATIENCE, checkout, enabled_namespace, is_seen,
};
use e2e::kubectl::{Kubectl, eventually};
use e2e::pod::{Pod, SIDECAR, asking, env, items, pods};
use serde_json::{Value, json};
use testbed::Cluster;

/// The injector of all scenarios here; each has its own namespace.
fn kubectl() -> Result<Kubectl<'static>> {
    static INJECTOR: OnceLock<Result<Installation<'static>, String>> = OnceLock::new();
    let start = || Installation::start(Cluster::shared()?, &testbed::binary(NAME)?);
    let started = INJECTOR.get_or_init(|| start().map_err(|error| format!("{error:#}")));
    started.as_ref().map_err(|error| anyhow!("{error}"))?;
    Ok(Kubectl(Cluster::shared()?))
}

/// A namespace whose pods may ask.
fn enabled(name: &str) -> Result<(Kubectl<'static>, String)> {
    let kubectl = kubectl()?;
    Ok((kubectl, enabled_namespace(kubectl.0, name)?))
}

fn example(path: &str) -> String {
    checkout("examples").join(path).display().to_string()
}

/// Creates the pod and returns it as it was stored, with what kubectl printed on stderr.
fn create(kubectl: Kubectl<'_>, namespace: &str, pod: &Value) -> Result<(Pod, String)> {
    let answer = kubectl.run_with(
        &format!("create -n {namespace} -o json -f -"),
        &pod.to_string(),
    )?;
    Ok((Pod(answer.json()?), answer.stderr))
}

#[test]
fn the_examples_are_used_as_written() -> Result<()> {
    let kubectl = kubectl()?;
    kubectl.run("create namespace chassis")?;
    kubectl.run(&format!("label namespace chassis {ENABLED}"))?;
    // The API server takes a moment to go by a new label.
    eventually("the label is in force", PATIENCE, || {
        Ok(is_seen(kubectl.0, "chassis").then_some(()))
    })?;
    let created = kubectl.run(&format!(
        "create -f {} -n chassis",
        example("with-service-ports/sc/")
    ))?;
    assert_eq!(
        created.stderr, "",
        "a pod that gets what it asked for needs no warning"
    );

    for (app, replicas) in [("client", 1), ("server", 2)] {
        for pod in pods(kubectl, "chassis", &format!("app={app}"), replicas)? {
            let sidecar = pod.sidecar()?;
            assert_eq!(sidecar["image"], "mesher:0.1.0");
            assert_eq!(env(sidecar, "DISCOVERY_TYPE"), Some("sc"));
            assert_eq!(env(sidecar, "SERVICE_PORTS"), Some("rest:8080"));
            assert_eq!(env(sidecar, "APP_PORTS"), Some("8080"));
            assert_eq!(env(sidecar, "MESHER_DEFAULT_SERVICE_NAME"), Some(app));
            assert_eq!(env(sidecar, "MESHER_DEFAULT_VERSION"), Some("0.1.0"));
            assert_eq!(
                env(sidecar, "MESHER_DEFAULT_CSE_REGISTRY_ADDR"),
                Some("http://service-center.servicecomb:30100")
            );
            assert_eq!(env(sidecar, "POD_NAME"), Some("metadata.name"));
            assert_eq!(env(sidecar, "INSTANCE_IP"), Some("status.podIP"));
            for probe in ["startupProbe", "livenessProbe"] {
                assert_eq!(sidecar[probe]["httpGet"]["path"], "/healthz", "{probe}");
            }
            assert!(sidecar.get("readinessProbe").is_none());

            let own = pod
                .container(app)
                .context("the pod lost its own container")?;
            assert_eq!(env(own, "http_proxy"), Some("http://127.0.0.1:30101"));
            let conf = pod
                .volumes()
                .iter()
                .find(|volume| volume["name"] == "mesher-conf");
            let conf = conf.context("no volume mesher-conf")?;
            assert_eq!(conf["configMap"]["name"], "mesher-configmap");
            assert_eq!(conf["configMap"]["optional"], true);

            assert_eq!(pod.status(), Some("injected"));
            assert_eq!(pod.annotation("sidecar.mesher.io/inject"), Some("yes"));
            assert_eq!(
                pod.annotation("kubectl.kubernetes.io/default-container"),
                Some(app)
            );
        }
    }
    Ok(())
}

#[test]
fn each_example_leads_to_its_discovery_backend() -> Result<()> {
    for (name, folder, discovery, ports) in [
        (
            "with-pilot",
            "with-service-ports/pilot/",
            "pilot",
            Some("rest:8080"),
        ),
        ("without-sc", "without-service-ports/sc/", "sc", None),
        (
            "without-pilot",
            "without-service-ports/pilot/",
            "pilot",
            None,
        ),
    ] {
        let (kubectl, namespace) = enabled(name)?;
        kubectl.run(&format!("create -f {} -n {namespace}", example(folder)))?;
        for pod in pods(kubectl, &namespace, "app=server", 2)? {
            let sidecar = pod.sidecar()?;
            assert_eq!(env(sidecar, "DISCOVERY_TYPE"), Some(discovery), "{folder}");
            assert_eq!(env(sidecar, "SERVICE_PORTS"), ports, "{folder}");
            assert_eq!(env(sidecar, "APP_PORTS"), Some("8080"), "{folder}");
            let token = pod.volumes().iter().any(|volume| {
                volume["projected"]["sources"][0]["serviceAccountToken"]["audience"] == "istio-ca"
            });
            assert_eq!(token, discovery == "pilot", "{folder}");
        }
    }
    Ok(())
}

#[test]
fn every_kind_of_workload_carries_a_native_sidecar() -> Result<()> {
    let (kubectl, namespace) = enabled("workloads")?;
    // The DaemonSet's pod needs a node to be made for; nothing runs there.
    kubectl.run_with(
        "create -f -",
        &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}}).to_string(),
    )?;
    kubectl.run(&format!(
        "create -f {} -n {namespace}",
        example("workloads")
    ))?;
    kubectl.run(&format!(
        "create job now --from=cronjob/report -n {namespace}"
    ))?;
    for (selector, count, service) in [
        ("tier=store", 2, "store"),
        ("app=agent", 1, "agent"),
        ("app=import", 1, "import"),
        ("job-name=now", 1, "report"),
    ] {
        for pod in pods(kubectl, &namespace, selector, count)? {
            let sidecar = pod.sidecar().with_context(|| selector.to_owned())?;
            assert_eq!(
                env(sidecar, "MESHER_DEFAULT_SERVICE_NAME"),
                Some(service),
                "{selector}"
            );
        }
    }
    Ok(())
}

#[test]
fn who_does_not_ask_or_may_not_ask_stays_as_it_is() -> Result<()> {
    let (kubectl, namespace) = enabled("bare")?;
    let example = example("decisions/opted-out.yaml");
    let answer = kubectl.run(&format!("create -f {example} -n {namespace} -o json"))?;
    assert_eq!(answer.stderr, "");
    let opted_out = Pod(answer.json()?);
    opted_out.is_bare()?;
    assert_eq!(
        opted_out.status(),
        None,
        "nothing was asked, nothing is answered"
    );

    let mut silent = asking("silent");
    silent["metadata"]["annotations"] = json!({});
    create(kubectl, &namespace, &silent)?.0.is_bare()?;

    let unlabelled = kubectl.0.namespace("unlabelled")?;
    let (pod, warnings) = create(kubectl, &unlabelled, &asking("asks-in-vain"))?;
    pod.is_bare()?;
    assert_eq!((pod.status(), warnings.as_str()), (None, ""));
    Ok(())
}

#[test]
fn who_asks_in_vain_is_told_why() -> Result<()> {
    let (kubectl, namespace) = enabled("skipped")?;
    let host_network = example("decisions/host-network.yaml");
    let answer = kubectl.run(&format!("create -f {host_network} -n {namespace} -o json"))?;
    let pod = Pod(answer.json()?);
    pod.is_bare()?;
    assert_eq!(pod.status(), Some("skipped:host_network"));
    assert!(answer.stderr.starts_with("Warning: "), "{}", answer.stderr);
    assert!(answer.stderr.contains("host_network"), "{}", answer.stderr);
    let seen = creation(kubectl.0, &namespace, pod.name())?;
    assert_eq!(seen.decision.as_deref(), Some("host_network"));

    let mut mistyped = asking("mistyped");
    mistyped["metadata"]["annotations"]["sidecar.mesher.io/servicePort"] = json!("rest:8080");
    let (pod, warnings) = create(kubectl, &namespace, &mistyped)?;
    pod.sidecar()?;
    assert!(
        warnings.starts_with("Warning: ") && warnings.contains("servicePorts"),
        "did you mean: {warnings}"
    );
    Ok(())
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_can() -> Result<()> {
    let (kubectl, namespace) = enabled("refused")?;
    for (file, key, allowed) in [
        (
            "decisions/misspelt-value.yaml",
            "sidecar.mesher.io/inject",
            ["yes", "no"],
        ),
        (
            "decisions/unknown-discovery.yaml",
            "sidecar.mesher.io/discoveryType",
            ["sc", "pilot"],
        ),
    ] {
        let answer = kubectl.try_run(&format!("create -f {} -n {namespace}", example(file)))?;
        let refusal = answer.refused()?;
        assert!(
            refusal.contains("sidecar-injector.mesher.io"),
            "who refused: {refusal}"
        );
        assert!(refusal.contains(key), "{refusal}");
        for value in allowed {
            assert!(refusal.contains(value), "{value} is allowed: {refusal}");
        }
    }
    assert!(items(&kubectl.get(&format!("pods -n {namespace}"))?["items"]).is_empty());
    Ok(())
}

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
        let random = text
            .find("kube-api-access-")
            .map(|at| text[at..at + 21].to_owned());
        let text = random.map_or(text.clone(), |name| text.replace(&name, "kube-api-access"));
        pod.0 = serde_json::from_str(&text)?;
    }
    assert_eq!(taken_out, expected);
    assert_eq!(after.annotation("prometheus.io/scrape"), Some("false"));
    assert_eq!(
        after.0["spec"]["terminationGracePeriodSeconds"].to_string(),
        "9007199254740993"
    );
    let own_proxy = after.container("own-proxy").context("lost")?;
    assert_eq!(
        items(&own_proxy["env"]).len(),
        1,
        "who names a proxy keeps it, and gets no other"
    );
    Ok(())
}

/// By the documentation, not by the record: the record is part of what is tested.
fn take_out_what_is_ours(pod: &mut Pod) -> Result<()> {
    let metadata = &mut pod.0["metadata"];
    let annotations = metadata["annotations"]
        .as_object_mut()
        .context("no annotations")?;
    for key in [
        "sidecar.mesher.io/status",
        "sidecar.mesher.io/injected",
        "kubectl.kubernetes.io/default-container",
    ] {
        annotations
            .remove(key)
            .with_context(|| format!("{key} is not there"))?;
    }
    let spec = &mut pod.0["spec"];
    let named = |each: &Value, start: &str| {
        each["name"]
            .as_str()
            .is_some_and(|name| name.starts_with(start))
    };
    spec["initContainers"]
        .as_array_mut()
        .context("none")?
        .retain(|each| !named(each, SIDECAR));
    spec["volumes"]
        .as_array_mut()
        .context("none")?
        .retain(|each| !named(each, "mesher-"));
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            let Some(variables) = container["env"].as_array_mut() else {
                continue;
            };
            variables.retain(|variable| {
                let proxy = variable["value"] == "http://127.0.0.1:30101"
                    || variable["value"] == "http://127.0.0.1:40101"
                    || variable["value"]
                        .as_str()
                        .is_some_and(|v| v.starts_with("localhost,"));
                !proxy
            });
            if container["env"] == json!([]) {
                container
                    .as_object_mut()
                    .context("no object")?
                    .shift_remove("env");
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
    kubectl.run(&format!(
        "apply --dry-run=server -f {examples} -n {namespace}"
    ))?;
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
    assert_eq!(
        (seen.decision.as_deref(), seen.mutated),
        (Some("already_injected"), false)
    );
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
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let manifest = String::from_utf8(output.stdout)?;
    kubectl.run_with(&format!("create -n {namespace} -f -"), &manifest)?;
    let deployment = kubectl.get(&format!("deployment server -n {namespace}"))?;
    for pod in pods(kubectl, &namespace, "app=server", 2)? {
        pod.sidecar()?;
        // Generated names are not in the audit log; another decision would have left another record.
        let template = &deployment["spec"]["template"];
        assert_eq!(
            template["metadata"]["annotations"],
            pod.0["metadata"]["annotations"]
        );
        assert_eq!(
            template["spec"]["containers"][0]["env"],
            pod.containers()[0]["env"]
        );
    }
    Ok(())
}

#[test]
fn pod_security_restricted_admits_what_is_injected() -> Result<()> {
    let (kubectl, namespace) = enabled("restricted")?;
    let enforce = "pod-security.kubernetes.io/enforce=restricted";
    let warn = "pod-security.kubernetes.io/warn=restricted";
    kubectl.run(&format!("label namespace {namespace} {enforce} {warn}"))?;
    let mut pod = asking("restricted");
    // Container by container: the pod itself says nothing that a sidecar could lean on.
    pod["spec"]["containers"][0]["securityContext"] = json!({
        "runAsNonRoot": true, "runAsUser": 1000, "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    });
    let (pod, warnings) = create(kubectl, &namespace, &pod)?;
    pod.sidecar()?;
    assert_eq!(warnings, "");
    // It is in force: the same without a sidecar's worth of care is refused.
    let careless = kubectl.try_run_with(
        &format!("create -n {namespace} -f -"),
        &asking("careless").to_string(),
    )?;
    assert!(careless.refused()?.contains("violates PodSecurity"));
    Ok(())
}

#[test]
fn a_quota_on_limits_admits_what_is_injected() -> Result<()> {
    let (kubectl, namespace) = enabled("quota")?;
    let hard = "requests.cpu=2,requests.memory=2Gi,limits.cpu=2,limits.memory=2Gi";
    kubectl.run(&format!("create quota all --hard={hard} -n {namespace}"))?;
    let mut pod = asking("counted");
    pod["spec"]["containers"][0]["resources"] = json!({
        "requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "200m", "memory": "128Mi"},
    });
    let (pod, _) = create(kubectl, &namespace, &pod)?;
    assert_eq!(pod.sidecar()?["resources"]["limits"]["cpu"], "500m");
    // It is in force: a pod without limits is refused, and not for the sidecar's lack of them.
    let refusal = kubectl
        .try_run_with(
            &format!("create -n {namespace} -f -"),
            &asking("uncounted").to_string(),
        )?
        .refused()?;
    assert!(
        refusal.contains("must specify limits.cpu for: app"),
        "{refusal}"
    );
    Ok(())
}

#[test]
fn a_guaranteed_pod_stays_guaranteed() -> Result<()> {
    let (kubectl, namespace) = enabled("guaranteed")?;
    let mut pod = asking("guaranteed");
    let same = json!({"cpu": "100m", "memory": "64Mi"});
    pod["spec"]["containers"][0]["resources"] = json!({"requests": same, "limits": same});
    let (pod, _) = create(kubectl, &namespace, &pod)?;
    pod.sidecar()?;
    assert_eq!(pod.0["status"]["qosClass"], "Guaranteed");
    Ok(())
}

#[test]
fn a_limit_range_fills_in_what_the_sidecar_leaves_open() -> Result<()> {
    let (kubectl, namespace) = enabled("limit-range")?;
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "range"},
        "spec": {"limits": [{
            "type": "Container",
            "default": {"cpu": "300m", "memory": "256Mi"},
            "defaultRequest": {"cpu": "30m", "memory": "16Mi"},
            "max": {"cpu": "1", "memory": "512Mi"},
        }]},
    });
    kubectl.run_with(&format!("create -n {namespace} -f -"), &range.to_string())?;
    let (pod, _) = create(kubectl, &namespace, &asking("limited"))?;
    let resources = &pod.sidecar()?["resources"];
    assert_eq!(
        resources["requests"],
        json!({"cpu": "50m", "memory": "32Mi"})
    );
    assert_eq!(resources["limits"]["memory"], "128Mi");
    assert!(resources["limits"]["cpu"].is_string(), "{resources}");
    Ok(())
}

/// A MutatingAdmissionPolicy of the cluster adds a container once the sidecar is there, so after
/// the injector: it is called again and leads the new container to the proxy too.
#[test]
fn r23_a_container_that_another_mutation_adds_later_is_led_to_the_proxy() -> Result<()> {
    let (kubectl, namespace) = enabled("reinvoked")?;
    let policy = json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": namespace},
            "spec": {
                "failurePolicy": "Fail", "reinvocationPolicy": "IfNeeded",
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"],
                    "operations": ["CREATE"], "resources": ["pods"],
                }]},
                // Matches before there is a sidecar too: what the API server did not call in the
                // first round, it does not call in the second.
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression":
                    "has(object.spec.initContainers) && \
                     object.spec.initContainers.exists(c, c.name == 'sidecar-mesher') && \
                     !object.spec.containers.exists(c, c.name == 'late') ? \
                     [JSONPatch{op: 'add', path: '/spec/containers/-', value: \
                     Object.spec.containers{name: 'late', image: 'late:1'}}] : []"}}],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": namespace},
            "spec": {"policyName": namespace, "matchResources": {"namespaceSelector": {
                "matchLabels": {"kubernetes.io/metadata.name": namespace},
            }}},
        },
    ]});
    kubectl.run_with("create -f -", &policy.to_string())?;
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    let mut number = 0;
    let (name, pod) = eventually("the policy acts", PATIENCE, || {
        number += 1;
        let name = format!("pod-{number}");
        let pod = Pod(kubectl.post(&path, &asking(&name))?.succeeded()?.json()?);
        Ok(pod.container("late").is_some().then_some((name, pod)))
    })?;
    pod.sidecar()?;
    let late = pod.container("late").context("gone")?;
    assert_eq!(env(late, "http_proxy"), Some("http://127.0.0.1:30101"));
    assert_eq!(creation(kubectl.0, &namespace, &name)?.calls, 2);
    Ok(())
}
