//! The built injector as a process of its own, without a cluster.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use testbed::{Guard, Server};

use crate::wire::{Http1, Http2, Reply, plain};

/// What a loaded machine may take for anything that is waited for.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A running `sidecar-injector serve` on free ports of the loopback interface. It ends when this
/// value is dropped.
#[derive(Debug)]
pub struct Injector {
    server: Server,
    webhook: SocketAddr,
    operations: SocketAddr,
    tls: Arc<ClientConfig>,
    guard: Guard,
}

impl Injector {
    /// Starts it as its own certificate authority and waits until it is ready. `configuration` is
    /// its file, without what this sets by flags.
    pub fn start(configuration: &str) -> Result<Self> {
        Self::start_with(configuration, |_, _| Ok(()))
    }

    /// [`Injector::start`]; `prepare` may add flags, and files to the folder it is given.
    pub fn start_with(
        configuration: &str,
        prepare: impl FnOnce(&mut Command, &Path) -> Result<()>,
    ) -> Result<Self> {
        let guard = Guard::new()?;
        let folder = guard.folder().to_owned();
        let file = configuration_file(&folder);
        fs::create_dir_all(file.parent().context("a file has a folder")?)?;
        fs::write(&file, configuration)?;
        let mut command = Command::new(testbed::binary("sidecar-injector")?);
        command.env_clear().args(["serve", "--log-format=json"]).arg("--config").arg(&file);
        command.args(["--listen=127.0.0.1:0", "--operations-listen=127.0.0.1:0"]);
        prepare(&mut command, &folder)?;
        let given: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        if !given.iter().any(|argument| argument.starts_with("--tls-")) {
            command.arg("--url=https://127.0.0.1/mutate");
            command.arg("--tls-folder").arg(tls_folder(&folder));
        }
        if command.get_envs().next().is_none() {
            command.arg("--no-kubernetes");
        }
        let server = guard.spawn("sidecar-injector", &mut command)?;
        let mut addresses = None;
        server.wait_until("listening", PATIENCE, || {
            addresses = listening(&server.log());
            addresses.is_some()
        })?;
        let (webhook, operations) = addresses.context("it listens")?;
        server.wait_until("ready", PATIENCE, || {
            plain(operations, "GET", "/readyz").is_ok_and(|reply| reply.status == 200)
        })?;
        let tls = trusting(&fs::read(tls_folder(&folder).join("ca.crt"))?)?;
        Ok(Self { server, webhook, operations, tls, guard })
    }

    /// The process.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Its folder: the configuration file is `etc/config.yaml` in it.
    pub fn folder(&self) -> &Path {
        self.guard.folder()
    }

    /// Where it takes reviews.
    pub fn webhook(&self) -> SocketAddr {
        self.webhook
    }

    /// How a client trusts it: by its CA.
    pub fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }

    /// A new HTTP/1.1 connection.
    pub fn http1(&self) -> Result<Http1> {
        Http1::connect(self.webhook, &self.tls)
    }

    /// A new HTTP/2 connection.
    pub fn http2(&self) -> Result<Http2> {
        Http2::connect(self.webhook, &self.tls)
    }

    /// Posts a review on a connection of its own.
    pub fn review(&self, body: &[u8]) -> Result<Reply> {
        self.http1()?.post("/mutate?timeout=30s", body)
    }

    /// What the operations port says.
    pub fn operations(&self, path: &str) -> Result<Reply> {
        plain(self.operations, "GET", path)
    }

    /// `/status`.
    pub fn status(&self) -> Result<Value> {
        self.operations("/status")?.json()
    }

    /// The value, a whole number, of the one series whose name and labels are `series`.
    pub fn metric(&self, series: &str) -> Result<u64> {
        let text = self.operations("/metrics")?.text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
            .with_context(|| format!("there is no {series} in\n{text}"))?;
        Ok(line.strip_suffix(".0").unwrap_or(line).parse()?)
    }

    /// Asks it to end.
    pub fn terminate(&self) -> Result<()> {
        self.server.signal(Signal::SIGTERM)
    }

    /// The most memory it ever had resident, in bytes, without the pages of its file: those of a
    /// debug build are several times a release's.
    pub fn peak_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.pid()))?;
        let kibibytes = |key: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let line = line.with_context(|| format!("the kernel tells no {key}"))?;
            Ok(line.trim().trim_end_matches(" kB").parse()?)
        };
        Ok((kibibytes("VmHWM:")? - kibibytes("RssFile:")?) << 10)
    }

    /// Its log lines so far, parsed.
    pub fn log(&self) -> Vec<Value> {
        self.server.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// Where the configuration of an injector lies that runs in `folder`.
pub fn configuration_file(folder: &Path) -> PathBuf {
    folder.join("etc/config.yaml")
}

/// Where it keeps CA and certificate.
pub fn tls_folder(folder: &Path) -> PathBuf {
    folder.join("tls")
}

/// A client that trusts the CA `pem`.
pub fn trusting(pem: &[u8]) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in certs::Certificate::all_from_pem(pem, "ca.crt")? {
        roots.add(certificate.der().clone())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The addresses from the line with which it says that it serves.
fn listening(log: &str) -> Option<(SocketAddr, SocketAddr)> {
    log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|line| {
        let address = |key: &str| line.get(key)?.as_str()?.parse().ok();
        (line["message"] == "serving")
            .then(|| Some((address("webhook")?, address("operations")?)))?
    })
}
