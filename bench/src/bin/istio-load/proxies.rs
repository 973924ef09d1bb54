//! The proxies of one istiod.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::process::{Cpu, Memory};
use bench::processors::pin;
use testbed::{Guard, Server, free_ports, tools};

use super::load::Client;
use super::{OTHERS, OWN};

/// What Envoy is told: the same kinds of resources by the same stream, for the same listener.
const ENVOY: &str = include_str!("../../../proxy/envoy-istio.yaml");
/// How often it is looked whether one is ready.
const LOOK: Duration = Duration::from_millis(5);

/// A program to measure.
#[derive(Debug, Clone)]
pub(crate) enum Program {
    Mesher(PathBuf),
    Envoy,
}

/// A running proxy, with one worker, on a processor of its own.
#[derive(Debug)]
pub(crate) struct Proxy {
    server: Server,
    pub(crate) address: SocketAddr,
    began: Instant,
}

impl Program {
    /// Starts it as a proxy of istiod.
    pub(crate) fn start(&self, guard: &Guard, istiod: SocketAddr) -> Result<Proxy> {
        let [address, admin] = free_ports()?.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let (name, mut command) = match self {
            Self::Mesher(program) => {
                let mut command = Command::new(program);
                command
                    .env("DISCOVERY_TYPE", "pilot")
                    .env("ISTIO_PILOT_ADDR", istiod.to_string())
                    .env("SERVICE_NAME", "bench")
                    .env("POD_NAME", "mesher-0")
                    .env("POD_NAMESPACE", "shop")
                    .arg("--mesher.workers=1")
                    .arg(format!("--servicecomb.protocols.http.listenAddress={address}"))
                    .arg("--servicecomb.protocols.grpc.listenAddress=off")
                    .arg(format!("--servicecomb.protocols.rest-admin.listenAddress={admin}"));
                ("mesher", command)
            }
            Self::Envoy => {
                let file = guard.folder().join("envoy.yaml");
                let configuration = ENVOY
                    .replace("{{http_port}}", &address.port().to_string())
                    .replace("{{istiod_port}}", &istiod.port().to_string());
                fs::write(&file, configuration)?;
                let mut command = Command::new(tools::program("envoy")?);
                command
                    .args(["--concurrency", "1", "--use-dynamic-base-id"])
                    .args(["--log-level", "warning", "--config-path"])
                    .arg(file);
                ("envoy", command)
            }
        };
        command.env("HOME", guard.folder()).current_dir(guard.folder());
        pin(&OWN)?;
        let began = Instant::now();
        let server = guard.spawn(name, &mut command)?;
        pin(&OTHERS)?;
        Ok(Proxy { server, address, began })
    }
}

impl Proxy {
    /// How long it took from its start until a request for `host` is answered by its service.
    pub(crate) fn until_ready(&self, host: &str, patience: Duration) -> Result<Duration> {
        loop {
            let asked = Client::connect(self.address).and_then(|mut client| client.get(host));
            let took = self.began.elapsed();
            if asked.is_ok_and(|status| status == 200) {
                return Ok(took);
            }
            let log = || self.server.log();
            ensure!(self.server.is_running(), "the proxy has ended: {}", log());
            ensure!(took < patience, "the proxy is not ready after {patience:?}: {}", log());
            thread::sleep(LOOK);
        }
    }

    /// What it holds in memory.
    pub(crate) fn memory(&self) -> Result<Memory> {
        Memory::of(self.server.pid()).context("the proxy's memory")
    }

    /// What it has taken of processors.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        Cpu::of(self.server.pid())
    }
}
