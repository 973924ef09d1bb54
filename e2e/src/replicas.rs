//! Several injectors that share one Secret, one Lease and one `caBundle`, as processes of this
//! machine behind one address.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use testbed::{Cluster, Server, free_ports};

use crate::installation::{NAME, PATIENCE, apply, enabled_namespace, is_seen};
use crate::kubectl::{Kubectl, eventually};
use crate::service::Service;
use crate::wire::plain;

/// Running replicas, installed. The API server calls them through a [`Service`].
#[derive(Debug)]
pub struct Replicas<'c> {
    cluster: &'c Cluster,
    service: Service,
    kustomization: PathBuf,
    configuration: PathBuf,
    kubeconfig: PathBuf,
    living: Vec<Replica>,
    started: usize,
}

/// One of them.
#[derive(Debug)]
pub struct Replica {
    name: String,
    server: Server,
    webhook: SocketAddr,
    operations: SocketAddr,
}

impl<'c> Replicas<'c> {
    /// Applies the manifests, starts `count` replicas with `configuration`, and waits until all of
    /// them are ready and the API server calls them.
    pub fn start(cluster: &'c Cluster, count: usize, configuration: &str) -> Result<Self> {
        let folder = cluster.folder().join("replicas");
        fs::create_dir_all(folder.join("templates"))?;
        let service = Service::start()?;
        let kustomization = apply(cluster, &folder, &url(&service))?;
        let file = folder.join("config.yaml");
        fs::write(&file, configuration)?;
        let kubeconfig = cluster.account_kubeconfig(NAME, NAME)?;
        let mut replicas = Self {
            cluster,
            service,
            kustomization,
            configuration: file,
            kubeconfig,
            living: Vec::new(),
            started: 0,
        };
        for _ in 0..count {
            replicas.spawn()?;
        }
        replicas.wait_until_ready()?;
        let probed = enabled_namespace(cluster, "probe")?;
        eventually("called by the API server", PATIENCE, || {
            Ok(is_seen(cluster, &probed).then_some(()))
        })?;
        Ok(replicas)
    }

    /// Starts one more, and does not wait for it.
    pub fn spawn(&mut self) -> Result<()> {
        self.started += 1;
        let name = format!("replica-{}", self.started);
        let [webhook, operations] =
            free_ports()?.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut command = Command::new(testbed::binary(NAME)?);
        command
            .env_clear()
            .env("KUBECONFIG", &self.kubeconfig)
            .env("POD_NAME", &name)
            .arg("serve")
            .arg(format!("--config={}", self.configuration.display()))
            .arg(format!("--templates={}", self.templates().display()))
            .arg(format!("--namespace={NAME}"))
            .arg(format!("--url={}", url(&self.service)))
            .arg(format!("--listen={webhook}"))
            .arg(format!("--operations-listen={operations}"));
        let server = self.cluster.guard().spawn(&name, &mut command)?;
        self.service.add(webhook, operations);
        self.living.push(Replica { name, server, webhook, operations });
        Ok(())
    }

    /// Waits until all that live get connections, and nobody else has one left.
    pub fn wait_until_ready(&self) -> Result<()> {
        eventually("all replicas are ready", PATIENCE, || {
            for replica in &self.living {
                ensure!(replica.server.is_running(), "{} ended: {}", replica.name, replica.log());
            }
            let living: BTreeSet<_> = self.living.iter().map(|replica| replica.webhook).collect();
            let others = self.service.connected().difference(&living).count();
            Ok((self.service.ready() == living && others == 0).then_some(()))
        })
        .with_context(|| self.logs())
    }

    /// Those that live.
    pub fn living(&self) -> &[Replica] {
        &self.living
    }

    /// The folder of templates that all of them follow.
    pub fn templates(&self) -> PathBuf {
        self.configuration.with_file_name("templates")
    }

    /// Where the API server connects: one of those that are ready answers.
    pub fn address(&self) -> SocketAddr {
        self.service.address()
    }

    /// The folder to `kubectl apply -k`.
    pub fn kustomization(&self) -> &Path {
        &self.kustomization
    }

    /// The name in the Lease.
    pub fn holder(&self) -> Result<Option<String>> {
        Ok(self.lease()?["spec"]["holderIdentity"].as_str().map(String::from))
    }

    /// The Lease.
    pub fn lease(&self) -> Result<Value> {
        Kubectl(self.cluster).get(&format!("lease {NAME} -n {NAME}"))
    }

    /// Waits until one of those that live leads by its own word, and returns its name. Of several
    /// at a time none may.
    pub fn leader(&self) -> Result<String> {
        eventually("one replica leads", PATIENCE, || {
            let mut leaders = Vec::new();
            for replica in &self.living {
                if replica.leads()? {
                    leaders.push(replica.name.clone());
                }
            }
            ensure!(leaders.len() < 2, "several lead: {leaders:?}");
            Ok(leaders.pop())
        })
        .with_context(|| self.logs())
    }

    /// Kills the replica `name` as nothing else would: without a word.
    pub fn kill(&mut self, name: &str) -> Result<()> {
        self.take(name)?.server.stop();
        Ok(())
    }

    /// Asks the replica `name` to end, and returns it while it does.
    pub fn terminate(&mut self, name: &str) -> Result<Replica> {
        let replica = self.take(name)?;
        replica.server.signal(Signal::SIGTERM)?;
        Ok(replica)
    }

    /// The end of all logs, without reviews, for whoever has to find out; and which calls failed in
    /// the API server's words.
    pub fn logs(&self) -> String {
        let server = fs::read_to_string(self.cluster.folder().join("log/kube-apiserver.log"));
        let server = server.unwrap_or_default();
        let failed: Vec<_> =
            server.lines().filter(|line| line.contains("failed calling webhook")).collect();
        let failed = failed[failed.len().saturating_sub(15)..].join("\n");
        let tail = |replica: &Replica| {
            let log = replica.log();
            let review = |line: &&str| line.contains("injector::server::review");
            let lines: Vec<_> = log.lines().filter(|line| !review(line)).collect();
            format!("{}:\n{}", replica.name, lines[lines.len().saturating_sub(15)..].join("\n"))
        };
        let logs: Vec<_> = self.living.iter().map(tail).collect();
        format!("{}\nkube-apiserver:\n{failed}", logs.join("\n"))
    }

    fn take(&mut self, name: &str) -> Result<Replica> {
        let at = self.living.iter().position(|replica| replica.name == name);
        Ok(self.living.remove(at.with_context(|| format!("{name} does not live"))?))
    }
}

impl Replica {
    /// What it calls itself in the Lease.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// `/status`.
    pub fn status(&self) -> Result<Value> {
        plain(self.operations, "GET", "/status")?.json()
    }

    /// Whether it leads by its own word.
    pub fn leads(&self) -> Result<bool> {
        Ok(self.status()?["cluster"]["lease"]["leading"] == true)
    }

    /// The serial number of the certificate that it serves.
    pub fn serial(&self) -> Result<String> {
        let status = self.status()?;
        let serial = status["certificate"]["serial"].as_str();
        Ok(serial.with_context(|| format!("no certificate: {status}"))?.to_owned())
    }

    /// The value, a whole number, of the one series whose name and labels are `series`.
    pub fn metric(&self, series: &str) -> Result<u64> {
        let text = plain(self.operations, "GET", "/metrics")?.text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
            .with_context(|| format!("there is no {series} in\n{text}"))?;
        Ok(line.parse()?)
    }

    /// How many TLS handshakes failed for a reason of its own: its certificate was refused, or it
    /// had none, or the two sides did not understand each other.
    pub fn failed_handshakes(&self) -> Result<u64> {
        let of = |reason: &str| {
            self.metric(&format!(
                "sidecar_injector_tls_handshake_failures_total{{reason=\"{reason}\"}}"
            ))
        };
        ["rejected", "no_certificate", "protocol"].into_iter().map(of).sum()
    }

    /// All it printed.
    pub fn log(&self) -> String {
        self.server.log()
    }
}

fn url(service: &Service) -> String {
    format!("https://{}/mutate", service.address())
}
