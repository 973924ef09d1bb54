//! Faults of namespaces, workloads and pods, each in a namespace of its own.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::installation::{Installation, NAME, PATIENCE, configured, enabled_namespace};
use e2e::kubectl::{Kubectl, eventually};
use e2e::pod::asking;
use injector::check::Code;
use serde_json::json;
use testbed::{Cluster, ClusterOptions};

use crate::live::Live;
use crate::workload::{deploy, deployment, finish_rollout, only_pod, run};

fn within<'a>(cluster: &'a Cluster, arguments: &'a [&'a str]) -> Live<'a> {
    Live { cluster, arguments }
}

#[test]
fn faults_of_workloads_are_found_and_their_fixes_help() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions { controller_manager: true })?;
    enabled_namespace(&cluster, "early")?;
    deploy(&cluster, "early", &[])?;
    until_later(&cluster, &only_pod(&cluster, "early")?)?;
    let _injector = Installation::start(&cluster, &testbed::binary(NAME)?)?;
    pods_from_before_the_injector(&cluster)?;
    healthy_ones_have_none(&cluster)?;
    templates(&cluster)?;
    a_namespace_that_is_not_enabled(&cluster)?;
    a_misspelt_namespace(&cluster)?;
    pods_that_missed_the_injector(&cluster)?;
    pods_that_nobody_restarts(&cluster)?;
    sidecars_of_yesterday(&cluster)
}

/// Waits until what the API server makes is a second younger than that pod.
fn until_later(cluster: &Cluster, pod: &str) -> Result<()> {
    let kubectl = Kubectl(cluster);
    let made = |object: &str| -> Result<String> {
        let found = kubectl.get(object)?;
        Ok(found["metadata"]["creationTimestamp"].as_str().context("no time")?.to_owned())
    };
    let first = made(&format!("pod {pod} -n early"))?;
    let mut number = 0;
    eventually("the next second", PATIENCE, || {
        number += 1;
        kubectl.run(&format!("create configmap second-{number} -n early"))?;
        Ok((made(&format!("configmap second-{number} -n early"))? > first).then_some(()))
    })
}

fn pods_from_before_the_injector(cluster: &Cluster) -> Result<()> {
    let live = within(cluster, &["-n", "early"]);
    let found = live.planted(Code::SidecarMissing)?;
    let problem = found["problem"].as_str().context("no problem")?;
    ensure!(problem.contains("before the webhook configuration"), "{found:#}");
    Kubectl(cluster).run("delete deployment web -n early --cascade=foreground --wait=false")?;
    Ok(())
}

fn healthy_ones_have_none(cluster: &Cluster) -> Result<()> {
    let name = enabled_namespace(cluster, "healthy")?;
    deploy(cluster, &name, &[])?;
    let checked = within(cluster, &["-n", &name, "--partial"]).check()?;
    let about_it = checked.findings.iter().filter(|finding| finding["namespace"] == name.as_str());
    ensure!(about_it.count() == 0 && checked.code == Some(0), "{checked:#?}");
    Ok(())
}

/// What stands in a template is found of its Deployment, whose pods it may keep from being made.
fn templates(cluster: &Cluster) -> Result<()> {
    let kubectl = Kubectl(cluster);
    let annotation = "/spec/template/metadata/annotations/sidecar.mesher.io~1";
    let plant = |name: &str, path: &str, value| -> Result<()> {
        enabled_namespace(cluster, name)?;
        let object = deployment(&[(path, value)]).to_string();
        kubectl.run_with(&format!("create -n {name} -f -"), &object)?;
        Ok(())
    };
    plant("misplaced", "/metadata/annotations/sidecar.mesher.io~1inject", json!("yes"))?;
    let found = within(cluster, &["-n", "misplaced"]).planted(Code::AnnotationMisplaced)?;
    ensure!(found["object"] == "deployment/web", "{found:#}");

    plant("unknown", &format!("{annotation}servicePort"), json!("rest:80"))?;
    let found = within(cluster, &["-n", "unknown"]).planted(Code::AnnotationUnknown)?;
    let problem = found["problem"].as_str().context("no problem")?;
    ensure!(problem.contains("did you mean servicePorts?"), "{found:#}");

    plant("refused", &format!("{annotation}inject"), json!("yse"))?;
    within(cluster, &["-n", "refused"]).planted(Code::PodRefused)?;
    let correct = "kubectl patch deployment web -n refused --type=json -p \
                   '[{\"op\":\"replace\",\"path\":\"/spec/template/metadata/annotations/\
                   sidecar.mesher.io~1inject\",\"value\":\"yes\"}]'";
    run(cluster, correct)?;
    within(cluster, &["-n", "refused"]).gone(Code::PodRefused)?;

    plant("skipped", "/spec/template/spec/hostNetwork", json!(true))?;
    let skipped = within(cluster, &["-n", "skipped"]);
    eventually("its pod is counted", PATIENCE, || {
        Ok((skipped.planted(Code::PodSkipped)?["pods"] == 1).then_some(()))
    })?;

    let label = "/spec/template/metadata/labels/sidecar.mesher.io~1inject";
    plant("opted-out", label, json!("false"))?;
    within(cluster, &["-n", "opted-out"]).planted(Code::LabelOptsOut)?;
    Ok(())
}

fn a_namespace_that_is_not_enabled(cluster: &Cluster) -> Result<()> {
    let name = cluster.namespace("plain")?;
    deploy(cluster, &name, &[])?;
    let old = only_pod(cluster, &name)?;
    let arguments = ["-n", &name];
    let live = within(cluster, &arguments);
    let found = live.mended(Code::NamespaceNotEnabled)?;
    ensure!(found["object"] == "deployment/web" && found["pods"] == 1, "{found:#}");
    finish_rollout(cluster, &name, &old)?;
    eventually("its new pod has a sidecar", PATIENCE, || {
        let checked = live.check()?;
        ensure!(checked.of(Code::SidecarMissing).is_empty(), "{checked:#?}");
        Ok(Some(()))
    })
}

fn a_misspelt_namespace(cluster: &Cluster) -> Result<()> {
    let name = cluster.namespace("misspelt")?;
    Kubectl(cluster).run(&format!("label namespace {name} sidecar-injection=enabled"))?;
    let arguments = ["-n", &name];
    within(cluster, &arguments).mended(Code::NamespaceMisspelt)?;
    let labels = Kubectl(cluster).get(&format!("namespace {name}"))?["metadata"]["labels"].clone();
    let told = labels["sidecar-injector"] == "enabled" && labels["sidecar-injection"].is_null();
    ensure!(told, "{labels}");
    Ok(())
}

/// Their namespace was labelled when they were there.
fn pods_that_missed_the_injector(cluster: &Cluster) -> Result<()> {
    let name = cluster.namespace("missed")?;
    deploy(cluster, &name, &[])?;
    let old = only_pod(cluster, &name)?;
    Kubectl(cluster).run(&format!("label namespace {name} sidecar-injector=enabled"))?;
    let arguments = ["-n", &name];
    let live = within(cluster, &arguments);
    let found = live.planted(Code::SidecarMissing)?;
    ensure!(found["object"] == "deployment/web" && found["pods"] == 1, "{found:#}");
    let restart = found["fix"]["command"].as_str().context("no command")?;
    ensure!(restart == format!("kubectl rollout restart deployment/web --namespace {name}"));
    run(cluster, restart)?;
    finish_rollout(cluster, &name, &old)?;
    live.gone(Code::SidecarMissing)
}

/// Bare pods and Jobs are told what to do instead, and a ReplicaSet makes up for its pods.
fn pods_that_nobody_restarts(cluster: &Cluster) -> Result<()> {
    let kubectl = Kubectl(cluster);
    let name = cluster.namespace("alone")?;
    let pod = asking("alone");
    kubectl.run_with(&format!("create -n {name} -f -"), &pod.to_string())?;
    let mut template = json!({"metadata": pod["metadata"], "spec": pod["spec"]});
    template["metadata"]["labels"] = json!({"app": "web"});
    let mut job = template.clone();
    job["spec"]["restartPolicy"] = json!("Never");
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"},
         "spec": {"template": job}},
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "set"},
         "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
                  "template": template}},
    ]});
    kubectl.run_with(&format!("create -n {name} -f -"), &objects.to_string())?;
    eventually("all pods are there", PATIENCE, || {
        let pods = kubectl.get(&format!("pods -n {name}"))?;
        Ok(pods["items"].as_array().is_some_and(|pods| pods.len() == 4).then_some(()))
    })?;
    kubectl.run(&format!("label namespace {name} sidecar-injector=enabled"))?;
    let arguments = ["-n", &name];
    let checked = within(cluster, &arguments).check()?;
    let fix = |object: &str, how: &str| {
        let all = checked.of(Code::SidecarMissing);
        let found = all.into_iter().find(|finding| finding["object"] == object);
        let fix = found.and_then(|finding| finding["fix"][how].as_str().map(str::to_owned));
        fix.with_context(|| format!("{object}: {checked:#?}"))
    };
    ensure!(fix("pod/alone", "advice")?.contains("and create it again"));
    ensure!(fix("job/once", "advice")?.contains("a Job keeps the pods it has"));
    let delete = fix("replicaset/set", "command")?;
    ensure!(delete.matches(" set-").count() == 2, "{delete}");
    run(cluster, &format!("{delete} --force --grace-period=0"))?;
    eventually("the ReplicaSet's pods have their sidecars", PATIENCE, || {
        let checked = within(cluster, &arguments).check()?;
        let mut missing = checked.of(Code::SidecarMissing).into_iter();
        Ok(missing.all(|finding| finding["object"] != "replicaset/set").then_some(()))
    })
}

/// The ConfigMap says another image than the one that pods have.
fn sidecars_of_yesterday(cluster: &Cluster) -> Result<()> {
    let kubectl = Kubectl(cluster);
    let name = enabled_namespace(cluster, "yesterday")?;
    deploy(cluster, &name, &[])?;
    let old = only_pod(cluster, &name)?;
    let arguments = ["-n", &name];
    let live = within(cluster, &arguments);
    live.gone(Code::SidecarStale)?;

    let text = configured(kubectl)?.replace("image: mesher:0.1.0", "image: mesher:0.2.0");
    let patch = json!({"data": {"config.yaml": text}}).to_string();
    let patch_file = cluster.folder().join("patch.json");
    fs::write(&patch_file, patch)?;
    let file = patch_file.display();
    kubectl.run(&format!("patch configmap {NAME} -n {NAME} --patch-file {file}"))?;
    let found = live.planted(Code::SidecarStale)?;
    ensure!(found["object"] == "deployment/web" && found["pods"] == 1, "{found:#}");

    // The injector runs outside of the cluster: its file is the ConfigMap's, mounted.
    fs::write(cluster.folder().join(NAME).join("config.yaml"), &text)?;
    let pod = json!({"metadata": {"name": "probe"}, "spec": asking("probe")["spec"]});
    eventually("the injector has taken the image over", PATIENCE, || {
        let mut pod = pod.clone();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["annotations"] = asking("probe")["metadata"]["annotations"].clone();
        let path = format!("/api/v1/namespaces/{name}/pods?dryRun=All");
        Ok(kubectl.post(&path, &pod)?.stdout.contains("mesher:0.2.0").then_some(()))
    })?;
    run(cluster, found["fix"]["command"].as_str().context("no command")?)?;
    finish_rollout(cluster, &name, &old)?;
    live.gone(Code::SidecarStale)
}
