//! Who checks: with few rights, with a wrong address, with many objects.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::installation::{PATIENCE, checkout};
use e2e::kubectl::{Kubectl, eventually};
use e2e::pod::asking;
use injector::check::Code;
use serde_json::json;
use testbed::{Cluster, ClusterOptions};

use crate::live::{Live, check_as, program};

/// Nothing is passed over in silence, and the exit code tells an incomplete check from a good one.
#[test]
fn what_may_not_be_read_is_said_with_the_right_it_takes() -> Result<()> {
    let cluster = Cluster::shared()?;
    let kubectl = Kubectl(cluster);
    kubectl.run("create serviceaccount stranger -n default")?;
    let kubeconfig = cluster.account_kubeconfig("default", "stranger")?;
    let checked = check_as(&kubeconfig, &[])?;
    ensure!(checked.findings.is_empty() && checked.code == Some(1), "{checked:#?}");
    for needed in [
        "get the configmap sidecar-injector in namespace sidecar-injector",
        "get the mutatingwebhookconfiguration sidecar-injector",
        "create subjectaccessreviews.authorization.k8s.io",
        "list namespaces (or name one with --namespace)",
        "list pods in all namespaces (or name one with --namespace)",
        "list deployments in all namespaces (or name one with --namespace)",
    ] {
        let said = checked.not_checked.iter().any(|line| line["needs"] == needed);
        ensure!(said, "{needed}: {checked:#?}");
    }
    let partial = check_as(&kubeconfig, &["--partial"])?;
    ensure!(partial.code == Some(0) && partial.not_checked == checked.not_checked);
    let people = program(&kubeconfig, &[])?;
    let printed = String::from_utf8(people.stdout)?;
    ensure!(printed.contains("not checked: pods\n"), "{printed}");
    ensure!(printed.contains("needs    list pods in all namespaces"), "{printed}");
    Ok(())
}

/// A reader of the cluster who may not read Secrets, metrics and the rights of others, nor create
/// pods.
#[test]
fn a_viewer_is_told_what_only_others_see() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions { controller_manager: true })?;
    let kubectl = Kubectl(&cluster);
    kubectl.run(&format!("apply -k {}", checkout("manifests/base").display()))?;
    kubectl.run("label namespace default sidecar-injector=enabled")?;
    kubectl.run("create serviceaccount viewer -n default")?;
    kubectl.run(
        "create clusterrolebinding viewer --clusterrole=view --serviceaccount=default:viewer",
    )?;
    let read = "--verb=get,list --resource=mutatingwebhookconfigurations,namespaces";
    kubectl.run(&format!("create clusterrole webhooks {read}"))?;
    kubectl.run(
        "create clusterrolebinding webhooks --clusterrole=webhooks --serviceaccount=default:viewer",
    )?;
    let kubeconfig = cluster.account_kubeconfig("default", "viewer")?;
    let expected = [
        "get the secret sidecar-injector-certificates in namespace sidecar-injector",
        "create subjectaccessreviews.authorization.k8s.io",
        "create pods in namespace default (as a dry run)",
        "get on the URL /metrics",
    ];
    eventually("exactly these rights are missed", PATIENCE, || {
        let checked = check_as(&kubeconfig, &[])?;
        let missed: Vec<&str> =
            checked.not_checked.iter().filter_map(|line| line["needs"].as_str()).collect();
        ensure!(missed == expected, "{checked:#?}");
        ensure!(!checked.of(Code::CaBundleMissing).is_empty(), "the rest is checked: {checked:#?}");
        Ok(Some(()))
    })
}

#[test]
fn a_dead_api_server_is_one_clear_error() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions { controller_manager: false })?;
    let live = Live { cluster: &cluster, arguments: &[] };
    cluster.stop_apiserver();
    live.planted(Code::ClusterUnreachable)?;
    ensure!(live.check()?.findings.len() == 1);
    cluster.start_apiserver()?;
    live.gone(Code::ClusterUnreachable)
}

/// What keeps the check from running at all: nothing on standard output, the reason and what to do
/// on standard error.
#[test]
fn a_wrong_kubeconfig_context_or_namespace_says_what_there_is() -> Result<()> {
    let cluster = Cluster::shared()?;
    let kubeconfig = cluster.kubeconfig();
    let text = fs::read_to_string(kubeconfig)?;
    let damaged = cluster.folder().join("damaged.kubeconfig");
    fs::write(&damaged, text.replace("clusters:", "clusters: ["))?;
    let strange = cluster.folder().join("strange.kubeconfig");
    let user = text.split("users:").next().context("no users")?;
    let contexts = text.split_once("contexts:").context("no contexts")?.1;
    let token = "users:\n- name: admin\n  user: {token: nonsense}\ncontexts:";
    fs::write(&strange, format!("{user}{token}{contexts}"))?;
    let missing = cluster.folder().join("missing.kubeconfig");
    for (kubeconfig, arguments, code, said) in [
        (
            kubeconfig,
            &["--context", "elsewhere"][..],
            1,
            "no context \"elsewhere\"; it has: testbed",
        ),
        (kubeconfig, &["--namespace", "nowhere"], 1, "there is no namespace nowhere"),
        (kubeconfig, &["--namspace", "x"], 2, "'--namespace'"),
        (kubeconfig, &["--context", "a", "-f", "x.yaml"], 2, "cannot be used with"),
        (&missing, &[], 1, "missing.kubeconfig"),
        (&damaged, &[], 1, "kubeconfig"),
        (&strange, &[], 1, "does not accept these credentials"),
    ] {
        let output = program(kubeconfig, arguments)?;
        let told = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(code), "{arguments:?} {:?} {told}", output.status);
        ensure!(told.contains(said) && output.stdout.is_empty(), "{arguments:?}: {told}");
        ensure!(told.starts_with("error: "), "{told}");
    }
    Ok(())
}

/// Lists come in pages of 500: what is wrong with the last object of the second is found.
#[test]
fn nothing_is_lost_between_pages() -> Result<()> {
    let cluster = Cluster::shared()?;
    let kubectl = Kubectl(cluster);
    let namespace = cluster.namespace("pages")?;
    let pods: Vec<_> = (0..510)
        .map(|n| {
            let name = format!("pod-{n:03}");
            if n == 509 {
                return asking(&name);
            }
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
                "spec": {"containers": [{"name": "app", "image": "app:1"}]},
            })
        })
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": pods});
    kubectl.run_with(&format!("create -n {namespace} -f -"), &list.to_string())?;
    let arguments = ["-n", &namespace, "--partial"];
    let found = Live { cluster, arguments: &arguments }.planted(Code::NamespaceNotEnabled)?;
    ensure!(found["object"] == "pod/pod-509" && found["pods"] == 1, "{found:#}");
    Ok(())
}
