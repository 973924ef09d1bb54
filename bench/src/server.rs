//! The programs that are measured, as processes of this machine without a cluster.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::body::Bytes;
use serde_json::Value;
use testbed::{Guard, Server};

use crate::load::Target;

/// What a loaded machine may take for anything that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Stands in every answer that gives a pod its sidecar.
const PATCHED: &str = "\"patchType\":\"JSONPatch\"";

/// Authority and certificate at their fastest: a settling time is a second at least, a second is
/// lost to the whole seconds of certificates, and no leaf may be replaced before its authority has
/// settled.
const HASTY: &str = "tls:
  authority: {lifetime: 30s, renewAfter: 10s}
  leaf: {lifetime: 4s, renewAfter: 2s}
  settle: 1s
";

/// How long the certificates of an injector live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificates {
    /// As built in: nothing changes while it is measured.
    Lasting,
    /// A new leaf every two seconds, a new authority every ten.
    Hasty,
}

/// A running server. It ends when this value is dropped.
#[derive(Debug)]
pub struct Running {
    server: Server,
    webhook: SocketAddr,
    operations: Option<SocketAddr>,
    guard: Guard,
}

impl Running {
    /// The injector as it ships, with its log on, and templates from a folder.
    pub fn injector(program: &Path, certificates: Certificates) -> Result<Self> {
        let guard = Guard::new()?;
        let (etc, templates) = (guard.folder().join("etc"), guard.folder().join("templates"));
        fs::create_dir(&etc)?;
        fs::create_dir(&templates)?;
        write_template(&templates, 0)?;
        let mut configuration = format!("templates: {}\n", templates.display());
        if certificates == Certificates::Hasty {
            configuration += HASTY;
        }
        fs::write(etc.join("config.yaml"), configuration)?;
        let mut command = Command::new(program);
        command
            .env_clear()
            .args(["serve", "--no-kubernetes", "--log-format=json"])
            .args(["--listen=127.0.0.1:0", "--operations-listen=127.0.0.1:0"])
            .arg("--url=https://127.0.0.1/mutate")
            .arg("--config")
            .arg(etc.join("config.yaml"))
            .arg("--tls-folder")
            .arg(guard.folder().join("tls"));
        let running = Self::spawn(guard, "injector", &mut command)?;
        let operations = running.operations.context("it has an operations port")?;
        running.server.wait_until("ready", PATIENCE, || {
            get(operations, "/readyz").is_ok_and(|reply| reply.starts_with("HTTP/1.1 200"))
        })?;
        Ok(running)
    }

    /// The floor: a server on the same libraries that gives every request `answer`.
    pub fn floor(program: &Path, answer: &[u8]) -> Result<Self> {
        let guard = Guard::new()?;
        let file = guard.folder().join("answer.json");
        fs::write(&file, answer)?;
        let mut command = Command::new(program);
        command.env_clear().arg(guard.folder().join("tls")).arg(file);
        Self::spawn(guard, "floor", &mut command)
    }

    fn spawn(guard: Guard, name: &str, command: &mut Command) -> Result<Self> {
        let server = guard.spawn(name, command)?;
        let mut listening = None;
        server.wait_until("listening", PATIENCE, || {
            listening = addresses(&server.log());
            listening.is_some()
        })?;
        let (webhook, operations) = listening.context("it listens")?;
        let ca = guard.folder().join("tls/ca.crt");
        server.wait_until("certified", PATIENCE, || ca.exists())?;
        Ok(Self { server, webhook, operations, guard })
    }

    /// What load on it needs to know; every review is `body`.
    pub fn target(&self, body: &Bytes) -> Arc<Target> {
        Arc::new(Target {
            address: self.webhook,
            path: "/mutate?timeout=10s",
            pid: self.server.pid(),
            ca: self.guard.folder().join("tls/ca.crt"),
            body: body.clone(),
            expected: PATCHED,
        })
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// The folder of its templates.
    pub fn templates(&self) -> PathBuf {
        self.guard.folder().join("templates")
    }

    /// What it says of itself.
    pub fn status(&self) -> Result<Status> {
        let reply = get(self.operations.context("it has no operations port")?, "/status")?;
        let (_, body) = reply.split_once("\r\n\r\n").context("no whole head of an answer")?;
        let status: Value = serde_json::from_str(body)?;
        let text = |path: &str| status.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let number = |path: &str| {
            let number = status.pointer(path).and_then(Value::as_u64);
            number.with_context(|| format!("no {path} in {status}"))
        };
        let errors = ["/configuration/error", "/certificate/error"];
        Ok(Status {
            reloads: number("/configuration/generation")?,
            identities: number("/certificate/generation")?,
            error: errors.iter().find_map(|path| text(path)),
        })
    }

    /// How often it said that it stored certificates for this reason.
    pub fn stored(&self, because: &str) -> usize {
        let log = self.server.log();
        log.lines()
            .filter(|line| line.contains("certificates stored") && line.contains(because))
            .count()
    }

    /// Forgets the log so far: hundreds of bytes for each review.
    pub fn truncate_log(&self) -> Result<()> {
        let log = fs::File::options().write(true).open(self.server.log_path())?;
        Ok(log.set_len(0)?)
    }
}

/// What an injector says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Configurations and templates put in force.
    pub reloads: u64,
    /// Certificates or authorities put in service.
    pub identities: u64,
    /// What is wrong with any of them.
    pub error: Option<String>,
}

/// Replaces the template by one that says the same in other bytes, at once as a kubelet does.
pub fn write_template(folder: &Path, version: usize) -> Result<()> {
    let beside = folder.join(".next");
    fs::write(&beside, format!("# Version {version}\n{}", injector::template::BUILTIN))?;
    Ok(fs::rename(beside, folder.join("mesher.yaml"))?)
}

/// From the line with which a server says that it serves.
fn addresses(log: &str) -> Option<(SocketAddr, Option<SocketAddr>)> {
    log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|line| {
        let address = |key: &str| line.get(key)?.as_str()?.parse().ok();
        (line["message"] == "serving")
            .then(|| Some((address("webhook")?, address("operations"))))?
    })
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    write!(tcp, "GET {path} HTTP/1.1\r\nhost: injector\r\nconnection: close\r\n\r\n")?;
    let mut reply = String::new();
    tcp.read_to_string(&mut reply)?;
    ensure!(!reply.is_empty(), "{path}: no answer");
    Ok(reply)
}
