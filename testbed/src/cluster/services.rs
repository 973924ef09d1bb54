//! How the API server reaches a Service here, where no kube-proxy runs: whatever is for one goes
//! through a socket of ours, as it does through konnectivity elsewhere, and comes out at the
//! processes that stand for the Service's pods.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};

use super::Cluster;
use crate::carry::both_ways;

/// A request to connect somewhere is a line and a few headers.
const LONGEST_HEAD: usize = 4096;

/// What is behind each Service, by `CLUSTER-IP:PORT`.
#[derive(Debug, Clone, Default)]
struct Table(Arc<Mutex<HashMap<String, Endpoints>>>);

#[derive(Debug, Default)]
struct Endpoints {
    all: Vec<SocketAddr>,
    turn: usize,
}

/// The socket, and what is behind it. It ends with this value.
#[derive(Debug)]
pub(super) struct Services {
    socket: PathBuf,
    configuration: PathBuf,
    table: Table,
}

/// The way of the API server to one Service.
#[derive(Debug, Clone)]
pub struct Route {
    address: String,
    table: Table,
}

impl Services {
    /// Listens in `folder`.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let socket = folder.join("services.sock");
        let listener = UnixListener::bind(&socket)
            .with_context(|| format!("cannot listen on {}", socket.display()))?;
        let table = Table::default();
        let carried = table.clone();
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let table = carried.clone();
                thread::spawn(move || table.carry(&client));
            }
        });
        let configuration = folder.join("egress.yaml");
        fs::write(
            &configuration,
            format!(
                "apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport: {{uds: {{udsName: {}}}}}
",
                socket.display()
            ),
        )?;
        Ok(Self { socket, configuration, table })
    }

    /// What an API server is told that has no other way to Services.
    pub(super) fn flag(&self) -> String {
        format!("--egress-selector-config-file={}", self.configuration.display())
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        // The thread that accepts stays behind with a socket that nobody finds.
        let _ = fs::remove_file(&self.socket);
    }
}

impl Route {
    /// From now on new connections reach these in turn; without any, they are refused. Connections
    /// that stand stay, as with a real Service.
    pub fn lead_to(&self, endpoints: &[SocketAddr]) {
        self.table.all().entry(self.address.clone()).or_default().all = endpoints.to_vec();
    }
}

impl Cluster {
    /// The way to the first port of a Service that exists.
    pub fn route(&self, namespace: &str, service: &str) -> Result<Route> {
        let services = self.services.as_ref();
        let services = services.context("on a node, kube-proxy leads to the pods of a Service")?;
        let address = self.run(&[
            "get",
            "service",
            service,
            "--namespace",
            namespace,
            "--output=jsonpath={.spec.clusterIP}:{.spec.ports[0].port}",
        ])?;
        Ok(Route { address, table: services.table.clone() })
    }
}

impl Table {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Endpoints>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose turn it is behind `address`.
    fn choose(&self, address: &str) -> Option<SocketAddr> {
        let mut all = self.all();
        let endpoints = all.get_mut(address)?;
        endpoints.turn += 1;
        endpoints.all.get(endpoints.turn % endpoints.all.len().max(1)).copied()
    }

    /// Answers a CONNECT, and carries what follows.
    fn carry(&self, mut client: &UnixStream) -> io::Result<()> {
        let head = read_head(client)?;
        let server = target(&head).and_then(|address| {
            let chosen = self.choose(address)?;
            TcpStream::connect(chosen).ok()
        });
        let Some(server) = server else {
            return client.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
        };
        server.set_nodelay(true)?;
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        both_ways(client, &server)
    }
}

/// Up to the empty line: a client of CONNECT sends nothing more before it has the answer.
fn read_head(mut client: &UnixStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut chunk = [0; 512];
    while !head.ends_with(b"\r\n\r\n") && head.len() < LONGEST_HEAD {
        let count = client.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        head.extend_from_slice(&chunk[..count]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// `10.96.0.7:443` of `CONNECT 10.96.0.7:443 HTTP/1.1`
fn target(head: &str) -> Option<&str> {
    head.strip_prefix("CONNECT ")?.split(' ').next()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What a CONNECT to `address` is answered with, and then by whoever is behind it.
    fn ask(services: &Services, address: &str) -> Result<String> {
        let mut stream = UnixStream::connect(&services.socket)?;
        write!(stream, "CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    #[test]
    fn endpoints_take_turns_and_nobody_else_is_reached() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let services = Services::start(folder.path())?;
        let address = "10.96.0.7:443";
        let route = Route { address: address.to_owned(), table: services.table.clone() };
        assert!(ask(&services, address)?.starts_with("HTTP/1.1 503"));

        let mut endpoints = Vec::new();
        for name in ["one", "two"] {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            endpoints.push(listener.local_addr()?);
            thread::spawn(move || {
                for client in listener.incoming().flatten() {
                    let _ = { &client }.write_all(name.as_bytes());
                }
            });
        }
        route.lead_to(&endpoints);
        let mut answers = [ask(&services, address)?, ask(&services, address)?];
        answers.sort();
        assert_eq!(answers, ["HTTP/1.1 200 OK\r\n\r\none", "HTTP/1.1 200 OK\r\n\r\ntwo"]);
        assert!(ask(&services, "10.96.0.8:443")?.starts_with("HTTP/1.1 503"));

        route.lead_to(&[]);
        assert!(ask(&services, address)?.starts_with("HTTP/1.1 503"));
        Ok(())
    }
}
