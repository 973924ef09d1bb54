//! `sidecar-injector check` on a cluster where everything really runs: nothing to say, and then of
//! each fault what it is and what mends it. The full list is planted in `e2e/tests/check`.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::installation::NAME;
use e2e::kubectl::eventually;
use e2e::pod::items;
use serde_json::Value;

use crate::place::{NAMESPACE, PATIENCE, Place};

/// What earlier scenarios did to the API server's calls, which it counts since it started.
const HISTORY: [&str; 2] = ["webhook_failed", "webhook_slow"];

/// The findings of a check and how it ended, without those on what is past.
fn check(place: &Place) -> Result<(Vec<Value>, Option<i32>)> {
    let mut command = Command::new(testbed::binary(NAME)?);
    command.env_clear().env("KUBECONFIG", place.kubectl.0.kubeconfig());
    let output = command.args(["check", "-o", "json"]).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let report: Value =
        serde_json::from_slice(&output.stdout).with_context(|| format!("no report: {told}"))?;
    ensure!(items(&report["notChecked"]).is_empty(), "{report:#}");
    let mut findings = items(&report["findings"]).to_vec();
    findings.retain(|finding| HISTORY.iter().all(|code| finding["code"] != *code));
    Ok((findings, output.status.code()))
}

/// Waits until a check finds this.
pub(crate) fn found(place: &Place, code: &str) -> Result<Value> {
    eventually(&format!("check finds {code}"), PATIENCE, || {
        let (findings, _) = check(place)?;
        let finding = findings.iter().find(|finding| finding["code"] == code);
        ensure!(finding.is_some(), "{findings:#?}");
        Ok(finding.cloned())
    })
}

/// Runs the command that a finding names, as its reader would.
pub(crate) fn fix(place: &Place, finding: &Value) -> Result<()> {
    let command = finding["fix"]["command"].as_str();
    place.shell(command.with_context(|| format!("no command: {finding:#}"))?)?;
    Ok(())
}

/// Waits until a check finds nothing.
fn green(place: &Place) -> Result<()> {
    eventually("check finds nothing", PATIENCE, || {
        let (findings, code) = check(place)?;
        ensure!(findings.is_empty() && code == Some(0), "{code:?} {findings:#?}");
        Ok(Some(()))
    })
}

#[test]
fn check_finds_nothing_and_then_each_fault_with_its_fix() -> Result<()> {
    let Some(place) = Place::take()? else { return Ok(()) };
    let kubectl = place.kubectl;
    green(&place)?;
    kubectl.run("create namespace shop")?;
    for (fault, code) in [
        ("label namespace shop sidecar-injector=enable", "namespace_misspelt"),
        ("delete clusterrolebinding sidecar-injector", "right_missing"),
    ] {
        kubectl.run(fault)?;
        fix(&place, &found(&place, code)?)?;
        green(&place).context(code)?;
    }
    kubectl.run("delete namespace shop --wait=false")?;

    kubectl.run(&format!("delete mutatingwebhookconfiguration {NAME}"))?;
    let finding = found(&place, "webhook_missing")?;
    let advice = finding["fix"].to_string();
    ensure!(advice.contains("manifests/base, or the overlay"), "{finding:#}");
    place.apply("manifests/overlays/ha")?;
    green(&place)?;

    // This the running injector mends by itself.
    let broken = "{\"data\":{\"tls.crt\":\"bm9uZQ==\"}}";
    let secret = format!("secret sidecar-injector-certificates -n {NAME}");
    kubectl.run(&format!("patch {secret} --type=merge -p {broken}"))?;
    green(&place)?;
    on_the_deployment_instead_of_its_pods(&place)
}

/// There is no command for it, but what to do is said.
fn on_the_deployment_instead_of_its_pods(place: &Place) -> Result<()> {
    let kubectl = place.kubectl;
    let annotate = |value: &str| {
        kubectl.run(&format!("annotate deployment client -n {NAMESPACE} sidecar.mesher.io/{value}"))
    };
    annotate("inject=yes")?;
    let finding = found(place, "annotation_misplaced")?;
    ensure!(finding["object"] == "deployment/client", "{finding:#}");
    annotate("inject-")?;
    green(place)
}
