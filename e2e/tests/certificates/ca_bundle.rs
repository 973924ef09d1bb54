//! `caBundle` of the webhook configuration, by the rules of R33 and B10.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use certs::Trust;
use e2e::installation::{NAME, checkout};
use e2e::kubectl::Kubectl;
use injector::kubernetes::{CaBundle, Keeper, Settings, State};
use serde_json::{Value, json};
use testbed::{Cluster, ClusterOptions};
use tokio::sync::watch;

use crate::{PATIENCE, client, client_of, keep, pem, some_ca, until};

/// How soon a configuration that was applied again must be filled.
const PROMISED: Duration = Duration::from_secs(5);

/// A configuration whose entries call nobody: their selector matches no namespace.
pub(crate) fn configuration(name: &str, entries: &[&str]) -> Value {
    let webhooks: Vec<Value> = entries
        .iter()
        .map(|entry| {
            json!({
                "name": entry,
                "clientConfig": {"url": "https://127.0.0.1:9/mutate"},
                "namespaceSelector": {"matchLabels": {"no-namespace-has": "this"}},
                "rules": [{
                    "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
                    "resources": ["pods"], "scope": "Namespaced",
                }],
                "sideEffects": "None",
                "failurePolicy": "Ignore",
                "admissionReviewVersions": ["v1"],
            })
        })
        .collect();
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": webhooks,
    })
}

pub(crate) fn get(cluster: &Cluster, name: &str) -> Result<Value> {
    Kubectl(cluster).get(&format!("mutatingwebhookconfiguration {name}"))
}

/// `caBundle` of the entry at `index`, as PEM.
pub(crate) fn ca_bundle(configuration: &Value, index: usize) -> Result<Option<String>> {
    let encoded = configuration["webhooks"][index]["clientConfig"]["caBundle"].as_str();
    encoded.map(|e| Ok(String::from_utf8(BASE64_STANDARD.decode(e)?)?)).transpose()
}

async fn reaches(
    state: &watch::Receiver<CaBundle>,
    patience: Duration,
    wanted: State,
    writes: u64,
) -> Result<CaBundle> {
    until(state, patience, |now| now.state == wanted && now.writes == writes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn r33_our_entries_are_filled_and_nothing_else_is_touched() -> Result<()> {
    let cluster = Cluster::shared()?;
    let name = "filled";
    let entries = ["ours.mesher.io", "foreign.example.com", "more.ours.mesher.io"];
    let object = configuration(name, &entries);
    cluster.apply(&object.to_string())?;
    let before = get(cluster, name)?;

    let status = some_ca()?;
    let (_certificates, receiver) = watch::channel(status.clone());
    let keeper = keep(&client(cluster).await?, name, receiver);
    reaches(&keeper.ca_bundle(), PATIENCE, State::Current, 1).await?;

    let mut after = get(cluster, name)?;
    assert_eq!(ca_bundle(&after, 0)?, Some(pem(&status)?));
    assert_eq!(ca_bundle(&after, 1)?, None, "the entry of somebody else");
    assert_eq!(ca_bundle(&after, 2)?, Some(pem(&status)?));
    let shown = cluster.run(&[
        "get",
        "mutatingwebhookconfiguration",
        name,
        "--show-managed-fields",
        "-o=jsonpath={.metadata.managedFields[?(@.manager==\"sidecar-injector-ca\")].fieldsV1}",
    ])?;
    let entry = json!({".": {}, "f:name": {}, "f:clientConfig": {"f:caBundle": {}}});
    let owned: Value = serde_json::from_str(&shown)?;
    assert_eq!(
        owned,
        json!({"f:webhooks": {
            r#"k:{"name":"ours.mesher.io"}"#: entry,
            r#"k:{"name":"more.ours.mesher.io"}"#: entry,
        }})
    );
    for index in [0, 2] {
        let config = after["webhooks"][index]["clientConfig"].as_object_mut();
        config.context("a client configuration")?.remove("caBundle");
    }
    assert_eq!(after["webhooks"], before["webhooks"]);
    keeper.stop().await;
    Ok(())
}

/// B10: re-applying the manifest broke TLS until a restart. B11: it wrote at every event,
/// and the first error of its watch was its last.
#[tokio::test(flavor = "multi_thread")]
async fn b10_a_manifest_applied_again_heals_and_there_is_no_write_loop() -> Result<()> {
    let cluster = Cluster::shared()?;
    let name = "healed";
    let object = configuration(name, &["ours.mesher.io"]).to_string();
    cluster.apply(&object)?;
    let status = some_ca()?;
    let (_certificates, receiver) = watch::channel(status.clone());
    let keeper = keep(&client(cluster).await?, name, receiver);
    let state = keeper.ca_bundle();
    reaches(&state, PATIENCE, State::Current, 1).await?;
    let filled = get(cluster, name)?;

    // Client-side or server-side apply of a manifest without the key leaves it, and writes nothing.
    cluster.apply(&object)?;
    let line = "apply --server-side --force-conflicts -f -";
    Kubectl(cluster).run_with(line, &object)?;
    assert_eq!(ca_bundle(&get(cluster, name)?, 0)?, ca_bundle(&filled, 0)?);
    // A replacement drops it.
    Kubectl(cluster).run_with("replace -f -", &object)?;
    // Exactly one more write, though the watch told of every change above and of our own.
    reaches(&state, PROMISED, State::Current, 2).await?;
    // So does an empty value, which a manifest may carry.
    let mut emptied: Value = serde_json::from_str(&object)?;
    emptied["webhooks"][0]["clientConfig"]["caBundle"] = json!("");
    Kubectl(cluster).run_with(line, &emptied.to_string())?;
    reaches(&state, PROMISED, State::Current, 3).await?;
    let healed = get(cluster, name)?;
    assert_eq!(ca_bundle(&healed, 0)?, Some(pem(&status)?));

    // A label makes the keeper look; a look alone must not write.
    for value in ["a", "b", "c"] {
        let label = format!("team={value}");
        cluster.run(&["label", "--overwrite", "mutatingwebhookconfiguration", name, &label])?;
    }
    Kubectl(cluster).run_with("replace -f -", &object)?;
    reaches(&state, PROMISED, State::Current, 4).await?;
    Ok(())
}

/// B12: the original ended where its configuration did not exist.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_configuration_stays_deleted_and_is_filled_on_its_return() -> Result<()> {
    let cluster = Cluster::shared()?;
    let name = "deleted";
    let object = configuration(name, &["ours.mesher.io"]).to_string();
    let (certificates, receiver) = watch::channel(some_ca()?);
    let keeper = keep(&client(cluster).await?, name, receiver);
    let state = keeper.ca_bundle();
    // Before it was ever applied.
    reaches(&state, PATIENCE, State::Missing, 0).await?;
    cluster.apply(&object)?;
    reaches(&state, PROMISED, State::Current, 1).await?;

    cluster.run(&["delete", "mutatingwebhookconfiguration", name])?;
    let missing = reaches(&state, PATIENCE, State::Missing, 1).await?;
    // Another CA makes it look again, and want to write.
    let renewed = some_ca()?;
    certificates.send_replace(renewed.clone());
    let list = ["get", "mutatingwebhookconfiguration", name, "--ignore-not-found"];
    assert_eq!(cluster.run(&list)?, "");

    cluster.apply(&object)?;
    let back = reaches(&state, PROMISED, State::Current, 2).await?;
    ensure!(back.since > missing.since);
    assert_eq!(ca_bundle(&get(cluster, name)?, 0)?, Some(pem(&renewed)?));
    Ok(())
}

/// An apply that pins `uid` and `resourceVersion` is refused once the object is gone or changed:
/// this is what keeps a racing deletion a deletion.
#[tokio::test(flavor = "multi_thread")]
async fn deletions_in_a_race_with_writes_stay_deletions() -> Result<()> {
    let cluster = Cluster::shared()?;
    let name = "raced";
    let object = configuration(name, &["ours.mesher.io"]).to_string();
    let (certificates, receiver) = watch::channel(some_ca()?);
    let keeper = keep(&client(cluster).await?, name, receiver);
    for _ in 0..10 {
        cluster.apply(&object)?;
        // The keeper writes while kubectl deletes.
        certificates.send_replace(some_ca()?);
        cluster.run(&["delete", "mutatingwebhookconfiguration", name])?;
        let list = ["get", "mutatingwebhookconfiguration", name, "--ignore-not-found"];
        assert_eq!(cluster.run(&list)?, "");
    }
    let state = keeper.ca_bundle();
    until(&state, PATIENCE, |now| now.state == State::Missing).await?;
    keeper.stop().await;

    // An apply makes what does not exist; the uid alone keeps it from that.
    let line = "apply --server-side --force-conflicts -f -";
    let mut applied = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name, "uid": "00000000-0000-0000-0000-000000000000"},
        "webhooks": [],
    });
    let refused = Kubectl(cluster).try_run_with(line, &applied.to_string())?.refused()?;
    ensure!(refused.contains("uid mismatch"), "{refused}");
    applied["metadata"] = json!({"name": name});
    Kubectl(cluster).run_with(line, &applied.to_string())?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_without_entries_of_ours_is_left_alone() -> Result<()> {
    let cluster = Cluster::shared()?;
    let name = "foreign";
    let object = configuration(name, &["foreign.example.com", "not-ours.mesher.io"]);
    cluster.apply(&object.to_string())?;
    let version = get(cluster, name)?["metadata"]["resourceVersion"].clone();
    let (certificates, receiver) = watch::channel(certs::Status::default());
    let keeper = keep(&client(cluster).await?, name, receiver);
    let state = keeper.ca_bundle();
    reaches(&state, PATIENCE, State::Unmanaged, 0).await?;
    certificates.send_replace(some_ca()?);
    reaches(&state, PATIENCE, State::NotOurs, 0).await?;
    assert_eq!(get(cluster, name)?["metadata"]["resourceVersion"], version);
    Ok(())
}

/// The shipped roles are enough for Secret, watch and write, and not for making a configuration.
#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_roles_are_enough() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::default())?;
    let manifests = checkout("manifests/base");
    Kubectl(&cluster).run(&format!("apply -k {}", manifests.display()))?;
    let kubeconfig = cluster.account_kubeconfig(NAME, NAME)?;
    let client = client_of(&kubeconfig).await?;

    let store =
        certs::store::SecretStore::new(client.clone(), NAME, "sidecar-injector-certificates");
    let names = certs::Names::of_service(NAME, NAME)?;
    let serving = certs::Serving::of_store(store, names, certs::Terms::default());
    let (trust, _) = watch::channel(Trust::Unconfirmed);
    let keeper = Keeper::start(client, Settings::default(), serving.status(), None, trust);
    let state = keeper.ca_bundle();
    reaches(&state, PATIENCE, State::Current, 1).await?;
    until(&keeper.api_server(), PATIENCE, |server| server.version.is_some()).await?;

    // Only the watches tell of these so soon.
    let status = serving.status().borrow().clone();
    Kubectl(&cluster).run(&format!("delete secret sidecar-injector-certificates -n {NAME}"))?;
    let line = format!("delete mutatingwebhookconfiguration {NAME}");
    Kubectl(&cluster).run(&line)?;
    reaches(&state, PROMISED, State::Missing, 1).await?;
    Kubectl(&cluster).run(&format!("apply -k {}", manifests.display()))?;
    let filled = reaches(&state, PROMISED, State::Current, 2).await?;
    assert_eq!(filled.watch_error, None);
    assert_eq!(ca_bundle(&get(&cluster, NAME)?, 0)?, Some(pem(&status)?));
    let line = format!("secret sidecar-injector-certificates -n {NAME}");
    e2e::kubectl::eventually("the Secret is back", PATIENCE, || {
        Ok(Kubectl(&cluster).get(&line).ok())
    })?;
    Ok(())
}
