//! The proxies that are measured: mesher, the least that one can do, and what others use.

mod registry;

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use testbed::{Guard, Server, free_ports, tools};

pub use self::registry::Registry;
use super::scenario::SERVICE;
use super::{Machine, Spoken};
use crate::process::tree;

/// A start on a busy machine, also under valgrind.
const PATIENCE: Duration = Duration::from_mins(2);

const NGINX: &str = include_str!("../../../proxy/nginx.conf");
const HAPROXY: &str = include_str!("../../../proxy/haproxy.cfg");
const ENVOY: &str = include_str!("../../../proxy/envoy.yaml");

/// Which proxy is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A build of mesher.
    Mesher(PathBuf),
    /// The same, governed in every way that changes nothing here: ten rules, breaker, limits, retries.
    Governed(PathBuf),
    /// The same, with a bound on what is under way.
    Bounded(PathBuf),
    /// The same, with [`LIMIT`].
    Limited(PathBuf),
    /// The floor, which speaks HTTP/1.1 only and has one worker.
    Floor(PathBuf),
    /// Debian's.
    Nginx,
    /// Debian's.
    Haproxy,
    /// From its wheel.
    Envoy,
}

/// Where and how proxies are started.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Whose processes they are.
    pub guard: &'a Guard,
    /// Who is behind them.
    pub machine: &'a Machine,
    /// Where mesher finds these.
    pub registry: &'a Registry,
    /// Threads, or processes, that carry traffic.
    pub workers: usize,
}

/// A running proxy.
#[derive(Debug)]
pub struct Peer {
    /// For tables.
    pub name: String,
    /// What it says of itself.
    pub version: String,
    /// How it was told what to do: its file, or its command line.
    pub configuration: String,
    http: Option<SocketAddr>,
    grpc: Option<SocketAddr>,
    server: Server,
}

/// A proxy that is not to be had here, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(pub String);

impl Launch<'_> {
    /// Starts a proxy, and waits until it takes connections.
    pub fn start(&self, name: &str, program: &Program) -> Result<Result<Peer, Missing>> {
        self.start_under(name, program, None)
    }

    /// The same with valgrind, which writes to a file at the end how many instructions it took.
    pub fn start_under(
        &self,
        name: &str,
        program: &Program,
        callgrind: Option<&Path>,
    ) -> Result<Result<Peer, Missing>> {
        let [http, grpc] = free_ports()?.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let path = match program.path() {
            Ok(path) => path,
            Err(error) => return Ok(Err(Missing(format!("{error:#}")))),
        };
        let version = match program.version(&path) {
            Ok(version) => version,
            Err(error) => return Ok(Err(Missing(format!("{name} does not run here: {error:#}")))),
        };
        let mut command = match callgrind {
            None => Command::new(&path),
            Some(file) => {
                let mut valgrind = Command::new("valgrind");
                valgrind.arg("--tool=callgrind");
                valgrind.arg(format!("--callgrind-out-file={}", file.display())).arg(&path);
                valgrind
            }
        };
        let folder = self.guard.folder().join(format!("{name}-{}", http.port()));
        fs::create_dir_all(&folder)?;
        let written = |file: &str, text: String| -> Result<(PathBuf, String)> {
            let file = folder.join(file);
            fs::write(&file, &text)?;
            Ok((file, text))
        };
        let configuration = match program {
            Program::Mesher(_)
            | Program::Governed(_)
            | Program::Bounded(_)
            | Program::Limited(_) => {
                let mut arguments = self.mesher(http, grpc)?;
                arguments.extend(program.terms());
                command.env_clear().env("SERVICE_NAME", "load").args(&arguments);
                arguments.join("\n")
            }
            Program::Floor(_) => {
                command.arg(http.port().to_string());
                command.args(self.machine.backends(Spoken::Http1).iter().map(ToString::to_string));
                "none".to_owned()
            }
            Program::Nginx => {
                let (file, text) = written("nginx.conf", self.filled(NGINX, http, grpc))?;
                command.arg("-p").arg(&folder).args(["-e", "stderr", "-c"]).arg(file);
                text
            }
            Program::Haproxy => {
                let (file, text) = written("haproxy.cfg", self.filled(HAPROXY, http, grpc))?;
                command.args(["-db", "-f"]).arg(file);
                text
            }
            Program::Envoy => {
                let (file, text) = written("envoy.yaml", self.filled(ENVOY, http, grpc))?;
                // Without, a second one on the machine would end the first.
                command.args(["--disable-hot-restart", "-l", "error", "--concurrency"]);
                command.arg(self.workers.to_string()).arg("-c").arg(file);
                text
            }
        };
        let server = self.guard.spawn(&format!("{name}-{}", http.port()), &mut command)?;
        let accepts = || TcpStream::connect(http).is_ok();
        server.wait_until("accepting", PATIENCE, accepts)?;
        let grpc = (!matches!(program, Program::Floor(_))).then_some(grpc);
        Ok(Ok(Peer {
            name: name.to_owned(),
            version,
            configuration,
            http: Some(http),
            grpc,
            server,
        }))
    }

    fn mesher(&self, http: SocketAddr, grpc: SocketAddr) -> Result<Vec<String>> {
        let [admin] = free_ports()?;
        Ok(vec![
            format!("--servicecomb.registry.address=http://{}", self.registry.address()),
            format!("--servicecomb.protocols.http.listenAddress={http}"),
            format!("--servicecomb.protocols.grpc.listenAddress={grpc}"),
            format!("--servicecomb.protocols.rest-admin.listenAddress=127.0.0.1:{admin}"),
            format!("--mesher.workers={}", self.workers),
        ])
    }

    /// The template with its words filled in.
    fn filled(&self, template: &str, http: SocketAddr, grpc: SocketAddr) -> String {
        let many = self.workers > 1;
        let mut text = template
            .replace("{{workers}}", &self.workers.to_string())
            .replace("{{master}}", if many { "on" } else { "off" })
            .replace("{{reuseport}}", if many { " reuseport" } else { "" });
        let mut fill = |name: &str, address: SocketAddr| {
            text = text
                .replace(&format!("{{{{{name}}}}}"), &address.to_string())
                .replace(&format!("{{{{{name}_port}}}}"), &address.port().to_string());
        };
        fill("http", http);
        fill("grpc", grpc);
        for (spoken, name) in [(Spoken::Http1, "http"), (Spoken::Grpc, "grpc")] {
            for (letter, address) in ["a", "b"].into_iter().zip(self.machine.backends(spoken)) {
                fill(&format!("{name}_{letter}"), address);
            }
        }
        text
    }
}

/// Far more than there ever are, so that nothing is refused and all of it is counted.
const PLENTY: u32 = 5_000_000;
/// Requests a second that are let through, where that is limited.
pub const LIMIT: u32 = 1000;
/// Requests under way at once, where that is bounded.
const BOUND: u32 = 64;

/// Nine rules that are about no request of the load, by header, path and method, and one about all.
fn rules() -> String {
    let mut rules = String::new();
    for number in 1..10_u32 {
        let about = match number % 3 {
            0 => format!("headers: {{x-user: {{exact: user-{number}}}}}"),
            1 => format!("apiPath: {{contains: /nowhere/{number}}}"),
            _ => format!("method: [PUT], headers: {{x-user: {{regex: '^u{number}'}}}}"),
        };
        let precedence = 20 - number;
        let to = "route: [{tags: {version: latest}}]";
        let _ = writeln!(rules, "- {{precedence: {precedence}, match: {{{about}}}, {to}}}");
    }
    rules + "- {precedence: 1, route: [{tags: {version: latest}, weight: 100}]}\n"
}

impl Program {
    /// What it is told besides.
    fn terms(&self) -> Vec<String> {
        let written = |terms: &[(&str, String)]| -> Vec<String> {
            terms.iter().map(|(key, value)| format!("--{key}={value}")).collect()
        };
        match self {
            Self::Governed(_) => written(&[
                (&format!("servicecomb.routeRule.{SERVICE}"), rules()),
                ("servicecomb.circuitBreaker.Consumer.enabled", "true".to_owned()),
                ("servicecomb.loadbalance.retryEnabled", "true".to_owned()),
                ("servicecomb.loadbalance.retryOnNext", "1".to_owned()),
                ("servicecomb.loadbalance.outlier.consecutiveErrors", "5".to_owned()),
                (
                    &format!("servicecomb.flowcontrol.Consumer.qps.limit.{SERVICE}"),
                    PLENTY.to_string(),
                ),
                ("servicecomb.isolation.Consumer.maxConcurrentRequests", PLENTY.to_string()),
            ]),
            Self::Bounded(_) => written(&[("mesher.limits.inFlight", BOUND.to_string())]),
            Self::Limited(_) => written(&[(
                &format!("servicecomb.flowcontrol.Consumer.qps.limit.{SERVICE}"),
                LIMIT.to_string(),
            )]),
            _ => Vec::new(),
        }
    }

    fn path(&self) -> Result<PathBuf> {
        match self {
            Self::Mesher(path)
            | Self::Governed(path)
            | Self::Bounded(path)
            | Self::Limited(path)
            | Self::Floor(path) => Ok(path.clone()),
            Self::Nginx => tools::program("nginx"),
            Self::Haproxy => tools::program("haproxy"),
            Self::Envoy => tools::program("envoy"),
        }
    }

    /// The first line that says it.
    fn version(&self, path: &Path) -> Result<String> {
        let argument = match self {
            Self::Floor(_) => return Ok(env!("CARGO_PKG_VERSION").to_owned()),
            Self::Nginx | Self::Haproxy => "-v",
            Self::Mesher(_)
            | Self::Governed(_)
            | Self::Bounded(_)
            | Self::Limited(_)
            | Self::Envoy => "--version",
        };
        let mut command = Command::new(path);
        let output = command.arg(argument).output()?;
        let mut text = String::new();
        for stream in [&output.stdout, &output.stderr] {
            let _ = write!(text, "{}", String::from_utf8_lossy(stream));
        }
        let said = || text.lines().map(str::trim).find(|line| !line.is_empty());
        anyhow::ensure!(output.status.success(), "{}", said().unwrap_or("it says nothing"));
        Ok(said().context("it tells no version")?.to_owned())
    }
}

impl Peer {
    /// Where it takes what is spoken; `None`: it does not speak that.
    pub fn address(&self, spoken: Spoken) -> Option<SocketAddr> {
        match spoken {
            Spoken::Http1 => self.http,
            Spoken::Grpc => self.grpc,
        }
    }

    /// It turned out not to.
    pub fn speaks_no(&mut self, spoken: Spoken) {
        match spoken {
            Spoken::Http1 => self.http = None,
            Spoken::Grpc => self.grpc = None,
        }
    }

    /// All its processes.
    pub fn processes(&self) -> Vec<u32> {
        tree(self.server.pid())
    }

    /// Ends it as an operator would, and waits.
    pub fn end(self) -> Result<()> {
        self.server.signal(Signal::SIGTERM)?;
        self.server.wait_for_exit(PATIENCE)?;
        Ok(())
    }
}
