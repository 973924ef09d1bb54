//! Two replicas with one Secret and one `caBundle`, while their CA is replaced. No Lease keeps either
//! from writing: what holds here holds whatever an election does.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use certs::store::SecretStore;
use certs::{Bundle, Names, Serving, Status, Term, Terms, server_config};
use e2e::injector::trusting;
use e2e::kubectl::Kubectl;
use injector::kubernetes::{Keeper, State};
use kube::Client;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConfig, ServerConnection};
use testbed::Cluster;
use tokio::time::Instant;

use crate::ca_bundle::{ca_bundle, configuration, get};
use crate::{PATIENCE, client, keep, until};

/// Long enough that a loaded machine keeps them, short enough to wait for a CA's replacement.
fn terms() -> Terms {
    let seconds = Duration::from_secs;
    Terms {
        ca: Term { lifetime: seconds(90), renew_after: seconds(14) },
        leaf: Term { lifetime: seconds(30), renew_after: seconds(7) },
        settle: seconds(6),
        ..Terms::default()
    }
}

/// What a process of the injector runs for its certificate.
struct Replica {
    serving: Serving,
    keeper: Keeper,
    tls: Arc<ServerConfig>,
}

impl Replica {
    fn start(client: &Client, namespace: &str) -> Result<Self> {
        let store = SecretStore::new(client.clone(), namespace, "certificates");
        let names = Names::of_service("sidecar-injector", namespace)?;
        let serving = Serving::of_store(store, names, terms());
        let keeper = keep(client, namespace, serving.status());
        let tls = Arc::new(server_config(serving.resolver()));
        Ok(Self { serving, keeper, tls })
    }

    async fn ready(&self) -> Result<Status> {
        until(&self.keeper.ca_bundle(), PATIENCE, |now| now.state == State::Current).await?;
        until(&self.serving.status(), PATIENCE, |now| now.leaf.is_some()).await
    }

    /// Connects as the API server does that has read `pem` from the configuration.
    fn handshake(&self, namespace: &str, pem: &str) -> Result<()> {
        let name = ServerName::try_from(format!("sidecar-injector.{namespace}.svc"))?;
        let mut client = ClientConnection::new(trusting(pem.as_bytes())?, name)?;
        let mut server = ServerConnection::new(Arc::clone(&self.tls))?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire)?;
            }
            while !wire.is_empty() {
                let taken = server.read_tls(&mut &wire[..])?;
                wire.drain(..taken);
                server.process_new_packets()?;
            }
            while server.wants_write() {
                server.write_tls(&mut wire)?;
            }
            while !wire.is_empty() {
                let taken = client.read_tls(&mut &wire[..])?;
                wire.drain(..taken);
                client.process_new_packets()?;
            }
        }
        Ok(())
    }
}

/// One replica dies and the Secret is deleted while the old CA and the new stand side by side; at
/// every look `caBundle` trusts what each living replica serves.
#[tokio::test(flavor = "multi_thread")]
async fn a_ca_is_replaced_though_a_replica_dies_and_the_secret_is_deleted() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = cluster.namespace("replicas")?;
    let client = client(cluster).await?;
    cluster.apply(&configuration(&namespace, &["ours.mesher.io"]).to_string())?;
    let mut living =
        vec![Replica::start(&client, &namespace)?, Replica::start(&client, &namespace)?];
    let first = living[0].ready().await?;
    living[1].ready().await?;
    // One writes, both serve; compared as they are now, for a leaf is soon replaced.
    let served = living[0].serving.status();
    let same = |other: &Status| {
        let one = served.borrow();
        (&one.leaf, &one.bundle) == (&other.leaf, &other.bundle)
    };
    until(&living[1].serving.status(), PATIENCE, same).await?;
    let first = first.bundle.context("a bundle")?.certificates()[0].clone();

    let deadline = Instant::now() + 2 * PATIENCE;
    let mut handshakes = 0;
    loop {
        ensure!(Instant::now() < deadline, "the first CA never left");
        let pem = ca_bundle(&get(cluster, &namespace)?, 0)?.context("it is filled")?;
        for replica in &living {
            replica
                .handshake(&namespace, &pem)
                .with_context(|| format!("handshake {handshakes} under\n{pem}"))?;
            handshakes += 1;
        }
        let bundle = Bundle::from_pem(pem.as_bytes(), "caBundle")?;
        if bundle.certificates().len() > 1 && living.len() > 1 {
            drop(living.remove(0));
            Kubectl(cluster).run(&format!("delete secret certificates -n {namespace}"))?;
        }
        if !bundle.contains(&first) {
            break;
        }
    }
    assert_eq!(living.len(), 1, "the CAs stood side by side");

    let late = Replica::start(&client, &namespace)?;
    late.ready().await?;
    let pem = ca_bundle(&get(cluster, &namespace)?, 0)?.context("it is filled")?;
    late.handshake(&namespace, &pem)?;
    living[0].handshake(&namespace, &pem)?;
    Ok(())
}
