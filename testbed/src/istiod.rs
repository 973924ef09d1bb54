//! istiod, with an API server as the source of services and rules.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cluster::Cluster;
use crate::ports::free_ports;
use crate::server::Server;
use crate::tools;

/// On a busy machine it takes some seconds.
const DEADLINE: Duration = Duration::from_mins(2);
/// Where Istio's own kinds are defined, within its module.
const KINDS: &str = "manifests/charts/base/files/crd-all.gen.yaml";
/// What a mesh is like, where nothing is said: plain HTTP, and whatever is not in it may be called.
const MESH: &str = "trustDomain: cluster.local\noutboundTrafficPolicy: {mode: ALLOW_ANY}\n";

/// A running istiod. Services of a cluster can have no loopback addresses in Kubernetes' own kinds;
/// a ServiceEntry can.
#[derive(Debug)]
pub struct Istiod {
    server: Server,
    ports: [u16; 4],
}

impl Istiod {
    /// Teaches the cluster Istio's kinds, and starts istiod over it.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        let source = tools::module_source("istiod", "istio.io/istio")?;
        let kinds = source.join(KINDS);
        let kinds = kinds.to_str().context("a module's path is text")?;
        cluster.run(&["apply", "--server-side", "--filename", kinds])?;
        cluster.run(&[
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "--filename",
            kinds,
        ])?;
        Self::start_at(cluster, free_ports()?)
    }

    /// Ends it and starts another where it was.
    pub fn restart(self, cluster: &Cluster) -> Result<Self> {
        let Self { server, ports } = self;
        drop(server);
        Self::start_at(cluster, ports)
    }

    fn start_at(cluster: &Cluster, ports: [u16; 4]) -> Result<Self> {
        let folder = cluster.folder().join("istiod");
        fs::create_dir_all(&folder)?;
        let (mesh, networks) = (folder.join("mesh.yaml"), folder.join("networks.yaml"));
        fs::write(&mesh, MESH)?;
        fs::write(&networks, "{\"networks\": {}}\n")?;
        let [grpc, http, monitoring, debug] = ports;
        let mut command = Command::new(tools::program("pilot-discovery")?);
        command
            .current_dir(&folder)
            .env_clear()
            .env("HOME", &folder)
            // No certificates: who asks is believed, and only on loopback.
            .env("XDS_AUTH", "false")
            .env("PILOT_CERT_PROVIDER", "none")
            .env("ENABLE_CA_SERVER", "false")
            .env("ENABLE_LEADER_ELECTION", "false")
            .env("PILOT_ENABLE_ANALYSIS", "false")
            .env("PILOT_ENABLE_GATEWAY_API", "false")
            .env("PILOT_DEBOUNCE_AFTER", "20ms")
            .env("POD_NAME", "istiod-0")
            .env("POD_NAMESPACE", "istio-system")
            .args(["discovery", "--registries=Kubernetes", "--httpsAddr=", "--secureGRPCAddr="])
            .arg("--kubeconfig")
            .arg(cluster.kubeconfig())
            .arg("--meshConfig")
            .arg(&mesh)
            .arg("--networksConfig")
            .arg(&networks)
            .arg(format!("--grpcAddr=127.0.0.1:{grpc}"))
            .arg(format!("--httpAddr=127.0.0.1:{http}"))
            .arg(format!("--monitoringAddr=127.0.0.1:{monitoring}"))
            .arg(format!("--ctrlz_port={debug}"));
        let server = cluster.guard().spawn("istiod", &mut command)?;
        // It opens this port when it has read everything.
        let open = || std::net::TcpStream::connect(("127.0.0.1", grpc)).is_ok();
        server.wait_until("ready", DEADLINE, open)?;
        Ok(Self { server, ports })
    }

    /// Where proxies ask, without TLS.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[0]))
    }

    /// Its process.
    pub fn server(&self) -> &Server {
        &self.server
    }
}
