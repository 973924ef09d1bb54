//! istiod, with an API server as the source of services and rules.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cluster::{Authority, Cluster};
use crate::ports::free_ports;
use crate::server::Server;
use crate::tools;

/// On a busy machine it takes some seconds.
const DEADLINE: Duration = Duration::from_mins(2);
/// Where Istio's own kinds are defined, within its module.
const KINDS: &str = "manifests/charts/base/files/crd-all.gen.yaml";

/// How istiod is to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct IstiodOptions {
    /// A stream may last for so long before its proxy has to come again; `None`: for ever.
    pub longest_stream: Option<Duration>,
    /// It sends nothing that Istio's own build of Envoy alone can read, and no mutual TLS, for which
    /// a proxy would need an agent beside it.
    pub for_any_envoy: bool,
}

/// A running istiod. Services of a cluster can have no loopback addresses in Kubernetes' own kinds;
/// a ServiceEntry can.
#[derive(Debug)]
pub struct Istiod {
    server: Server,
    ports: [u16; 5],
    folder: PathBuf,
    options: IstiodOptions,
}

impl Istiod {
    /// Teaches the cluster Istio's kinds, and starts istiod over it.
    pub fn start(cluster: &Cluster, options: IstiodOptions) -> Result<Self> {
        teach_kinds(cluster)?;
        let folder = cluster.folder().join("istiod");
        let authority = Authority::create(&folder)?;
        authority.server("istiod", "istiod", &["127.0.0.1", "istiod.istio-system.svc"])?;
        fs::write(folder.join("networks.yaml"), "{\"networks\": {}}\n")?;
        write_mesh(&folder, options, true)?;
        Self::start_at(cluster, &folder, free_ports()?, options)
    }

    /// Kills it and starts another where it was.
    pub fn restart(self, cluster: &Cluster) -> Result<Self> {
        let Self { server, ports, folder, options } = self;
        server.stop();
        Self::start_at(cluster, &folder, ports, options)
    }

    /// Whether whatever is not in the mesh may be called (`ALLOW_ANY`), or nothing of it
    /// (`REGISTRY_ONLY`).
    pub fn allow_any(&self, allow: bool) -> Result<()> {
        write_mesh(&self.folder, self.options, allow)
    }

    fn start_at(
        cluster: &Cluster,
        folder: &Path,
        ports: [u16; 5],
        options: IstiodOptions,
    ) -> Result<Self> {
        let [grpc, secure, http, monitoring, debug] = ports;
        let file = |name: &str| folder.join(name).display().to_string();
        let mut command = Command::new(tools::program("pilot-discovery")?);
        command
            .current_dir(folder)
            .env_clear()
            .env("HOME", folder)
            .env("PILOT_CERT_PROVIDER", "none")
            .env("ENABLE_CA_SERVER", "false")
            .env("ENABLE_LEADER_ELECTION", "false")
            .env("PILOT_ENABLE_ANALYSIS", "false")
            .env("PILOT_ENABLE_GATEWAY_API", "false")
            .env("PILOT_DEBOUNCE_AFTER", "20ms")
            .env("PILOT_ENABLE_METADATA_EXCHANGE", (!options.for_any_envoy).to_string())
            .env("POD_NAME", "istiod-0")
            .env("POD_NAMESPACE", "istio-system")
            .args(["discovery", "--registries=Kubernetes", "--httpsAddr="])
            .arg(format!("--kubeconfig={}", cluster.kubeconfig().display()))
            .arg(format!("--meshConfig={}", file("mesh.yaml")))
            .arg(format!("--networksConfig={}", file("networks.yaml")))
            .arg(format!("--tlsCertFile={}", file("istiod.crt")))
            .arg(format!("--tlsKeyFile={}", file("istiod.key")))
            .arg(format!("--caCertFile={}", file("ca.crt")))
            .arg(format!("--grpcAddr=127.0.0.1:{grpc}"))
            .arg(format!("--secureGRPCAddr=127.0.0.1:{secure}"))
            .arg(format!("--httpAddr=127.0.0.1:{http}"))
            .arg(format!("--monitoringAddr=127.0.0.1:{monitoring}"))
            .arg(format!("--ctrlz_port={debug}"));
        if let Some(age) = options.longest_stream {
            command.arg(format!("--keepaliveMaxServerConnectionAge={}s", age.as_secs()));
        }
        let server = cluster.guard().spawn("istiod", &mut command)?;
        // It opens these when it has read everything.
        let open = || {
            [grpc, secure].into_iter().all(|port| TcpStream::connect(("127.0.0.1", port)).is_ok())
        };
        server.wait_until("ready", DEADLINE, open)?;
        Ok(Self { server, ports, folder: folder.to_owned(), options })
    }

    /// Where proxies ask, without TLS.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[0]))
    }

    /// Where they ask by TLS, with a token for `istio-ca`.
    pub fn secure_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[1]))
    }

    /// The certificate of the CA that signed its own.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// Lets it run on when this value is dropped; it still ends with its cluster.
    pub fn leave(self) {
        self.server.leave();
    }

    /// Its process.
    pub fn server(&self) -> &Server {
        &self.server
    }
}

/// Teaches a cluster Istio's own kinds.
pub(crate) fn teach_kinds(cluster: &Cluster) -> Result<()> {
    let source = tools::module_source("istiod", "istio.io/istio")?;
    let kinds = source.join(KINDS);
    let kinds = kinds.to_str().context("a module's path is text")?;
    cluster.run(&["apply", "--server-side", "--filename", kinds])?;
    let wait = ["wait", "--for=condition=Established", "--timeout=60s", "--filename", kinds];
    cluster.run(&wait)?;
    Ok(())
}

/// What the mesh is like. It is followed.
fn write_mesh(folder: &Path, options: IstiodOptions, allow_any: bool) -> Result<()> {
    let mode = if allow_any { "ALLOW_ANY" } else { "REGISTRY_ONLY" };
    let mesh = format!(
        "trustDomain: cluster.local\noutboundTrafficPolicy: {{mode: {mode}}}\nenableAutoMtls: {}\n",
        !options.for_any_envoy
    );
    Ok(fs::write(folder.join("mesh.yaml"), mesh)?)
}
