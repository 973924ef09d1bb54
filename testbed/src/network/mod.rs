//! Networks of their own, for processes of this machine.
//!
//! A [`Network`] is a bridge in a network namespace, a [`Host`] another namespace with a cable to it:
//! an address, all ports, a loopback interface and an `/etc` of its own. The machine's
//! own network is not touched: where users may make namespaces, not even root is needed. They have no
//! names and no files. The kernel takes a namespace down with the last process in it, and those end
//! with their [`Guard`], also when their owner is killed: nothing can stay behind.
//!
//! ```
//! # use testbed::{Guard, Network};
//! let guard = Guard::new()?;
//! let network = match Network::start(&guard)? {
//!     Ok(network) => network,
//!     Err(reason) => return Ok(testbed::skip(&reason)),
//! };
//! let (server, client) = (network.host("server")?, network.host("client")?);
//! client.knows("server", server.address())?;
//! let found = client.command("getent").args(["hosts", "server"]).output()?;
//! assert!(String::from_utf8_lossy(&found.stdout).contains(&server.address().to_string()));
//! # anyhow::Ok(())
//! ```

mod door;
mod exit;
mod rights;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::guard::Guard;
use crate::server::Server;

pub(crate) use door::listener;
pub use door::{Door, carry};
pub use exit::{Exit, carry_inside, carry_outside};
use rights::{KINDS, Rights};

/// What a slow machine may take to make a namespace.
const PATIENCE: Duration = Duration::from_mins(1);
/// The bridge's own address, which to a pod is its node's; those of the hosts follow it. The network
/// can be reached from nowhere else, so it does not matter who else uses these.
pub const BRIDGE: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
/// Makes the bridge, and keeps its namespace.
const SWITCH: &str = "\"$0\" link set lo up && \"$0\" link add name mesh type bridge && \
    \"$0\" address add \"$1/24\" dev mesh && \"$0\" link set mesh up && \
    echo up && exec sleep infinity";
/// Keeps a host's namespace, in which everything but `/etc` is the machine's.
const HOST: &str = "\"$0\" link set lo up && mount --bind \"$1\" /etc && \
    echo up && exec sleep infinity";
/// Asks over HTTP without any client: prints the status.
const ASK: &str = "exec 3<>\"/dev/tcp/$0/$1\" && \
    printf 'GET %s HTTP/1.1\\r\\nHost: %s\\r\\nConnection: close\\r\\n\\r\\n' \"$2\" \"$0:$1\" >&3 && \
    read -r _ status _ <&3 && echo \"$status\"";

/// A bridge that [`Host`]s are connected to.
#[derive(Debug)]
pub struct Network<'g> {
    guard: &'g Guard,
    bridge: Entrance,
    holder: Server,
    hosts: AtomicU8,
}

impl<'g> Network<'g> {
    /// Makes an empty one. The inner error says why this machine gives nobody a network of their
    /// own, and what helps.
    pub fn start(guard: &'g Guard) -> Result<Result<Self, String>> {
        let rights = match Rights::of_this_machine() {
            Ok(rights) => Arc::new(rights),
            Err(reason) => return Ok(Err(reason)),
        };
        let mut unshare = Command::new(&rights.unshare);
        unshare.args(rights.flags()).args(["--", "bash", "-c", SWITCH]).arg(&rights.ip);
        unshare.arg(BRIDGE.to_string());
        let holder = guard.spawn("network", &mut unshare)?;
        holder.wait_until("up", PATIENCE, || holder.log().ends_with("up\n"))?;
        let bridge = Entrance { rights, pid: holder.pid() };
        Ok(Ok(Self { guard, bridge, holder, hosts: AtomicU8::new(0) }))
    }

    /// A command that will run where the bridge is.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.bridge.command(program)
    }

    /// Connects a new host. It knows no other by name until it is told.
    pub fn host(&self, name: &str) -> Result<Host> {
        let number = self.hosts.fetch_add(1, Ordering::Relaxed) + 1;
        let last = BRIDGE.octets()[3].checked_add(number).context("the network is full")?;
        let address = Ipv4Addr::new(10, 244, 0, last);
        let etc = self.guard.folder().join(format!("etc-{name}"));
        fs::create_dir_all(&etc)?;
        fs::write(
            etc.join("hosts"),
            format!("127.0.0.1 localhost\n::1 localhost\n{address} {name}\n"),
        )?;
        fs::write(etc.join("nsswitch.conf"), "hosts: files\n")?;
        fs::write(etc.join("resolv.conf"), "")?;

        let mut unshare = self.command(&self.bridge.rights.unshare);
        unshare.args(KINDS).args(["--", "bash", "-c", HOST]).arg(&self.bridge.rights.ip);
        unshare.arg(&etc);
        let holder = self.guard.spawn(&format!("network-{name}"), &mut unshare)?;
        holder.wait_until("up", PATIENCE, || holder.log().ends_with("up\n"))?;
        let inside = Entrance { rights: Arc::clone(&self.bridge.rights), pid: holder.pid() };
        let pid = inside.pid;
        self.bridge.ip(&format!(
            "link add name port{number} type veth peer name eth0 netns {pid}\n\
             link set port{number} master mesh up\n"
        ))?;
        inside.ip(&format!(
            "address add {address}/24 dev eth0\nlink set eth0 up\nroute add default via {BRIDGE}\n"
        ))?;
        Ok(Host { address, etc, inside, bridge: self.bridge.clone(), holder })
    }

    /// Lets it stay when this value is dropped; it still ends with its guard.
    pub fn leave(self) {
        self.holder.leave();
    }
}

/// A place for processes, with an address of its own.
///
/// When it is dropped, it stays as long as something runs in it.
#[derive(Debug)]
pub struct Host {
    address: Ipv4Addr,
    etc: PathBuf,
    inside: Entrance,
    bridge: Entrance,
    holder: Server,
}

impl Host {
    /// Where the other hosts reach it.
    pub fn address(&self) -> IpAddr {
        self.address.into()
    }

    /// What it sees as `/etc`: files that are put here are there at once.
    pub fn etc(&self) -> &Path {
        &self.etc
    }

    /// A command that will run in it. The program is looked for on the machine, whose files it
    /// sees, but for `/etc`; its folder is the root.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.inside.command(program)
    }

    /// Lets it find another by this name.
    pub fn knows(&self, name: &str, address: IpAddr) -> Result<()> {
        let mut hosts = fs::File::options().append(true).open(self.etc.join("hosts"))?;
        Ok(writeln!(hosts, "{address} {name}")?)
    }

    /// The status of a GET that comes from the bridge, as a kubelet's probe would; `None`: there
    /// was no answer.
    pub fn status_of(&self, port: u16, path: &str) -> Option<u16> {
        let mut bash = self.bridge.command("bash");
        bash.args(["-c", ASK, &self.address.to_string(), &port.to_string(), path]);
        let output = bash.stdin(Stdio::null()).output().ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    }

    /// An address of this machine that leads to `target`, as seen from within the host.
    ///
    /// `program` is the program `testbed`, which carries the connections until the door is dropped.
    pub fn door(&self, guard: &Guard, program: &Path, target: SocketAddr) -> Result<Door> {
        Door::open(guard, listener(target.port())?, self.command(program), target)
    }

    /// A port of its address that leads to `target` on this machine.
    ///
    /// `program` is the program `testbed`, which carries the connections until the exit is dropped.
    pub fn exit(
        &self,
        guard: &Guard,
        program: &Path,
        port: u16,
        target: SocketAddr,
    ) -> Result<Exit> {
        let address = SocketAddr::from((self.address, port));
        Exit::open(guard, self.command(program), program, address, target)
    }

    /// The beginning of a command line that runs something in it, for people.
    pub fn entrance(&self) -> String {
        let arguments = self.inside.arguments().join(" ");
        format!("nsenter {arguments}")
    }

    /// Lets it stay when this value is dropped; it still ends with its guard.
    pub fn leave(self) {
        self.holder.leave();
    }
}

/// A way into a namespace.
#[derive(Debug, Clone)]
struct Entrance {
    rights: Arc<Rights>,
    pid: u32,
}

impl Entrance {
    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![format!("--target={}", self.pid)];
        if self.rights.users {
            arguments.extend(["--user".to_owned(), "--preserve-credentials".to_owned()]);
        }
        arguments.extend(KINDS.map(str::to_owned));
        arguments
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(&self.rights.nsenter);
        command.args(self.arguments()).arg("--").arg(program);
        command
    }

    /// Has `ip` do these things, one a line.
    fn ip(&self, lines: &str) -> Result<()> {
        let mut ip = self.command(&self.rights.ip);
        ip.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = ip.spawn().context("cannot run nsenter")?;
        child.stdin.take().context("no input")?.write_all(lines.as_bytes())?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`ip` refused one of these:\n{lines}{said}");
        Ok(())
    }
}
