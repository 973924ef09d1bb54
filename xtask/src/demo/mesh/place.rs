//! Where a pod of the demonstration runs.

use std::fmt;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::free_ports;
use testbed::kubelet::{Container, Place};
use testbed::network::Host;

/// How long an answer on this machine may take.
const ANSWER: Duration = Duration::from_secs(5);
/// What the manifests call the sidecar, and what of it cannot be shared.
pub(super) const SIDECAR: &str = "sidecar-mesher";
const CONSUMER: &str = "127.0.0.1:30101";
const CONSUMER_GRPC: &str = "127.0.0.1:40101";
const ADMIN: u16 = 30102;

/// Where a pod runs.
#[derive(Debug)]
pub(super) enum Spot {
    /// In a network of its own.
    Own(Host),
    /// Beside the others, on addresses of the loopback interface.
    Shared(Loopback),
}

/// Two addresses of the loopback interface: the pod's, and what is 127.0.0.1 to it.
#[derive(Debug)]
pub(super) struct Loopback {
    number: u8,
    admin: u16,
}

/// Whom the sidecars ask for services.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// `host:port`, as the manifests have it.
    pub(super) called: &'static str,
    /// Where that is.
    pub(super) address: SocketAddr,
}

impl Asked {
    /// The host in its name.
    pub(super) fn host(&self) -> &'static str {
        self.called.split_once(':').map_or(self.called, |(host, _)| host)
    }
}

/// What had to be told a process that the injected manifest does not say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    pub(super) what: String,
    pub(super) by: String,
}

impl fmt::Display for Replaced {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} → {}", self.what, self.by)
    }
}

impl Spot {
    pub(super) fn own(&self) -> Option<&Host> {
        match self {
            Self::Own(host) => Some(host),
            Self::Shared(_) => None,
        }
    }

    /// Where the application is called from within the pod.
    pub(super) fn application(&self) -> String {
        match self {
            Self::Own(_) => "localhost:8080".to_owned(),
            Self::Shared(loopback) => format!("{}:8080", loopback.pod()),
        }
    }

    /// What is this pod's alone, where the rest can be told from its number.
    pub(super) fn likewise(&self) -> Option<String> {
        match self {
            Self::Own(_) => None,
            Self::Shared(loopback) => {
                let (pod, own) = (loopback.pod(), loopback.own());
                Some(format!("the same with {pod}, {own} and {}", self.admin()))
            }
        }
    }

    /// The sidecar's admin port, from within the pod.
    pub(super) fn admin(&self) -> SocketAddr {
        let port = match self {
            Self::Own(_) => ADMIN,
            Self::Shared(loopback) => loopback.admin,
        };
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// Lets containers run here as they are, or says what was replaced.
    pub(super) fn adapt(&self, containers: &mut [Container], asked: Asked) -> Vec<Replaced> {
        match self {
            Self::Own(_) => Vec::new(),
            Self::Shared(loopback) => {
                containers.iter_mut().flat_map(|one| loopback.adapt(one, asked)).collect()
            }
        }
    }
}

impl Place for Spot {
    fn address(&self) -> IpAddr {
        match self {
            Self::Own(host) => host.address(),
            Self::Shared(loopback) => loopback.pod().into(),
        }
    }

    fn node(&self) -> IpAddr {
        match self {
            Self::Own(host) => Place::node(host),
            Self::Shared(_) => Ipv4Addr::LOCALHOST.into(),
        }
    }

    fn command(&self, program: &Path) -> Command {
        match self {
            Self::Own(host) => host.command(program),
            Self::Shared(_) => Command::new(program),
        }
    }

    fn status_of(&self, port: u16, path: &str) -> Option<u16> {
        match self {
            Self::Own(host) => host.status_of(port, path),
            Self::Shared(loopback) => ask(SocketAddr::from((loopback.pod(), port)), path),
        }
    }
}

impl Loopback {
    pub(super) fn new(number: u8) -> Result<Self> {
        let [admin] = free_ports()?;
        Ok(Self { number, admin })
    }

    /// A sidecar looks for its application on 127.0.0.1 first: nobody else may be there.
    pub(super) fn is_free(ports: &[u16]) -> Result<()> {
        for port in ports {
            ensure!(
                TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err(),
                "something listens on port {port} of 127.0.0.1, where the sidecars would take it \
                 for their application: stop it, or show this act where namespaces can be made"
            );
        }
        Ok(())
    }

    fn pod(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, 1, self.number)
    }

    fn own(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, 2, self.number)
    }

    fn adapt(&self, container: &mut Container, asked: Asked) -> Vec<Replaced> {
        let mut replaced = Vec::new();
        let mut replace = |what: &str, text: &mut String, from: &str, to: &str| {
            if text.contains(from) {
                let new = text.replace(from, to);
                replaced.push(Replaced { what: format!("{what}{text}"), by: new.clone() });
                *text = new;
            }
        };
        let (pod, own) = (self.pod(), self.own());
        let changes = [
            (CONSUMER, format!("{own}:30101")),
            (CONSUMER_GRPC, format!("{own}:40101")),
            (asked.called, asked.address.to_string()),
            ("[::]:30100", format!("{pod}:30100")),
        ];
        for (name, value) in &mut container.environment {
            for (from, to) in &changes {
                replace(&format!("{name}="), value, from, to);
            }
        }
        for argument in &mut container.arguments {
            if let Some((_, port)) = argument.clone().split_once("Address=:") {
                replace("", argument, &format!("=:{port}"), &format!("={pod}:{port}"));
            }
        }
        // The sidecar has these where nobody says otherwise.
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, self.admin));
        if container.name == SIDECAR {
            if let Some(probe) = &mut container.ready {
                probe.port = self.admin;
            }
            for (protocol, from, by) in [
                ("http", CONSUMER, format!("{own}:30101")),
                ("grpc", CONSUMER_GRPC, format!("{own}:40101")),
                ("rest-admin", "127.0.0.1:30102", admin.to_string()),
            ] {
                let key = format!("--servicecomb.protocols.{protocol}.listenAddress");
                container.arguments.push(format!("{key}={by}"));
                replaced.push(Replaced { what: format!("{protocol} on {from}"), by });
            }
        }
        replaced
    }
}

/// The status of a GET.
fn ask(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    answer.split_whitespace().nth(1).context("no status").ok()?.parse().ok()
}
