//! The registry: a process that scenarios kill and start again, and what it knows.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::{Guard, binary, free_ports};

use super::program::Program;
use super::requests::Client;
use super::{eventually, loopback};

/// A `service-registry`.
#[derive(Debug)]
pub struct Registry {
    /// Where it listens, also after a restart.
    pub address: SocketAddr,
    data: Option<PathBuf>,
    program: Program,
}

/// An instance as the registry shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// `instanceId`.
    pub id: String,
    /// `UP`, `DOWN`, `STARTING`, ...
    pub status: String,
    /// `rest://127.0.1.1:30101`, ...
    pub endpoints: Vec<String>,
}

impl Registry {
    pub(super) fn start(guard: &Guard, data: Option<PathBuf>) -> Result<Self> {
        let [port] = free_ports()?;
        let registry = Self { address: loopback(port), data, program: Program::default() };
        registry.start_again(guard)?;
        Ok(registry)
    }

    /// One that somebody else has started.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, data: None, program: Program::default() }
    }

    /// Starts it where it was, with what it kept.
    pub fn start_again(&self, guard: &Guard) -> Result<()> {
        let mut command = Command::new(binary("service-registry")?);
        command.args(["--listen", &self.address.to_string()]);
        if let Some(data) = &self.data {
            command.arg("--data").arg(data);
        }
        self.program.start(guard, "service-registry", command, &[self.address])
    }

    /// Kills it as a crash would.
    pub fn kill(&self) -> Result<()> {
        self.program.kill()
    }

    /// Ends it as an operator would.
    pub fn stop(&self) -> Result<()> {
        self.program.stop()
    }

    /// Instances of a service, in application `default`, in the order of their endpoints.
    pub async fn instances(&self, service: &str) -> Result<Vec<Instance>> {
        let path = format!(
            "/v4/default/registry/instances?appId=default&serviceName={service}&version=0%2B"
        );
        let reply = Client::once(self.address, "GET", &path, "").await?;
        let body: Value = reply.json()?;
        let list = body["instances"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut instances: Vec<_> = list
            .iter()
            .map(|instance| Instance {
                id: text(&instance["instanceId"]),
                status: text(&instance["status"]),
                endpoints: instance["endpoints"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(text)
                    .collect(),
            })
            .collect();
        instances.sort_by(|a, b| a.endpoints.cmp(&b.endpoints));
        Ok(instances)
    }

    /// Waits until a service has instances of just these statuses.
    pub async fn wait_for(&self, service: &str, statuses: &[&str]) -> Result<Vec<Instance>> {
        eventually(&format!("{statuses:?} for {service}"), async || {
            // While it restarts there is no answer.
            let Ok(instances) = self.instances(service).await else {
                return Ok(Err("no answer".to_owned()));
            };
            let mut found: Vec<&str> = instances.iter().map(|i| i.status.as_str()).collect();
            found.sort_unstable();
            let mut wanted = statuses.to_vec();
            wanted.sort_unstable();
            Ok(if found == wanted { Ok(instances) } else { Err(format!("{found:?}")) })
        })
        .await
    }

    /// Registers an instance without a proxy: `service` is UP at `address`.
    pub async fn register(&self, service: &str, address: SocketAddr) -> Result<()> {
        let post = async |path: &str, body: Value| {
            let path = format!("/v4/default/registry/microservices{path}");
            let reply = Client::once(self.address, "POST", &path, &body.to_string()).await?;
            ensure!(reply.status == 200, "{path}: {}", reply.text());
            reply.json()
        };
        let body = json!({"service": {
            "appId": "default", "serviceName": service, "version": "1.0.0", "level": "BACK",
        }});
        let id = post("", body).await?["serviceId"].as_str().context("an id")?.to_owned();
        let body = json!({"instance": {
            "hostName": "raw", "endpoints": [format!("rest://{address}")], "status": "UP",
            "healthCheck": {"mode": "push", "interval": 600, "times": 3},
        }});
        post(&format!("/{id}/instances"), body).await?;
        Ok(())
    }
}
