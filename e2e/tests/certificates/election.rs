//! One of several replicas leads, by a Lease on a real API server.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::kubectl::Kubectl;
use injector::kubernetes::{Candidacy, Election};
use kube::Client;
use testbed::{Cluster, ClusterOptions};

use crate::{PATIENCE, client, until};

/// Stands for the Lease `writer` of `namespace`.
fn stand(client: &Client, namespace: &str, identity: &str, duration: u64) -> Election {
    let duration = Duration::from_secs(duration);
    let candidacy = Candidacy {
        namespace: namespace.to_owned(),
        name: "writer".to_owned(),
        identity: identity.to_owned(),
        duration,
        renew: duration * 2 / 3,
        retry: Duration::from_millis(300),
    };
    Election::stand(client.clone(), candidacy)
}

async fn leads(election: &Election) -> Result<()> {
    until(&election.leads(), PATIENCE, |leads| *leads).await?;
    until(&election.leadership(), PATIENCE, |state| state.leading).await?;
    Ok(())
}

/// Waits until one of them leads, and takes it out.
async fn elected(candidates: &mut Vec<Election>) -> Result<Election> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let leading: Vec<_> =
            (0..candidates.len()).filter(|at| *candidates[*at].leads().borrow()).collect();
        ensure!(leading.len() < 2, "{leading:?} lead");
        if let Some(at) = leading.first() {
            return Ok(candidates.remove(*at));
        }
        ensure!(tokio::time::Instant::now() < deadline, "nobody leads");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_its_place_passes_on_when_it_resigns_or_dies() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = cluster.namespace("election")?;
    let client = client(cluster).await?;
    let mut others: Vec<_> =
        ["a", "b", "c"].iter().map(|name| stand(&client, &namespace, name, 3)).collect();
    elected(&mut others).await?.resign().await;
    drop(elected(&mut others).await?);
    let last = elected(&mut others).await?;
    let lease = Kubectl(cluster).get(&format!("lease writer -n {namespace}"))?;
    let holder = until(&last.leadership(), PATIENCE, |state| state.leading).await?.holder;
    assert_eq!(lease["spec"]["holderIdentity"].as_str(), holder.as_deref());
    assert_eq!(lease["spec"]["leaseTransitions"], 2);
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 3);
    Ok(())
}

/// Whoever cannot say that it is still there must take it that another leads.
#[tokio::test(flavor = "multi_thread")]
async fn without_an_api_server_nobody_leads() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::default())?;
    let namespace = cluster.namespace("outage")?;
    let election = stand(&client(&cluster).await?, &namespace, "a", 3);
    leads(&election).await?;
    cluster.stop_apiserver();
    until(&election.leads(), PATIENCE, |leads| !leads).await?;
    let state = until(&election.leadership(), PATIENCE, |state| !state.leading).await?;
    ensure!(state.error.is_some(), "{state:?}");
    cluster.start_apiserver()?;
    leads(&election).await?;
    until(&election.leadership(), PATIENCE, |state| state.error.is_none()).await?;
    Ok(())
}

/// By an operator's hand, or by another replica while this one was paused.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_in_another_hand_is_respected_and_a_deleted_one_made_again() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = cluster.namespace("taken")?;
    let election = stand(&client(cluster).await?, &namespace, "a", 60);
    leads(&election).await?;
    let kubectl = Kubectl(cluster);
    // A clock that is years ahead, or behind, is nobody's reason.
    let taken = r#"{"spec":{"holderIdentity":"z","renewTime":"1999-01-01T00:00:00.000000Z"}}"#;
    kubectl.run(&format!("patch lease writer -n {namespace} --type=merge -p {taken}"))?;
    let lost = until(&election.leadership(), PATIENCE, |state| !state.leading).await?;
    assert_eq!(lost.holder.as_deref(), Some("z"));
    ensure!(!*election.leads().borrow());

    kubectl.run(&format!("delete lease writer -n {namespace}"))?;
    leads(&election).await?;
    let lease = kubectl.get(&format!("lease writer -n {namespace}"))?;
    assert_eq!(lease["spec"]["holderIdentity"], "a");

    // One that runs again under its old name goes on where it was.
    drop(election);
    let again = stand(&client(cluster).await?, &namespace, "a", 60);
    leads(&again).await.context("its own Lease is no obstacle")?;
    Ok(())
}
