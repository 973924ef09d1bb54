//! A Kubernetes node on this machine: a control plane, and a kubelet that runs pods with containerd.
//!
//! Everything is in one set of namespaces (processes, mounts, network, host name, System V IPC,
//! cgroups), made of nothing but files of the node's folder. The machine's own network, mounts, files
//! and settings are not touched, and nothing stays behind: with the first process of the namespaces the
//! kernel ends all others, and the [`Guard`] removes their cgroups and the folder, however the owner
//! dies. The kubelet is root all the same: this keeps things tidy, it does not guard against hostile
//! pods.
//!
//! No cable leads out of the node. Images are brought as files; the API server is reached at a port of
//! 127.0.0.1, and by it everything else: `kubectl exec`, `logs`, `port-forward`.
//!
//! ```no_run
//! # use testbed::{Node, NodeOptions};
//! let options = NodeOptions {
//!     testbed: testbed::binary("testbed")?,
//!     images: vec!["pause.tar".into(), "mockserver.tar".into()],
//! };
//! let node = match Node::start(&options)? {
//!     Ok(node) => node,
//!     Err(reason) => return Ok(testbed::skip(&reason)),
//! };
//! node.cluster().run(&["run", "server", "--image=mockserver:0.1.0"])?;
//! node.import("client.tar".as_ref())?;
//! # anyhow::Ok(())
//! ```

mod cgroups;
mod components;
mod entrance;
mod images;
mod istiod;
mod left;
mod machine;

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use anyhow::{Context, Result, anyhow};

use crate::cluster::{ADMIN, Authority, CONTROLLER_MANAGER, Cluster, DEADLINE, Ports, Site};
use crate::guard::Guard;
use crate::network::{Door, listener};
use crate::progress::Step;
use crate::server::Server;
use cgroups::Cgroups;
use machine::{Machine, UNSHARE};

pub use components::{ADDRESS, NAME};
pub(crate) use entrance::Entrance;
pub use istiod::ISTIOD_IMAGE;
pub use left::{Component, LeftNode};
pub use machine::is_allowed;

/// Makes the namespaces what a node needs.
const INIT: &str = include_str!("init.sh");
/// Where API servers usually listen.
const API: u16 = 6443;

/// What a node is made of besides the pinned servers.
#[derive(Debug, Clone, Default)]
pub struct NodeOptions {
    /// The program `testbed`, which carries connections from this machine to the API server.
    pub testbed: PathBuf,
    /// Archives of images. One of them has to be `pause`: every pod needs it.
    pub images: Vec<PathBuf>,
}

/// A running node with its control plane; it ends with this value and, however this process dies,
/// with the process.
#[derive(Debug)]
pub struct Node {
    // First: with it, everything in the namespaces ends.
    holder: Server,
    servers: Vec<Server>,
    door: Door,
    entrance: Entrance,
    // Last: its guard removes the folder once all have ended.
    cluster: Cluster,
}

impl Node {
    /// Starts a node and waits until it is Ready and pods can be created, some ten seconds on two
    /// processors. The inner error says why this machine runs none, and what helps.
    pub fn start(options: &NodeOptions) -> Result<Result<Self, String>> {
        let machine = match Machine::look() {
            Ok(machine) => machine,
            Err(reason) => return Ok(Err(reason)),
        };
        let guard = Guard::new()?;
        let name = guard.folder().file_name().and_then(OsStr::to_str).context("no folder")?;
        let cgroups = match Cgroups::choose(name) {
            Ok(cgroups) => cgroups,
            Err(reason) => return Ok(Err(reason)),
        };
        Self::make(guard, machine, &cgroups, options)
            .context("cannot start a Kubernetes node")
            .map(Ok)
    }

    /// The node that all tests of this process share; the first caller starts it, with `options`.
    /// Each test makes a [`Cluster::namespace`] of its own. It ends when the process does.
    pub fn shared(
        options: impl FnOnce() -> Result<NodeOptions>,
    ) -> Result<Result<&'static Self, String>> {
        static SHARED: OnceLock<Result<Result<Node, String>, String>> = OnceLock::new();
        // Who may start none has none of the images that the options name, either.
        let start = || match is_allowed() {
            Ok(()) => Self::start(&options()?),
            Err(reason) => Ok(Err(reason)),
        };
        match SHARED.get_or_init(|| start().map_err(|error| format!("{error:#}"))) {
            Ok(Ok(node)) => Ok(Ok(node)),
            Ok(Err(reason)) => Ok(Err(reason.clone())),
            Err(error) => Err(anyhow!("{error}")),
        }
    }

    fn make(
        guard: Guard,
        machine: Machine,
        cgroups: &Cgroups,
        options: &NodeOptions,
    ) -> Result<Self> {
        let step = Step::start("node: namespaces, cgroups and a network");
        let folder = guard.folder().to_owned();
        let holder = unshare(&guard, &machine, cgroups)?;
        let entrance = Entrance::open(&folder, machine, holder.pid(), &cgroups.entered())?;
        step.done();

        let step = Step::start("node: etcd and the API server");
        let listener = listener(API)?;
        // Inside and outside it has the same address: 127.0.0.1 and this port.
        let api = listener.local_addr()?;
        let carrier = entrance.in_network(&options.testbed);
        let door = Door::open(
            &guard,
            listener,
            carrier,
            SocketAddr::from((Ipv4Addr::LOCALHOST, api.port())),
        )?;
        let authority = Authority::create(&folder.join("pki"))?;
        let pki = authority.pki().clone();
        let site = Site {
            ports: Ports { etcd: 2379, etcd_peer: 2380, api: api.port() },
            api_flags: components::apiserver_flags(&pki),
            inside: Some(entrance.clone()),
        };
        for user in [ADMIN, CONTROLLER_MANAGER] {
            authority.user(&user, &site.api_url())?;
        }
        components::certify(&authority, &site.api_url())?;
        let mut cluster = Cluster::begin(guard, site)?;

        let spawn = |cluster: &Cluster, name: &str, command: Command| {
            cluster.guard().spawn(name, &mut entrance.around(&command))
        };
        let machine = entrance.machine();
        let containerd = components::containerd(&folder, machine)?;
        let containerd = spawn(&cluster, "containerd", containerd)?;
        // Either takes some seconds.
        thread::scope(|scope| {
            let images = scope.spawn(|| {
                containerd.wait_until("ready", DEADLINE, || images::is_ready(&entrance))?;
                options.images.iter().try_for_each(|archive| images::import(&entrance, archive))?;
                images::expect_pause(&entrance)
            });
            cluster.wait_until_ready()?;
            images.join().map_err(|_| anyhow!("importing images panicked"))?
        })?;
        step.done();

        let step = Step::start("node: kubelet, kube-proxy, CoreDNS");
        cluster.start_controller_manager()?;
        let kubelet = spawn(&cluster, "kubelet", components::kubelet(&folder, &pki)?)?;
        let scheduler = spawn(&cluster, "kube-scheduler", components::scheduler(&pki)?)?;
        let proxy = spawn(&cluster, "kube-proxy", components::proxy(&folder, &pki)?)?;
        cluster.apply(components::DNS_OBJECTS)?;
        let coredns = components::coredns(&folder, &pki, machine)?;
        let coredns = spawn(&cluster, "coredns", coredns)?;
        kubelet.wait_until("Ready", DEADLINE, || is_ready(&cluster))?;
        // It says so when it has read what there is.
        coredns.wait_until("serving", DEADLINE, || coredns.log().contains("CoreDNS-"))?;
        cluster.wait_for_accounts()?;
        step.done();

        let servers = vec![containerd, kubelet, scheduler, proxy, coredns];
        for server in &servers {
            server.wait_until("done", DEADLINE, || true)?;
        }
        Ok(Self { holder, servers, door, entrance, cluster })
    }

    /// Its control plane: kubectl, namespaces, kubeconfigs.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The administrator's kubeconfig, for this machine and for what runs in the node.
    pub fn kubeconfig(&self) -> &Path {
        self.cluster.kubeconfig()
    }

    /// Brings the images of an archive, an OCI layout or what `docker save` writes. Pods can use them
    /// at once, by names without `:latest` and with `imagePullPolicy: IfNotPresent`.
    pub fn import(&self, archive: &Path) -> Result<()> {
        images::import(&self.entrance, archive)
    }

    /// A command that will run in the node's namespaces, where pods and Services can be reached. It
    /// sees the files of this machine, but can change none outside of the node's folder.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.entrance.command(program)
    }

    /// Leaves the node running after this process.
    pub fn keep(self) -> Result<LeftNode> {
        let Self { holder, servers, door, cluster, .. } = self;
        let folder = cluster.folder().to_owned();
        left::finish(&folder)?;
        cluster.keep()?;
        door.leave();
        holder.leave();
        servers.into_iter().for_each(Server::leave);
        LeftNode::find(&folder).context("the node has just been left")
    }
}

/// Tries what a node needs, once the tools are built: the error says why this machine runs none, and
/// what helps.
pub fn is_possible() -> Result<(), String> {
    Machine::look()?;
    Cgroups::choose(NAME).map(|_| ())
}

/// Makes the namespaces, and their first process.
fn unshare(guard: &Guard, machine: &Machine, cgroups: &Cgroups) -> Result<Server> {
    let folder = guard.folder();
    guard.own_cgroups(cgroups.roots())?;
    cgroups.make()?;
    let script = folder.join("init.sh");
    fs::write(&script, INIT)?;
    let mut unshare = entrance::joining(&folder.join(crate::guard::CGROUPS), &machine.unshare);
    unshare.args(UNSHARE).args(["--", "bash"]).arg(&script).arg(folder);
    unshare.args([NAME.to_owned(), ADDRESS.to_string(), components::GATEWAY.to_string()]);
    let holder = guard.spawn("node", &mut unshare)?;
    holder.wait_until("up", DEADLINE, || holder.log().ends_with("up\n"))?;
    cgroups.delegate()?;
    Ok(holder)
}

/// The question waits for the answer itself, but for one that has not registered yet.
fn is_ready(cluster: &Cluster) -> bool {
    let node = format!("node/{NAME}");
    let wait = ["wait", "--for=condition=Ready", &node, "--timeout=4s"];
    cluster.run(&wait).is_ok()
}
