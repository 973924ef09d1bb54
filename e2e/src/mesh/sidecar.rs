//! A `mesher`, before it starts and while it runs.

use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, Result};
use testbed::{Server, binary, free_ports};

use super::requests::Client;
use super::{Mesh, PATIENCE, loopback};
use crate::wire::Reply;

/// Pods of one machine have addresses of their own.
static POD: AtomicU8 = AtomicU8::new(1);

/// A `mesher` that is to be started.
#[derive(Debug, Clone)]
#[must_use]
pub struct Setup<'a> {
    mesh: &'a Mesh,
    name: String,
    environment: Vec<(OsString, OsString)>,
    arguments: Vec<OsString>,
    files: Vec<(String, String)>,
    pod: Option<IpAddr>,
    grpc: bool,
    most_descriptors: Option<u32>,
}

impl<'a> Setup<'a> {
    pub(super) fn new(mesh: &'a Mesh, name: &str) -> Self {
        Self {
            mesh,
            name: name.to_owned(),
            environment: Vec::new(),
            arguments: Vec::new(),
            files: Vec::new(),
            pod: None,
            grpc: false,
            most_descriptors: None,
        }
    }

    /// Stands before an application on `port`, as service `service`, in a pod of its own.
    pub fn serving(self, service: &str, port: u16) -> Self {
        self.in_a_pod(service).variable("SERVICE_PORTS", &format!("rest:{port}"))
    }

    /// Has a provider side, as service `service`.
    pub fn in_a_pod(mut self, service: &str) -> Self {
        let pod = IpAddr::from([127, 0, 1, POD.fetch_add(1, Ordering::Relaxed)]);
        self.pod = Some(pod);
        self.variable("SERVICE_NAME", service).variable("INSTANCE_IP", &pod.to_string())
    }

    /// Sets a variable of its environment, which has no others.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Sets a key of its configuration.
    pub fn key(mut self, key: &str, value: &str) -> Self {
        self.arguments.push(format!("--{key}={value}").into());
        self
    }

    /// Adds a file of its configuration.
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Opens its port for gRPC too, which is off otherwise.
    pub fn with_grpc(mut self) -> Self {
        self.grpc = true;
        self
    }

    /// It may have no more than so many files and sockets open.
    pub fn descriptors(mut self, most: u32) -> Self {
        self.most_descriptors = Some(most);
        self
    }

    /// Starts it on free ports, and waits until it serves.
    pub fn start(self) -> Result<Sidecar> {
        let [http] = free_ports()?;
        self.start_at(http)
    }

    /// Starts it with its listeners on a port where it, or another, was before.
    pub fn start_at(self, http: u16) -> Result<Sidecar> {
        let [admin, grpc] = free_ports()?;
        let grpc = self.grpc.then(|| loopback(grpc));
        let grpc_listens = grpc.map_or("off".to_owned(), |address| address.to_string());
        let mut arguments = vec![
            format!("--servicecomb.registry.address=http://{}", self.mesh.registry.address).into(),
            format!("--servicecomb.protocols.http.listenAddress={}", loopback(http)).into(),
            format!("--servicecomb.protocols.grpc.listenAddress={grpc_listens}").into(),
            format!("--servicecomb.protocols.rest-admin.listenAddress={}", loopback(admin)).into(),
        ];
        arguments.extend(self.arguments);
        let mut environment = self.environment;
        if !self.files.is_empty() {
            let folder = self.mesh.guard().folder().join(format!("conf-{}", self.name));
            fs::create_dir_all(&folder)?;
            for (name, text) in &self.files {
                fs::write(folder.join(name), text)?;
            }
            environment.push(("CHASSIS_CONF_DIR".into(), folder.into()));
        }
        let program = binary("mesher")?;
        let mut command = match self.most_descriptors {
            None => Command::new(program),
            Some(most) => {
                let mut shell = Command::new("bash");
                shell.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &most.to_string()]);
                shell.arg(program);
                shell
            }
        };
        command.env_clear().envs(environment).args(&arguments);
        let server = self.mesh.guard().spawn(&format!("mesher-{}", self.name), &mut command)?;
        server.wait_until("serving", PATIENCE, || server.log().contains("serving"))?;
        Ok(Sidecar {
            consumer: loopback(http),
            consumer_grpc: grpc,
            provider_grpc: self.pod.zip(grpc).map(|(pod, at)| SocketAddr::new(pod, at.port())),
            provider: self.pod.map(|pod| SocketAddr::new(pod, http)),
            admin: loopback(admin),
            server,
        })
    }
}

/// A running `mesher`.
#[derive(Debug)]
pub struct Sidecar {
    /// Its process.
    pub server: Server,
    /// Where its application sends requests, `http_proxy`.
    pub consumer: SocketAddr,
    /// Where its application makes gRPC calls, if that is open.
    pub consumer_grpc: Option<SocketAddr>,
    /// Where other proxies make gRPC calls, if that is open.
    pub provider_grpc: Option<SocketAddr>,
    /// Where other proxies send requests, if it serves something.
    pub provider: Option<SocketAddr>,
    /// Health, metrics and drain.
    pub admin: SocketAddr,
}

impl Sidecar {
    /// The reply to a GET of `url` from its application.
    pub async fn get(&self, url: &str) -> Result<Reply> {
        Client::once(self.consumer, "GET", url, "").await
    }

    /// The provider side of one that serves something.
    pub fn provider(&self) -> Result<SocketAddr> {
        self.provider.context("it has no provider side")
    }

    /// Runs `mesher drain` beside it.
    pub fn drain(&self) -> Result<Output> {
        self.beside(&["drain"])
    }

    /// Runs a command of `mesher` beside it, as `kubectl exec` would.
    pub fn beside(&self, arguments: &[&str]) -> Result<Output> {
        let admin = format!("--servicecomb.protocols.rest-admin.listenAddress={}", self.admin);
        let mut command = Command::new(binary("mesher")?);
        command.env_clear().args(arguments).arg(&admin);
        command.output().with_context(|| format!("mesher {}", arguments.join(" ")))
    }
}
