//! Faults of the injector's Deployment and Service, where the API server calls a Service. Nobody
//! controls the Deployment here, so that its status is what a test writes.

use anyhow::{Result, ensure};
use e2e::installation::{NAME, checkout};
use e2e::kubectl::Kubectl;
use injector::check::Code;
use serde_json::json;
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
    kubectl.run(&apply)?;

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

    kubectl.run(&format!("delete service {NAME} -n {NAME}"))?;
    live.planted(Code::InjectorMissing)?;
    kubectl.run(&apply)?;
    live.gone(Code::InjectorMissing)?;
    kubectl.run(&format!("delete deployment {NAME} -n {NAME}"))?;
    live.planted(Code::InjectorMissing)?;
    Ok(())
}
