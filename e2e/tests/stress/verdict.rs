//! Every pod of a storm: has it one sidecar, or a fault that excuses it?

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use e2e::audit::creation;
use e2e::installation::NAME;
use e2e::kubectl::Kubectl;
use e2e::load::{Creation, Outcome};
use e2e::pod::{Pod, items};
use serde_json::Value;
use testbed::Cluster;

use crate::faults::{ALL, Fault};

/// Holds what was asked for, what is there, and what `check` says against each other.
pub(crate) fn judge(cluster: &Cluster, namespace: &str, made: &[Creation]) -> Result<()> {
    report(made);
    let mut bare = BTreeSet::new();
    for made in made {
        let Creation { name, faults, outcome, sent } = made;
        let excused = |by: fn(&Fault) -> bool| blamed(made).any(by);
        match outcome {
            Outcome::Created(1) => {}
            Outcome::Created(0) if excused(|fault| fault.lets_pods_through) => {
                // It was shown to nobody, or to one that did not answer; not to one that said no.
                let audited = creation(cluster, namespace, name)?;
                ensure!(audited.failed_open || audited.calls == 0, "{name}: {audited:?}");
                bare.insert(name.clone());
            }
            Outcome::Failed(_) if excused(|fault| fault.refuses_pods) => {}
            other => {
                let audited = creation(cluster, namespace, name);
                bail!("{name}, sent at {sent} while {faults:?}: {other:?}; {audited:?}")
            }
        }
    }

    let there = pods(cluster, namespace)?;
    let mut without = BTreeSet::new();
    for (name, pod) in &there {
        if pod.sidecar().is_err() {
            pod.is_bare().context("it has more or less than one sidecar")?;
            without.insert(name.clone());
        }
    }
    for made in made {
        match made.outcome {
            Outcome::Created(_) => {
                ensure!(there.contains_key(&made.name), "{} is gone", made.name);
            }
            // Its answer was lost: it may be there, and then with its sidecar.
            Outcome::Failed(_) => {
                ensure!(!without.contains(&made.name), "{} has no sidecar", made.name);
            }
        }
    }
    assert_eq!(without, bare, "the pods that are bare, and those that were let through");
    assert_eq!(found(cluster, namespace)?, bare, "what check finds, and what was let through");
    Ok(())
}

fn report(made: &[Creation]) {
    println!("{} pods", made.len());
    for fault in ALL {
        let under: Vec<_> =
            made.iter().filter(|made| blamed(made).any(|f| f.name == fault.name)).collect();
        let count = |wanted: fn(&Outcome) -> bool| {
            under.iter().filter(|made| wanted(&made.outcome)).count()
        };
        println!(
            "  while {}: {}, of them {} let through, {} refused",
            fault.name,
            under.len(),
            count(|outcome| *outcome == Outcome::Created(0)),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
        );
    }
}

/// What may be to blame for what came of a creation.
fn blamed(made: &Creation) -> impl Iterator<Item = &'static Fault> {
    ALL.into_iter().filter(|fault| made.faults.iter().any(|name| name == fault.name))
}

fn pods(cluster: &Cluster, namespace: &str) -> Result<BTreeMap<String, Pod>> {
    let list = Kubectl(cluster).get(&format!("pods -n {namespace}"))?;
    let named = |pod: &Value| {
        let pod = Pod(pod.clone());
        (pod.name().to_owned(), pod)
    };
    Ok(items(&list["items"]).iter().map(named).collect())
}

/// The pods that `check` finds without the sidecar they ask for.
fn found(cluster: &Cluster, namespace: &str) -> Result<BTreeSet<String>> {
    let output = Command::new(testbed::binary(NAME)?)
        .env_clear()
        .env("KUBECONFIG", cluster.kubeconfig())
        .args(["check", "-o", "json", "-n", namespace])
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let report: Value =
        serde_json::from_slice(&output.stdout).with_context(|| format!("no report: {told}"))?;
    let name = |finding: &Value| Some(finding["object"].as_str()?.strip_prefix("pod/")?.to_owned());
    let missing = items(&report["findings"]).iter().filter(|one| one["code"] == "sidecar_missing");
    Ok(missing.filter_map(name).collect())
}
