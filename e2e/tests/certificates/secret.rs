//! CA and leaf in a Secret.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use certs::Status;
use e2e::kubectl::{Kubectl, eventually};
use serde_json::Value;
use testbed::Cluster;

use crate::{PATIENCE, client, self_issued, until};

fn text(secret: &Value, key: &str) -> Result<String> {
    let encoded = secret["data"][key].as_str().with_context(|| format!("no {key} in {secret}"))?;
    Ok(String::from_utf8(BASE64_STANDARD.decode(encoded)?)?)
}

fn served(status: &Status) -> bool {
    status.leaf.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn made_once_and_taken_up_by_the_next_start() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = cluster.namespace("made-once")?;
    let client = client(cluster).await?;
    let serving = self_issued(&client, &namespace)?;
    let first = until(&serving.status(), PATIENCE, served).await?;
    serving.stop().await;

    let get = format!("secret certificates -n {namespace}");
    let secret = Kubectl(cluster).get(&get)?;
    assert_eq!(secret["type"], "kubernetes.io/tls");
    assert_eq!(text(&secret, "ca.crt")?, first.bundle.as_ref().context("a bundle")?.to_pem());
    assert_eq!(text(&secret, "tls.crt")?, first.leaf.as_ref().context("a leaf")?.to_pem());
    for key in ["ca.key", "tls.key"] {
        ensure!(text(&secret, key)?.starts_with("-----BEGIN PRIVATE KEY-----"), "{key}");
    }

    let serving = self_issued(&client, &namespace)?;
    let second = until(&serving.status(), PATIENCE, served).await?;
    assert_eq!((second.leaf, second.bundle), (first.leaf, first.bundle));
    let after = Kubectl(cluster).get(&get)?;
    assert_eq!(after["metadata"]["resourceVersion"], secret["metadata"]["resourceVersion"]);
    Ok(())
}

/// Create-or-get: whoever loses reads what the winner made.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_together_end_with_one_ca() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = cluster.namespace("race")?;
    let client = client(cluster).await?;
    let all = (0..8).map(|_| self_issued(&client, &namespace)).collect::<Result<Vec<_>>>()?;
    let mut seen = Vec::new();
    for serving in &all {
        seen.push(until(&serving.status(), PATIENCE, served).await?);
    }
    let secret = Kubectl(cluster).get(&format!("secret certificates -n {namespace}"))?;
    for status in seen {
        assert_eq!(status.bundle.context("a bundle")?.to_pem(), text(&secret, "ca.crt")?);
        assert_eq!(status.leaf.context("a leaf")?.to_pem(), text(&secret, "tls.crt")?);
        assert_eq!((status.generation, status.error), (1, None), "no server served another first");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_or_damaged_secret_comes_back_as_it_was() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = cluster.namespace("healed")?;
    let serving = self_issued(&client(cluster).await?, &namespace)?;
    until(&serving.status(), PATIENCE, served).await?;
    let kubectl = Kubectl(cluster);
    let get = format!("secret certificates -n {namespace}");
    let before = kubectl.get(&get)?;
    let healed = |what: &str| {
        eventually(what, PATIENCE, || {
            let now = kubectl.get(&get)?;
            Ok((now["data"] == before["data"]).then_some(now))
        })
    };

    kubectl.run(&format!("delete {get}"))?;
    healed("the deleted Secret is back")?;

    kubectl.run(&format!("label {get} team=a"))?;
    let junk = r#"{"data":{"tls.key":"anVuaw==","ca.crt":null,"mine":"bWluZQ=="}}"#;
    kubectl.run(&format!("patch {get} --type=merge -p {junk}"))?;
    let now = eventually("the damaged Secret is repaired", PATIENCE, || {
        let now = kubectl.get(&get)?;
        let ours = ["ca.crt", "ca.key", "tls.crt", "tls.key"];
        Ok(ours.iter().all(|k| now["data"][k] == before["data"][k]).then_some(now))
    })?;
    assert_eq!(now["metadata"]["labels"]["team"], "a", "what others wrote stays");
    assert_eq!(now["data"]["mine"], "bWluZQ==");
    assert_eq!(serving.status().borrow().generation, 1, "no client noticed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_does_not_exist_is_an_error_and_no_race() -> Result<()> {
    let serving = self_issued(&client(Cluster::shared()?).await?, "nowhere")?;
    let status = until(&serving.status(), PATIENCE, |s| s.error.is_some()).await?;
    let error = status.error.context("an error")?;
    ensure!(error.contains("namespaces \"nowhere\" not found"), "{error}");
    Ok(())
}
