//! Faults of the injector's Deployment and Service, where the API server calls a Service. Nobody
//! controls the Deployment here, so that its status is what a test writes.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use certs::{Authority, Names, Terms};
use e2e::installation::{NAME, checkout};
use e2e::kubectl::Kubectl;
use injector::check::Code;
use serde_json::{Value, json};
use testbed::{Cluster, ClusterOptions};

use crate::live::Live;

#[test]
fn faults_of_the_deployment_are_found_and_their_fixes_help() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions { controller_manager: false })?;
    let live = Live { cluster: &cluster, arguments: &[] };
    let kubectl = Kubectl(&cluster);
    let apply = format!("apply -k {}", checkout("manifests/base").display());
    let ready = |count: u32| {
        let status = json!({"status": {"replicas": count, "readyReplicas": count}});
        let line = "patch deployment sidecar-injector --subresource=status --type=merge";
        kubectl.run(&format!("{line} -n {NAME} -p {status}"))
    };
    with_cert_manager(live)?;
    healing(live)?;
    for overlay in ["overlays/strict", "overlays/ha", "base"] {
        kubectl.run(&format!("apply -k {}", checkout("manifests").join(overlay).display()))?;
        live.gone(Code::WebhookDrift)?;
        live.gone(Code::InjectorAlone)?;
        live.gone(Code::RightMissing)?;
    }

    live.planted(Code::NothingEnabled)?;
    kubectl.run("label namespace default sidecar-injector=enabled")?;
    live.gone(Code::NothingEnabled)?;

    let found = live.planted(Code::InjectorDown)?;
    ensure!(found["object"] == "deployment/sidecar-injector", "{found:#}");
    ready(1)?;
    live.gone(Code::InjectorDown)?;
    kubectl.run(&format!("scale deployment/{NAME} -n {NAME} --replicas=0"))?;
    live.mended(Code::InjectorDown)?;

    kubectl.run(&format!("scale deployment/{NAME} -n {NAME} --replicas=2"))?;
    live.planted(Code::InjectorDegraded)?;
    ready(2)?;
    live.gone(Code::InjectorDegraded)?;

    kubectl.run(&format!("scale deployment/{NAME} -n {NAME} --replicas=1"))?;
    let fail = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]);
    let line = format!("patch mutatingwebhookconfiguration {NAME} --type=json");
    kubectl.run(&format!("{line} -p {fail}"))?;
    live.mended(Code::InjectorAlone)?;

    for (tag, command) in [("0.0.1", true), ("99.0.0", false)] {
        let image = format!("injector={NAME}:{tag}");
        kubectl.run(&format!("set image deployment/{NAME} -n {NAME} {image}"))?;
        if command {
            live.mended(Code::VersionSkew)?;
        } else {
            let found = live.planted(Code::VersionSkew)?;
            ensure!(found["fix"]["advice"].is_string(), "never a step back: {found:#}");
        }
    }

    somebody_elses_certificate(live)?;

    kubectl.run(&format!("delete service {NAME} -n {NAME}"))?;
    live.planted(Code::InjectorMissing)?;
    kubectl.run(&apply)?;
    live.gone(Code::InjectorMissing)?;
    kubectl.run(&format!("delete deployment {NAME} -n {NAME}"))?;
    live.planted(Code::InjectorMissing)?;
    Ok(())
}

/// What its overlay installs is as it ships. Its Certificates are left out, which only the cluster
/// of `cert_manager.rs` knows: so their Secret is missed, and not one of the injector's own.
fn with_cert_manager(live: Live<'_>) -> Result<()> {
    let kubectl = Kubectl(live.cluster);
    let overlay = checkout("manifests/overlays/cert-manager");
    let printed = kubectl.run(&format!("kustomize {}", overlay.display()))?.stdout;
    let known = printed.split("---\n").filter(|one| !one.contains("apiVersion: cert-manager.io/"));
    kubectl.run_with("apply -f -", &known.collect::<Vec<_>>().join("---\n"))?;
    let found = live.planted(Code::CertificateMissing)?;
    ensure!(found["object"] == "secret/sidecar-injector-tls", "{found:#}");
    live.gone(Code::WebhookDrift)?;
    live.gone(Code::RightMissing)?;
    kubectl.run(&format!("delete deployment {NAME} -n {NAME}"))?;
    Ok(())
}

/// Its rights are needed where the Deployment says that it heals, and no sooner.
fn healing(live: Live<'_>) -> Result<()> {
    let kubectl = Kubectl(live.cluster);
    kubectl.run(&format!("apply -k {}", checkout("manifests/overlays/healing").display()))?;
    live.gone(Code::WebhookDrift)?;
    live.gone(Code::RightMissing)?;
    kubectl.run("delete clusterrolebinding sidecar-injector-healing-evict")?;
    let found = live.mended(Code::RightMissing)?;
    let problem = found["problem"].as_str().context("no problem")?;
    ensure!(problem.contains("create pods/eviction"), "{found:#}");
    ensure!(!problem.contains("list pods") && !problem.contains("leases"), "{found:#}");
    kubectl.run("delete clusterrolebinding sidecar-injector-healing-report")?;
    let found = live.planted(Code::RightMissing)?;
    ensure!(found["problem"].to_string().contains("list pods"), "{found:#}");
    Ok(())
}

/// As with cert-manager: the Deployment says by its environment that certificates are files, of a
/// Secret that it mounts; the injector writes none, needs no right to, and `caBundle` is not its.
fn somebody_elses_certificate(live: Live<'_>) -> Result<()> {
    let kubectl = Kubectl(live.cluster);
    let patch = |what: &str, patch: &Value| -> Result<()> {
        let file = live.cluster.folder().join("patch.json");
        std::fs::write(&file, patch.to_string())?;
        kubectl.run(&format!("patch {what} -n {NAME} --patch-file {}", file.display()))?;
        Ok(())
    };
    let of_files = json!({"spec": {"template": {"spec": {
        "containers": [{
            "name": "injector",
            "env": [
                {"name": "SIDECAR_INJECTOR_TLS_MODE", "value": "files"},
                {"name": "SIDECAR_INJECTOR_TLS_FOLDER", "value": "/certificate"},
            ],
            "volumeMounts": [{"name": "certificate", "mountPath": "/certificate"}],
        }],
        "volumes": [{"name": "certificate", "secret": {"secretName": "issued"}}],
    }}}});
    patch(&format!("deployment {NAME}"), &of_files)?;
    kubectl.run(&format!("delete role,rolebinding {NAME} -n {NAME}"))?;
    kubectl.run(&format!("delete clusterrolebinding {NAME}"))?;
    let found = live.planted(Code::CertificateMissing)?;
    ensure!(found["object"] == "secret/issued", "{found:#}");
    let advice = found["fix"]["advice"].as_str().context("no advice")?;
    ensure!(advice.contains("cert-manager"), "{found:#}");
    live.gone(Code::RightMissing)?;

    let (terms, now) = (Terms::default(), SystemTime::now());
    let name = format!("{NAME}.{NAME}.svc");
    kubectl.run(&format!("create secret generic issued -n {NAME}"))?;
    let issue = |then| -> Result<String> {
        let ca = Authority::generate("somebody", &terms, then)?;
        let leaf = ca.issue(&Names::default().with(&name)?, &terms, then)?;
        let data = json!({"data": {"tls.crt": BASE64_STANDARD.encode(leaf.chain_pem())}});
        patch("secret issued", &data)?;
        Ok(ca.certificate().to_pem())
    };
    issue(now - Duration::from_hours(30))?;
    let found = live.planted(Code::CertificateExpired)?;
    ensure!(found["fix"]["advice"].is_string(), "it is not the injector's to renew: {found:#}");
    issue(now - Duration::from_hours(23))?;
    live.planted(Code::CertificateOverdue)?;
    live.gone(Code::CertificateExpired)?;

    let ca = issue(now)?;
    live.gone(Code::CertificateOverdue)?;
    let found = live.planted(Code::CaBundleMissing)?;
    let advice = found["fix"]["advice"].as_str().context("no advice")?;
    ensure!(advice.contains("cainjector"), "{found:#}");
    let trust = |pem: &str| {
        let value = BASE64_STANDARD.encode(pem);
        let add =
            json!([{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": value}]);
        let line = format!("patch mutatingwebhookconfiguration {NAME} --type=json -p {add}");
        kubectl.run(&line)
    };
    trust(&Authority::generate("another", &terms, now)?.certificate().to_pem())?;
    live.planted(Code::CaBundleMismatch)?;
    trust(&ca)?;
    live.gone(Code::CaBundleMismatch)?;
    live.gone(Code::CaBundleMissing)
}
