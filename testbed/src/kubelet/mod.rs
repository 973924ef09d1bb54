//! What a kubelet does with a pod, as far as processes of this machine can be its containers.
//!
//! Imitated are replicas, commands and arguments, the whole environment with what it takes from the
//! downward API, files in `/etc`, the order of the start (sidecars first, each until its startup
//! probe is answered) and readiness. A container runs the program that its image is called after.
//! Not imitated are images, users, limits, restarts, and whatever [`Pod::containers`] refuses.

mod container;
mod pod;
mod volume;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::guard::Guard;
use crate::network::{BRIDGE, Host};
use crate::server::Server;

pub use container::{Container, Probe};
pub use pod::Pod;

/// What a slow machine may take until a probe is answered.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where a pod runs.
pub trait Place {
    /// The pod's address.
    fn address(&self) -> IpAddr;
    /// The node's address, as the pod is told.
    fn node(&self) -> IpAddr;
    /// A command that runs there.
    fn command(&self, program: &Path) -> Command;
    /// The status of a GET from the node, if there was an answer.
    fn status_of(&self, port: u16, path: &str) -> Option<u16>;
}

impl Place for Host {
    fn address(&self) -> IpAddr {
        Self::address(self)
    }

    fn node(&self) -> IpAddr {
        BRIDGE.into()
    }

    fn command(&self, program: &Path) -> Command {
        Self::command(self, program)
    }

    fn status_of(&self, port: u16, path: &str) -> Option<u16> {
        Self::status_of(self, port, path)
    }
}

/// The running containers of a pod; they end when it is dropped.
#[derive(Debug)]
pub struct Running {
    /// One for each container, in the order of their start.
    servers: Vec<(String, Server)>,
}

impl Running {
    /// Starts the containers one after the other; the log of each is called after the pod and itself.
    /// `program` says where a program is.
    pub fn start(
        guard: &Guard,
        pod: &Pod,
        containers: &[Container],
        place: &impl Place,
        program: impl Fn(&str) -> Result<PathBuf>,
    ) -> Result<Self> {
        let mut servers = Vec::new();
        for container in containers {
            let path = program(&container.program)?;
            let mut command = place.command(&path);
            command.env_clear().args(&container.arguments);
            command.envs(container.environment.iter().map(|(name, value)| (name, value)));
            let name = format!("{}-{}", pod.name, container.name);
            let server = guard.spawn(&name, &mut command)?;
            if let Some(Probe { port, path }) = &container.ready {
                let answers = || matches!(place.status_of(*port, path), Some(200..400));
                server.wait_until(&format!("answering {path}"), PATIENCE, answers)?;
            }
            servers.push((container.name.clone(), server));
        }
        Ok(Self { servers })
    }

    /// The process of a container.
    pub fn server(&self, container: &str) -> Result<&Server> {
        let found = self.servers.iter().find(|(name, _)| name == container);
        let (_, server) = found.with_context(|| format!("no container {container} runs"))?;
        Ok(server)
    }

    /// All its processes.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().map(|(_, server)| server)
    }

    /// Lets them run on when this value is dropped; they still end with their guard.
    pub fn leave(self) {
        for (_, server) in self.servers {
            server.leave();
        }
    }
}
