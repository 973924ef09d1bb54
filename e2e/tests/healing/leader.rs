//! Of several replicas one looks and evicts; when it is gone, another does.

use anyhow::{Context, Result};
use e2e::installation::{PATIENCE, checkout, enabled_namespace};
use e2e::kubectl::{Kubectl, eventually};
use e2e::pod::{Pod, asking, pods};
use e2e::replicas::{Replica, Replicas};

use crate::installed::{
    attempts, cluster, configuration, evictions, hide, show, without_sidecar, workload,
};

fn series(name: &str) -> String {
    format!("sidecar_injector_{name}")
}

/// Waits until exactly one replica looks, and returns it with the others.
fn looking<'r>(replicas: &'r Replicas<'_>) -> Result<(&'r Replica, Vec<&'r Replica>)> {
    let leader = replicas.leader()?;
    eventually("the leader looks", PATIENCE, || {
        for replica in replicas.living() {
            let looks = replica.metric(&series("healing_looking"))? == 1;
            if looks != (replica.name() == leader) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .with_context(|| replicas.logs())?;
    let (mut leaders, others): (Vec<_>, Vec<_>) =
        replicas.living().iter().partition(|replica| replica.name() == leader);
    Ok((leaders.pop().context("no leader")?, others))
}

#[test]
fn the_leader_alone_evicts_and_its_successor_goes_on() -> Result<()> {
    let cluster = cluster()?;
    let kubectl = Kubectl(&cluster);
    for file in ["report/rbac.yaml", "evict/rbac.yaml", "evict/policy.yaml"] {
        let file = checkout(&format!("manifests/components/healing-{file}"));
        kubectl.run(&format!("apply -f {}", file.display()))?;
    }
    let mut replicas = Replicas::start(&cluster, 2, &configuration("evict"))?;
    let namespace = enabled_namespace(&cluster, "shop")?;
    let create = |object: &serde_json::Value| {
        kubectl.run_with(&format!("create -n {namespace} -f -"), &object.to_string())
    };
    looking(&replicas)?;

    // As often as it is possible, so that two that evict would meet.
    hide(&cluster, "probe")?;
    let names = ["a", "b", "c", "d"];
    let mut missed = Vec::new();
    for name in names {
        create(&workload("Deployment", name, 1))?;
        missed.push(pods(kubectl, &namespace, &format!("app={name}"), 1)?.remove(0));
    }
    create(&asking("alone"))?;
    show(&cluster, "probe")?;
    let lacking = series(&without_sidecar("sidecar_missing"));
    eventually("all that can be are made anew", PATIENCE, || {
        for name in names {
            pods(kubectl, &namespace, &format!("app={name}"), 1)?.remove(0).sidecar()?;
        }
        Ok(Some(()))
    })
    .with_context(|| replicas.logs())?;
    let (leader, others) = looking(&replicas)?;
    assert_eq!(leader.metric(&series(&attempts("evicted")))?, 4);
    for other in others {
        assert_eq!(other.metric(&series(&attempts("evicted")))?, 0);
        assert!(other.metric(&lacking).is_err(), "who does not look knows nothing");
    }
    let mut evicted = evictions(&cluster, &namespace)?;
    evicted.sort();
    let mut expected: Vec<&str> = missed.iter().map(Pod::name).collect();
    expected.sort_unstable();
    assert_eq!(evicted, expected, "each once");

    let first = leader.name().to_owned();
    replicas.kill(&first)?;
    let (leader, _) = looking(&replicas)?;
    assert_eq!(leader.metric(&lacking)?, 1, "the one that nobody makes anew");
    hide(&cluster, "probe")?;
    create(&workload("Deployment", "late", 1))?;
    let late = pods(kubectl, &namespace, "app=late", 1)?.remove(0);
    show(&cluster, "probe")?;
    eventually("the successor evicts", PATIENCE, || {
        Ok(evictions(&cluster, &namespace)?.contains(&late.name().to_owned()).then_some(()))
    })
    .with_context(|| replicas.logs())
}
