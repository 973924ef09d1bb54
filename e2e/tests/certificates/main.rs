//! The injector's certificates against a real API server: CA and leaf in a Secret, and the CA in
//! `caBundle` of the webhook configuration.
//!
//! These scenarios run the code that does it, not the whole program: they break Secrets and
//! configurations in ways that would disturb everything else the program does.

mod api_server;
mod ca_bundle;
mod election;
mod replicas;
mod secret;

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use certs::store::SecretStore;
use certs::{Authority, Bundle, Names, Serving, Status, Terms, Trust};
use injector::kubernetes::{self, Keeper, Settings};
use kube::Client;
use testbed::Cluster;
use tokio::sync::watch;

/// What a loaded machine may take for anything that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

async fn client(cluster: &Cluster) -> Result<Client> {
    client_of(cluster.kubeconfig()).await
}

async fn client_of(kubeconfig: &Path) -> Result<Client> {
    Ok(kubernetes::connect(Some(kubeconfig)).await?)
}

/// A server that is its own CA in the Secret `certificates` of `namespace`.
fn self_issued(client: &Client, namespace: &str) -> Result<Serving> {
    let store = SecretStore::new(client.clone(), namespace, "certificates");
    let names = Names::of_service("sidecar-injector", namespace)?;
    Ok(Serving::of_store(store, names, Terms::default()))
}

/// A bundle of a CA of its own, as the status of a server that has it.
fn some_ca() -> Result<Status> {
    let ca = Authority::generate("test CA", &Terms::default(), SystemTime::now())?;
    let bundle = Some(Bundle::of(ca.certificate().clone()));
    Ok(Status { bundle, ..Status::default() })
}

/// Waits until what `receiver` announces is as wanted.
async fn until<T: Clone + std::fmt::Debug>(
    receiver: &watch::Receiver<T>,
    patience: Duration,
    wanted: impl Fn(&T) -> bool,
) -> Result<T> {
    let mut receiver = receiver.clone();
    let found = tokio::time::timeout(patience, receiver.wait_for(|value| wanted(value))).await;
    if let Ok(found) = found {
        return Ok(found?.clone());
    }
    drop(found);
    let last = receiver.borrow().clone();
    Err(anyhow::anyhow!("not within {patience:?}; last: {last:?}"))
}

/// Keeps the configuration `name`, whose own entries are `ours.mesher.io` and below.
fn keep(client: &Client, name: &str, certificates: watch::Receiver<Status>) -> Keeper {
    let settings = Settings {
        configuration: name.to_owned(),
        webhooks: vec!["ours.mesher.io".to_owned()],
        ..Settings::default()
    };
    let (trust, _) = watch::channel(Trust::Unconfirmed);
    Keeper::start(client.clone(), settings, certificates, None, trust)
}

/// The bundle as `caBundle` holds it: PEM.
fn pem(status: &Status) -> Result<String> {
    Ok(status.bundle.as_ref().context("there is a bundle")?.to_pem())
}
