//! An API server that says its version, goes away and comes back.

use anyhow::{Context, Result, ensure};
use e2e::kubectl::Kubectl;
use injector::kubernetes::State;
use serde_json::json;
use testbed::{Cluster, ClusterOptions};
use tokio::sync::watch;

use crate::{PATIENCE, client, keep, self_issued, some_ca, until};

#[tokio::test(flavor = "multi_thread")]
async fn its_version_makes_sidecars_native() -> Result<()> {
    let cluster = Cluster::shared()?;
    let (_certificates, receiver) = watch::channel(some_ca()?);
    let keeper = keep(&client(cluster).await?, "version", receiver);
    let server = until(&keeper.api_server(), PATIENCE, |server| server.settled).await?;
    assert_eq!(server.version, Some((1, 36)));
    ensure!(server.native_by_default() && server.error.is_none());
    Ok(())
}

/// Everything that was loaded is served on, the state says what is wrong, and what changed
/// meanwhile is taken up.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_survived() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::default())?;
    let namespace = cluster.namespace("outage")?;
    let client = client(&cluster).await?;
    let object = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "outage"},
        "webhooks": [{
            "name": "ours.mesher.io",
            "clientConfig": {"url": "https://127.0.0.1:9/mutate"},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }],
    })
    .to_string();
    cluster.apply(&object)?;
    let serving = self_issued(&client, &namespace)?;
    let keeper = keep(&client, "outage", serving.status());
    let state = keeper.ca_bundle();
    let before = until(&state, PATIENCE, |now| now.state == State::Current).await?;
    let leaf = serving.status().borrow().leaf.clone();

    cluster.stop_apiserver();
    let gone = until(&state, PATIENCE, |now| matches!(now.state, State::Error { .. })).await?;
    let State::Error { message } = gone.state else { unreachable!("it was waited for") };
    ensure!(message.contains("check that the API server can be reached"), "{message}");
    ensure!(serving.resolver().is_ready());

    cluster.start_apiserver()?;
    let back = until(&state, PATIENCE, |now| now.state == State::Current).await?;
    assert_eq!(back.writes, before.writes, "nothing had changed");
    Kubectl(&cluster).run_with("replace -f -", &object)?;
    until(&state, PATIENCE, |now| now.writes > before.writes).await?;
    let status = until(&serving.status(), PATIENCE, |s| s.error.is_none()).await?;
    assert_eq!(status.leaf.context("a leaf")?, leaf.context("a leaf")?);
    Ok(())
}
