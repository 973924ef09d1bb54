//! What the components let the injector do, exactly.

use anyhow::{Result, ensure};
use e2e::installation::{PATIENCE, checkout, enabled_namespace};
use e2e::kubectl::{Kubectl, eventually};
use e2e::pod::asking;
use testbed::combine_components;

use crate::installed::cluster;

const WHO: &str = "--as=system:serviceaccount:sidecar-injector:sidecar-injector";

/// Each right with the component that gives it; some that none gives.
const RIGHTS: [(&str, &[&str]); 15] = [
    ("list pods -A", &["report", "evict"]),
    ("watch pods -A", &["report", "evict"]),
    ("list namespaces", &["report", "evict"]),
    ("watch namespaces", &["report", "evict"]),
    ("create events.events.k8s.io -A", &["report", "evict"]),
    ("patch events.events.k8s.io -A", &["report", "evict"]),
    ("get pods -A", &["evict"]),
    ("create pods -A", &["evict"]),
    ("create pods --subresource=eviction -A", &["evict"]),
    ("get replicasets.apps -A", &["evict"]),
    ("delete pods -A", &[]),
    ("patch pods -A", &[]),
    ("create pods --subresource=exec -A", &[]),
    ("list replicasets.apps -A", &[]),
    ("get secrets -n default", &[]),
];

#[test]
fn each_component_gives_what_it_needs_and_nothing_else() -> Result<()> {
    let cluster = cluster()?;
    let kubectl = Kubectl(&cluster);
    let namespace = enabled_namespace(&cluster, "shop")?;
    kubectl.run(&format!("apply -k {}", checkout("manifests/overlays/local").display()))?;
    for mode in ["", "report", "evict"] {
        if !mode.is_empty() {
            let component = checkout("manifests/components").join(format!("healing-{mode}"));
            let base = checkout("manifests/overlays/local");
            let folder = cluster.folder().join(mode);
            let folder = combine_components(&folder, &base, &[component])?;
            kubectl.run(&format!("apply -k {}", folder.display()))?;
        }
        for (line, given_by) in RIGHTS {
            let expected = if given_by.contains(&mode) { "yes" } else { "no" };
            eventually(&format!("{mode}: {line}: {expected}"), PATIENCE, || {
                let answer = kubectl.try_run(&format!("auth can-i {line} {WHO}"))?;
                ensure!(answer.stdout.trim() == expected, "{answer:?}");
                Ok(Some(()))
            })?;
        }
    }

    // A role cannot tell a dry run from a creation; the policy beside it does.
    let create = |more: &str| {
        let line = format!("create -n {namespace} -f - {more}");
        kubectl.try_run_with(&line, &asking("tried").to_string())
    };
    let refusal = eventually("the policy is in force", PATIENCE, || {
        let answer = create(WHO)?;
        if answer.success {
            kubectl.run(&format!("delete pod tried -n {namespace} --now"))?;
        }
        Ok((!answer.success).then_some(answer.stderr))
    })?;
    ensure!(refusal.contains("the injector creates pods as dry runs only"), "{refusal}");
    create(&format!("{WHO} --dry-run=server"))?.succeeded()?;
    create("")?.succeeded()?;
    Ok(())
}
