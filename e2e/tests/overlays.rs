//! What every overlay and every combination of components has to be: a kustomization that kubectl
//! builds and the API server takes, strictly read, without a warning, and a pod that Pod Security
//! `restricted` admits.

use anyhow::{Context, Result, ensure};
use e2e::installation::{NAME, checkout};
use e2e::kubectl::Kubectl;
use serde_json::{Value, json};
use testbed::{Cluster, combine_components, tools};

/// Each component may be left out: all their combinations.
const COMPONENTS: [&str; 4] = ["ha", "strict", "cert-manager", "healing-evict"];

/// A cluster in which everything may be created that the manifests name.
fn prepared() -> Result<Kubectl<'static>> {
    let kubectl = Kubectl(Cluster::shared()?);
    let source = tools::module_source("cert-manager", "github.com/cert-manager/cert-manager")?;
    let definitions = source.join("deploy/crds");
    kubectl.run(&format!("apply --server-side -f {}", definitions.display()))?;
    kubectl.run("wait --for=condition=Established crd --all --timeout=60s")?;
    let base = checkout("manifests/base");
    for file in ["namespace.yaml", "serviceaccount.yaml"] {
        kubectl.run(&format!("apply --server-side -f {}", base.join(file).display()))?;
    }
    Ok(kubectl)
}

/// The objects of a kustomization, as the API server would store them.
fn accepted(kubectl: Kubectl<'_>, what: &str, printed: &str) -> Result<Vec<Value>> {
    let line = "apply --server-side --dry-run=server --validate=strict -o json -f -";
    let answer = kubectl.run_with(line, printed).with_context(|| what.to_owned())?;
    ensure!(answer.stderr.is_empty(), "{what}: {}", answer.stderr);
    let printed = serde_json::Deserializer::from_str(&answer.stdout).into_iter::<Value>();
    let mut objects = Vec::new();
    for object in printed {
        let object = object?;
        match object["items"].as_array() {
            Some(items) => objects.extend(items.iter().cloned()),
            None => objects.push(object),
        }
    }
    for object in &objects {
        let part_of = &object["metadata"]["labels"]["app.kubernetes.io/part-of"];
        ensure!(part_of == "mesher", "{what}: {} has no label", object["metadata"]["name"]);
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or(NAME);
        ensure!(namespace == NAME, "{what}: something for {namespace}");
        ensure!(!object.to_string().contains("\"caBundle\":"), "{what}: it says caBundle");
    }
    Ok(objects)
}

/// The pods of the Deployment, in the namespace that enforces, audits and warns of `restricted`.
fn restricted(kubectl: Kubectl<'_>, what: &str, objects: &[Value]) -> Result<()> {
    let Some(deployment) = objects.iter().find(|object| object["kind"] == "Deployment") else {
        return Ok(());
    };
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("tried");
    // The class is no more than tried either.
    if let Some(spec) = pod["spec"].as_object_mut() {
        spec.remove("priorityClassName");
        spec.remove("priority");
    }
    let line = format!("create --dry-run=server --validate=strict -n {NAME} -f -");
    let answer = kubectl.run_with(&line, &pod.to_string()).with_context(|| what.to_owned())?;
    ensure!(answer.stderr.is_empty(), "{what}: {}", answer.stderr);
    Ok(())
}

#[test]
fn every_overlay_is_accepted_as_it_is_written() -> Result<()> {
    let kubectl = prepared()?;
    let mut tried = 0;
    for entry in std::fs::read_dir(checkout("manifests/overlays"))? {
        let folder = entry?.path();
        let what = folder.display().to_string();
        let printed = kubectl.run(&format!("kustomize {what}"))?.stdout;
        let objects = accepted(kubectl, &what, &printed)?;
        restricted(kubectl, &what, &objects)?;
        tried += 1;
    }
    assert!(tried >= 5, "{tried} overlays");
    Ok(())
}

#[test]
fn components_combine() -> Result<()> {
    let kubectl = prepared()?;
    for chosen in 1..1_usize << COMPONENTS.len() {
        let all = COMPONENTS.iter().enumerate();
        let names: Vec<&str> =
            all.filter(|(bit, _)| chosen & (1 << bit) != 0).map(|(_, name)| *name).collect();
        let what = names.join(" and ");
        let folders: Vec<_> =
            names.iter().map(|name| checkout("manifests/components").join(name)).collect();
        let folder = kubectl.0.folder().join(format!("combination-{chosen}"));
        let folder = combine_components(&folder, &checkout("manifests/base"), &folders)?;
        let printed = kubectl.run(&format!("kustomize {}", folder.display()))?.stdout;
        let objects = accepted(kubectl, &what, &printed)?;
        restricted(kubectl, &what, &objects)?;

        let find = |kind: &str| objects.iter().find(|object| object["kind"] == kind);
        let webhook = &find("MutatingWebhookConfiguration").context("no webhook")?["webhooks"][0];
        let policy = if names.contains(&"strict") { "Fail" } else { "Ignore" };
        assert_eq!(webhook["failurePolicy"], policy, "{what}");
        let has = |name: &str| {
            objects.iter().any(|object| {
                object["kind"] == "ValidatingAdmissionPolicy" && object["metadata"]["name"] == name
            })
        };
        assert_eq!(has("sidecar-injector"), names.contains(&"strict"), "{what}");
        let heals = names.contains(&"healing-evict");
        assert_eq!(has("sidecar-injector-healing"), heals, "{what}");
        let deployment = &find("Deployment").context("no Deployment")?["spec"];
        assert_eq!(deployment["replicas"], if names.contains(&"ha") { 2 } else { 1 }, "{what}");
        let environment = &deployment["template"]["spec"]["containers"][0]["env"];
        let evicts = json!({"name": "SIDECAR_INJECTOR_HEAL", "value": "evict"});
        let said = environment.as_array().is_some_and(|all| all.contains(&evicts));
        assert_eq!(said, heals, "{what}");
        let volumes = deployment["template"]["spec"]["volumes"].to_string();
        let files = names.contains(&"cert-manager");
        assert_eq!(volumes.contains("sidecar-injector-tls"), files, "{what}");
        assert_eq!(find("Certificate").is_some(), files, "{what}");
    }
    Ok(())
}
