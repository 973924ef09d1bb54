//! Where mesher learns of the backends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::{Guard, Server, free_ports};

use super::PATIENCE;
use crate::proxy::scenario::SERVICE;
use crate::proxy::{Machine, Spoken};

/// Seconds between heartbeats, of which it expects none during a measurement.
const INTERVAL: u32 = 24 * 3600;

/// A `service-registry` that knows one service, with two instances.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    _server: Server,
}

impl Registry {
    /// Starts it and registers the backends.
    pub fn start(guard: &Guard, program: &Path, machine: &Machine) -> Result<Self> {
        let [port] = free_ports()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut command = Command::new(program);
        command.env_clear().args(["--listen", &address.to_string()]);
        let server = guard.spawn("service-registry", &mut command)?;
        let accepts = || TcpStream::connect(address).is_ok();
        server.wait_until("accepting", PATIENCE, accepts)?;
        let registry = Self { address, _server: server };
        let service = json!({"service": {
            "appId": "default", "serviceName": SERVICE, "version": "1.0.0", "level": "BACK",
        }});
        let id = registry.post("", &service)?;
        let id = id["serviceId"].as_str().context("the registry gives no service id")?;
        let (http, grpc) = (machine.backends(Spoken::Http1), machine.backends(Spoken::Grpc));
        for (at, (http, grpc)) in http.iter().zip(&grpc).enumerate() {
            let instance = json!({"instance": {
                "hostName": format!("backend-{at}"), "status": "UP",
                "endpoints": [format!("rest://{http}"), format!("grpc://{grpc}")],
                "healthCheck": {"mode": "push", "interval": INTERVAL, "times": 3},
            }});
            registry.post(&format!("/{id}/instances"), &instance)?;
        }
        Ok(registry)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        let mut tcp = TcpStream::connect(self.address)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        write!(
            tcp,
            "POST /v4/default/registry/microservices{path} HTTP/1.1\r\nhost: registry\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut reply = String::new();
        tcp.read_to_string(&mut reply)?;
        let (head, body) = reply.split_once("\r\n\r\n").context("the registry answers nothing")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "the registry refuses {path}: {reply}");
        Ok(serde_json::from_str(body)?)
    }
}
