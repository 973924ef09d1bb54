//! The main job, as users do it: label a namespace, `kubectl create` the examples, and the pods
//! that the real controller manager makes of them carry the sidecar that the real injector,
//! called by the real API server, put there.

mod examples;
mod rules;
mod untouched;
mod without;

use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use e2e::installation::{Installation, NAME, checkout, enabled_namespace};
use e2e::kubectl::Kubectl;
use e2e::pod::Pod;
use serde_json::Value;
use testbed::Cluster;

/// The injector of all scenarios here; each has its own namespace.
fn kubectl() -> Result<Kubectl<'static>> {
    static INJECTOR: OnceLock<Result<Installation<'static>, String>> = OnceLock::new();
    let start = || Installation::start(Cluster::shared()?, &testbed::binary(NAME)?);
    let started = INJECTOR.get_or_init(|| start().map_err(|error| format!("{error:#}")));
    started.as_ref().map_err(|error| anyhow!("{error}"))?;
    Ok(Kubectl(Cluster::shared()?))
}

/// A namespace whose pods may ask.
fn enabled(name: &str) -> Result<(Kubectl<'static>, String)> {
    let kubectl = kubectl()?;
    Ok((kubectl, enabled_namespace(kubectl.0, name)?))
}

fn example(path: &str) -> String {
    checkout("examples").join(path).display().to_string()
}

/// Creates the pod and returns it as it was stored, with what kubectl printed on stderr.
fn create(kubectl: Kubectl<'_>, namespace: &str, pod: &Value) -> Result<(Pod, String)> {
    let answer =
        kubectl.run_with(&format!("create -n {namespace} -o json -f -"), &pod.to_string())?;
    Ok((Pod(answer.json()?), answer.stderr))
}
