//! Injectors as the manifests install them, as processes behind their Service.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use testbed::installation::{NAME, configured, is_seen, make_enabled_namespace};
use testbed::{Cluster, Server, free_ports, write_kustomization};

use crate::histogram::Histogram;
use crate::process::{Cpu, Memory};
use crate::server::get;

/// What a loaded machine may take for anything that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
/// Two replicas with all that belongs to them; and the same with the rights to heal.
const OVERLAYS: [&str; 2] = ["../manifests/overlays/ha", "../manifests/overlays/healing"];
/// A namespace in which nothing is created but as a dry run.
const PROBED: &str = "probe";

/// Running replicas, which the API server calls through their Service.
#[derive(Debug)]
pub struct Replicas(Vec<Replica>);

#[derive(Debug)]
struct Replica {
    server: Server,
    operations: SocketAddr,
}

impl Replicas {
    /// Applies the manifests, starts `count` processes of `program` as they say, and waits until the
    /// API server calls them. With `heal`, the leader watches all pods for those without their
    /// sidecar. Their log is on, and goes to files.
    pub fn start(cluster: &Cluster, program: &Path, count: usize, heal: bool) -> Result<Self> {
        let folder = cluster.folder().join(NAME);
        let overlay = Path::new(env!("CARGO_MANIFEST_DIR")).join(OVERLAYS[usize::from(heal)]);
        // Its pods are the processes.
        let none = json!({
            "$patch": "delete", "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": NAME, "namespace": NAME},
        });
        let patches = json!([{"patch": none.to_string()}]).to_string();
        let kustomization = write_kustomization(&folder.join("manifests"), &overlay, &patches)?;
        cluster.run(&["apply", "--kustomize", &kustomization.display().to_string()])?;
        let configuration = folder.join("config.yaml");
        fs::write(&configuration, configured(cluster)?)?;
        let kubeconfig = cluster.account_kubeconfig(NAME, NAME)?;

        let (mut replicas, mut endpoints) = (Vec::new(), Vec::new());
        for number in 0..count {
            let [webhook, operations] =
                free_ports()?.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            let name = format!("{NAME}-{number}");
            let mut command = Command::new(program);
            command
                .env_clear()
                .env("KUBECONFIG", &kubeconfig)
                .env("POD_NAME", &name)
                .env("POD_NAMESPACE", NAME)
                .env("SIDECAR_INJECTOR_HEAL", if heal { "evict" } else { "off" })
                .arg("serve")
                .arg(format!("--config={}", configuration.display()))
                .arg(format!("--listen={webhook}"))
                .arg(format!("--operations-listen={operations}"));
            let server = cluster.guard().spawn(&name, &mut command)?;
            endpoints.push(webhook);
            replicas.push(Replica { server, operations });
        }
        for replica in &replicas {
            replica.server.wait_until("ready", PATIENCE, || {
                let reply = get(replica.operations, "/readyz");
                reply.is_ok_and(|reply| reply.starts_with("HTTP/1.1 200"))
            })?;
        }
        cluster.route(NAME, NAME)?.lead_to(&endpoints);
        make_enabled_namespace(cluster, PROBED)?;
        let first = replicas.first().context("no replica is wanted")?;
        let seen = || is_seen(cluster, PROBED);
        first.server.wait_until("called by the API server", PATIENCE, seen)?;
        Ok(Self(replicas))
    }

    /// Their process ids.
    pub fn processes(&self) -> Vec<u32> {
        self.0.iter().map(|replica| replica.server.pid()).collect()
    }

    /// What all of them took of the processors so far.
    pub fn cpu(&self) -> Result<Cpu> {
        Cpu::of_all(&self.processes())
    }

    /// Memory of each.
    pub fn memory(&self) -> Result<Vec<Memory>> {
        self.0.iter().map(|replica| Memory::of(replica.server.pid())).collect()
    }

    /// Their histograms of how long a review took, together.
    pub fn durations(&self) -> Result<Histogram> {
        self.0.iter().try_fold(Histogram::default(), |sum, replica| {
            let text = get(replica.operations, "/metrics")?;
            let own = Histogram::read(&text, "sidecar_injector_review_duration_seconds", &[]);
            Ok(sum.and(&own))
        })
    }

    /// The whole number that all of them count in the series `name`, labels included, together.
    pub fn counted(&self, name: &str) -> Result<u64> {
        self.0.iter().try_fold(0, |sum, replica| {
            let text = get(replica.operations, "/metrics")?;
            let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
            let value = values.find_map(|rest| rest.strip_prefix(' '));
            Ok(sum + value.with_context(|| format!("no metric {name}"))?.parse::<u64>()?)
        })
    }
}
