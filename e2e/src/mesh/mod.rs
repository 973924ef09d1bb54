//! A mesh on this machine: a registry, services with their proxies, callers with theirs. Every
//! process is the program that ships.
//!
//! ```no_run
//! # async fn scenario() -> anyhow::Result<()> {
//! let mesh = e2e::mesh::Mesh::start()?;
//! let application = mesh.mockserver("orders", &[])?;
//! let orders = mesh.sidecar("orders").serving("orders", application.port).start()?;
//! let caller = mesh.sidecar("caller").start()?;
//! mesh.registry.wait_for("orders", &["UP"]).await?;
//! let reply = caller.get("http://orders/hello").await?;
//! assert_eq!(reply.status, 200);
//! # drop(orders); Ok(()) }
//! ```

mod collector;
mod load;
mod pods;
mod process;
mod program;
mod raw;
mod registry;
mod requests;
mod sidecar;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use testbed::{Guard, Server, binary, free_ports};

pub use collector::{Collected, Collector, chain};
pub use load::{Load, Tally};
pub use pods::{Placed, start_pods};
pub use process::{Memory, descriptors};
pub use raw::{Peer, Raw, Upstream};
pub use registry::{Instance, Registry};
pub use requests::{Client, body_bytes};
pub use sidecar::{Setup, Sidecar};

/// Longer than anything takes that works, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// How often something is looked at that is waited for.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// A registry, and a place for everything that ends with it.
#[derive(Debug)]
pub struct Mesh {
    /// Where services find each other.
    pub registry: Registry,
    guard: Guard,
}

impl Mesh {
    /// Starts a registry that forgets everything when it ends.
    pub fn start() -> Result<Self> {
        Self::with(false)
    }

    /// Starts a registry that keeps what it knows in a file.
    pub fn with_data() -> Result<Self> {
        Self::with(true)
    }

    fn with(data: bool) -> Result<Self> {
        let guard = Guard::new()?;
        let data = data.then(|| guard.folder().join("registry-data"));
        let registry = Registry::start(&guard, data)?;
        Ok(Self { registry, guard })
    }

    /// Its processes and its folder.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// A `mesher` that is to be started: a caller's, unless it is told to serve something.
    pub fn sidecar(&self, name: &str) -> Setup<'_> {
        Setup::new(self, name)
    }

    /// Instances of a service, by name and version, each behind its proxy; returns once the registry
    /// has them all.
    pub async fn serve(&self, service: &str, instances: &[(&str, &str)]) -> Result<Vec<Served>> {
        let start = |(name, version): &(&str, &str)| {
            let application = self.mockserver(name, &[])?;
            let setup = self.sidecar(&format!("{service}-{name}"));
            let setup = setup.serving(service, application.port).variable("VERSION", version);
            Ok(Served { proxy: setup.start()?, application })
        };
        let served = instances.iter().map(start).collect::<Result<Vec<_>>>()?;
        self.registry.wait_for(service, &vec!["UP"; instances.len()]).await?;
        Ok(served)
    }

    /// A `mockserver` that answers at once, unless its arguments say otherwise, on a free port.
    pub fn mockserver(&self, name: &str, arguments: &[&str]) -> Result<Application> {
        self.application(name, arguments, None)
    }

    /// A `mockserver` whose calls go through the proxy that will be at `proxy`.
    pub fn mockserver_behind(&self, name: &str, proxy: SocketAddr) -> Result<Application> {
        self.application(name, &[], Some(proxy))
    }

    fn application(
        &self,
        name: &str,
        arguments: &[&str],
        proxy: Option<SocketAddr>,
    ) -> Result<Application> {
        let [port] = free_ports()?;
        let mut command = Command::new(binary("mockserver")?);
        command
            .env_clear()
            .envs(proxy.map(|proxy| ("http_proxy", format!("http://{proxy}"))))
            .args(["-listenAddress", &loopback(port).to_string()])
            .args(["-instance", name])
            .args(arguments);
        if !arguments.contains(&"-delay") {
            command.arg("-delay=0s");
        }
        let server = self.guard.spawn(&format!("mockserver-{name}"), &mut command)?;
        let answers = || std::net::TcpStream::connect(loopback(port)).is_ok();
        server.wait_until("accepting", PATIENCE, answers)?;
        Ok(Application { server, port })
    }
}

/// A service without a proxy yet.
#[derive(Debug)]
pub struct Application {
    /// Its process.
    pub server: Server,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

/// A service behind its proxy.
#[derive(Debug)]
pub struct Served {
    /// The proxy.
    pub proxy: Sidecar,
    /// The service.
    pub application: Application,
}

/// A port of 127.0.0.1.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Waits until `look` finds something; the error says what was `wanted`, and what there was
/// instead.
pub async fn eventually<T>(
    wanted: &str,
    mut look: impl AsyncFnMut() -> Result<Result<T, String>>,
) -> Result<T> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match look().await? {
            Ok(found) => return Ok(found),
            Err(instead) if tokio::time::Instant::now() > deadline => {
                anyhow::bail!("not {wanted} after {PATIENCE:?}, but {instead}")
            }
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}
