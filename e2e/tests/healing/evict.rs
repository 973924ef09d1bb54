//! Pods that missed their sidecar are evicted where a controller makes them anew, and nobody else.

use std::fs;

use anyhow::{Result, ensure};
use e2e::installation::PATIENCE;
use e2e::kubectl::eventually;
use e2e::pod::asking;
use serde_json::{Value, json};

use crate::installed::{Installed, attempts, cluster, evictions, uid, without_sidecar, workload};

/// A Job that would get a native sidecar.
fn job(name: &str) -> Value {
    let mut pod = asking(name);
    pod["spec"]["restartPolicy"] = json!("Never");
    let metadata = json!({
        "labels": {"app": name}, "annotations": pod["metadata"]["annotations"],
    });
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {"metadata": metadata, "spec": pod["spec"]}},
    })
}

#[test]
fn what_a_controller_makes_anew_comes_back_with_its_sidecar() -> Result<()> {
    let cluster = cluster()?;
    let mut installed = Installed::start(&cluster, "evict")?;
    let namespace = installed.namespace.clone();
    // As when all injectors are gone for a while.
    installed.injector.stop();
    installed.create(&asking("alone"))?;
    installed.create(&job("once"))?;
    let alone = installed.pod("alone")?;
    let once = installed.pods("once", 1)?.remove(0);
    let web = installed.deploy("web", 1)?.remove(0);
    installed.create(&workload("StatefulSet", "db", 1))?;
    let db = installed.pods("db", 1)?.remove(0);
    let mut stays = workload("Deployment", "stays", 1);
    stays["spec"]["template"]["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] =
        json!("false");
    installed.create(&stays)?;
    let stays = installed.pods("stays", 1)?.remove(0);
    for pod in [&alone, &once, &web, &db, &stays] {
        pod.is_bare()?;
    }
    installed.injector.resume()?;

    installed.wait_for_successor("web", &web)?;
    let successor = installed.wait_for_successor("db", &db)?;
    assert_eq!(successor.name(), "db-0", "a StatefulSet's pod keeps its name");
    // Only those are left that nobody may touch, and all that is known of them is said.
    installed.wait_until(&without_sidecar("sidecar_missing"), 3)?;
    for (pod, why) in
        [(&alone, "no_controller"), (&once, "controller_kind"), (&stays, "not_safe_to_evict")]
    {
        eventually(&format!("{} is told about", pod.name()), PATIENCE, || {
            let log = installed.injector.server().log();
            let told = |line: &&str| line.contains(pod.name()) && line.contains(why);
            Ok(log.lines().find(told).map(|_| ()))
        })?;
        assert_eq!(uid(&installed.pod(pod.name())?), uid(pod));
    }
    let mut evicted = evictions(&cluster, &namespace)?;
    evicted.sort();
    assert_eq!(evicted, ["db-0", web.name()], "each once");
    assert_eq!(installed.metric(&attempts("evicted"))?, 2);
    let events = eventually("the eviction is told about", PATIENCE, || {
        Ok(installed.events(web.name(), "EvictedForSidecar")?.pop())
    })?;
    ensure!(events["message"].to_string().contains("replicaset/web-"), "{events:#}");
    Ok(())
}

#[test]
fn a_disruption_budget_holds_also_over_a_restart_of_the_api_server() -> Result<()> {
    let cluster = cluster()?;
    let installed = Installed::start(&cluster, "evict")?;
    let (kubectl, namespace) = (installed.kubectl(), &installed.namespace);
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    });
    installed.create(&budget)?;
    installed.hide()?;
    let web = installed.deploy("web", 1)?.remove(0);
    installed.make_ready(&web)?;
    eventually("the budget counts the pod", PATIENCE, || {
        let status = kubectl.get(&format!("pdb web -n {namespace}"))?["status"].clone();
        Ok((status["currentHealthy"] == 1 && status["disruptionsAllowed"] == 0).then_some(()))
    })?;
    installed.show()?;
    installed.wait_for_attempt("disruption_budget")?;
    cluster.restart_apiserver()?;
    let before = installed.metric(&attempts("disruption_budget"))?;
    eventually("it is tried again", PATIENCE, || {
        Ok((installed.metric(&attempts("disruption_budget"))? > before).then_some(()))
    })?;
    assert_eq!(uid(&installed.pod(web.name())?), uid(&web));

    kubectl.run(&format!("delete pdb web -n {namespace}"))?;
    installed.wait_for_successor("web", &web)?;
    assert_eq!(evictions(&cluster, namespace)?, [web.name()]);
    Ok(())
}

/// A successor that does not become ready keeps the others where they are.
#[test]
fn a_pod_that_serves_waits_until_all_others_do() -> Result<()> {
    let cluster = cluster()?;
    let installed = Installed::start(&cluster, "evict")?;
    installed.hide()?;
    let both = installed.deploy("web", 2)?;
    let (serves, fails) = (&both[0], &both[1]);
    installed.make_ready(serves)?;
    installed.show()?;
    installed.wait_for_attempt("not_whole")?;
    let successor = eventually("the one that serves nobody is made anew", PATIENCE, || {
        let mut pods = installed.pods("web", 2)?;
        pods.retain(|pod| uid(pod) != uid(serves));
        let other = pods.pop().filter(|pod| uid(pod) != uid(fails));
        Ok(other.filter(|pod| pod.sidecar().is_ok()))
    })?;
    // Now it is tried with a workload of which only the other pod serves.
    let before = installed.metric(&attempts("not_whole"))?;
    eventually("it is left where it is", PATIENCE, || {
        Ok((installed.metric(&attempts("not_whole"))? > before + 1).then_some(()))
    })?;
    assert_eq!(uid(&installed.pod(serves.name())?), uid(serves));

    installed.make_ready(&successor)?;
    eventually("all have their sidecars", PATIENCE, || {
        let pods = installed.pods("web", 2)?;
        Ok(pods.iter().all(|pod| pod.sidecar().is_ok()).then_some(()))
    })?;
    assert_eq!(evictions(&cluster, &installed.namespace)?, [fails.name(), serves.name()]);
    Ok(())
}

#[test]
fn nothing_is_evicted_that_would_come_back_without_a_sidecar() -> Result<()> {
    let cluster = cluster()?;
    let installed = Installed::start(&cluster, "evict")?;
    let namespace = &installed.namespace;
    installed.hide()?;
    let web = installed.deploy("web", 1)?.remove(0);
    installed.wait_for_attempt("not_injected")?;

    // Nor where the API server would take no successor at all.
    let kubectl = installed.kubectl();
    kubectl.run(&format!("create quota full -n {namespace} --hard=pods=1"))?;
    eventually("the quota is used up", PATIENCE, || {
        let quota = kubectl.get(&format!("quota full -n {namespace}"))?;
        Ok((quota["status"]["used"]["pods"] == "1").then_some(()))
    })?;
    installed.wait_for_attempt("dry_run_refused")?;

    // Nor while a faulty configuration waits to be put right.
    let good = fs::read_to_string(installed.configuration())?;
    installed.reconfigure(&good.replace("healing:", "policy: {onError: panic}\nhealing:"))?;
    let hold = |word: &str| {
        eventually(&format!("it is held: {word}"), PATIENCE, || {
            let status: Value = installed.injector.operations("/status")?.json()?;
            let hold = &status["cluster"]["healing"]["hold"];
            ensure!(hold == word, "{status}");
            Ok(Some(()))
        })
    };
    hold("configuration_faulty")?;
    kubectl.run(&format!("delete quota full -n {namespace}"))?;
    installed.show()?;
    let tried = |result: &str| installed.metric(&attempts(result));
    let before = (tried("evicted")?, tried("not_injected")?, tried("dry_run_refused")?);
    hold("configuration_faulty")?;
    assert_eq!(uid(&installed.pod(web.name())?), uid(&web));
    assert_eq!(before, (0, tried("not_injected")?, tried("dry_run_refused")?));
    assert_eq!(evictions(&cluster, namespace)?, Vec::<String>::new());

    installed.reconfigure(&good)?;
    installed.wait_for_successor("web", &web)?;
    assert_eq!(evictions(&cluster, namespace)?, [web.name()]);
    Ok(())
}
