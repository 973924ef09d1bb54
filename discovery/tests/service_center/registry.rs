//! The registry that the client speaks to, and clients for it.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use discovery::servicecenter::{
    Metrics, Options, OwnInstance, OwnService, ServiceCenter, instance_id,
};
use discovery::{Source, State};
use mesh::{ServiceKey, Snapshot, Status};
use testbed::{Guard, Server};
use tokio::time::timeout;

/// Longer than anything should take on a busy machine.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// A registry on a port of its own, which it keeps when it is started again.
#[derive(Debug)]
pub(crate) struct Registry {
    port: u16,
    process: Option<(Server, Guard)>,
}

impl Registry {
    /// Starts it, empty.
    pub(crate) fn start() -> Result<Self> {
        let mut registry = Self::absent()?;
        registry.restart()?;
        Ok(registry)
    }

    /// A port with nobody behind it yet.
    pub(crate) fn absent() -> Result<Self> {
        let [port] = testbed::free_ports()?;
        Ok(Self { port, process: None })
    }

    /// Kills what runs, if something does, and starts it, empty.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.kill();
        let guard = Guard::new()?;
        let mut command = Command::new(testbed::binary("service-registry")?);
        command.args(["--listen", &format!("127.0.0.1:{}", self.port), "--log-format", "json"]);
        let server = guard.spawn("service-registry", &mut command)?;
        let serving = || server.log().contains("\"serving\"");
        server.wait_until("serving", Duration::from_secs(30), serving)?;
        self.process = Some((server, guard));
        Ok(())
    }

    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A client that speaks for `name`, with an instance on `port` if one is named. It polls so
    /// seldom that a test only sees what it asks for and what is pushed.
    pub(crate) fn options(&self, name: &str, port: Option<u16>) -> Options {
        let instance = port.map(|port| {
            let endpoints = vec![format!("rest://127.0.0.1:{port}")];
            OwnInstance {
                id: instance_id("here", "shop", name, "1.0.0", &endpoints),
                host_name: "here".to_owned(),
                endpoints,
                properties: [("zone".to_owned(), "a".to_owned())].into(),
                place: None,
            }
        });
        Options {
            addresses: vec![self.address()],
            tenant: "default".to_owned(),
            project: "default".to_owned(),
            refresh_interval: Duration::from_hours(1),
            watch: true,
            heartbeat_interval: Duration::from_secs(30),
            tls: None,
            account: None,
            service: Some(OwnService {
                app: "shop".to_owned(),
                name: name.to_owned(),
                version: "1.0.0".to_owned(),
                environment: String::new(),
                properties: [("team".to_owned(), "a".to_owned())].into(),
                instance,
            }),
        }
    }

    /// An instance of `name` on `port`, registered.
    pub(crate) async fn provider(&self, name: &str, port: u16) -> Result<ServiceCenter> {
        let provider = start(self.options(name, Some(port)))?;
        registered(&provider, Some(Status::Up)).await?;
        Ok(provider)
    }
}

/// Starts a client.
pub(crate) fn start(options: Options) -> Result<ServiceCenter> {
    Ok(ServiceCenter::start(options, Status::Up, &Metrics::default())?)
}

/// Waits until service-center has our service, and our instance with that status.
pub(crate) async fn registered(client: &ServiceCenter, status: Option<Status>) -> Result<()> {
    let mut standing = client.standing();
    let wait = standing.wait_for(|s| s.service_id.is_some() && s.status == status);
    timeout(LONG, wait).await.context("not registered")??;
    Ok(())
}

/// The addresses of `name` as a snapshot has them, with the status of each.
pub(crate) fn addresses(snapshot: &Snapshot, name: &str) -> Vec<String> {
    let service = snapshot.get(&key(name));
    let instances = service.iter().flat_map(|s| s.instances());
    let mut found: Vec<_> = instances
        .flat_map(|i| i.endpoints.iter().map(|e| format!("{} {:?}", e.address.port(), i.status)))
        .collect();
    found.sort();
    found
}

/// Waits until `client` has just these addresses of `name`.
pub(crate) async fn sees(client: &ServiceCenter, name: &str, wanted: &[&str]) -> Result<()> {
    let mut snapshots = client.snapshots();
    let wait = snapshots.wait_for(|snapshot| addresses(snapshot, name) == wanted);
    let waited = timeout(LONG, wait).await.map(drop);
    waited.with_context(|| {
        let found = addresses(&client.snapshots().borrow(), name);
        format!("of {name} it sees {found:?} instead of {wanted:?}")
    })
}

/// Waits for a state of the source.
pub(crate) async fn state(client: &ServiceCenter, is: impl FnMut(&State) -> bool) -> Result<()> {
    timeout(LONG, client.state().wait_for(is)).await.context("another state")??;
    Ok(())
}

pub(crate) fn key(name: &str) -> ServiceKey {
    ServiceKey::new("shop", name)
}
