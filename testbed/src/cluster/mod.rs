//! A Kubernetes control plane on this machine: etcd, kube-apiserver and, if
//! asked for, kube-controller-manager.

mod account;
mod control_plane;
mod kubectl;
mod kwok;
mod pki;
mod services;
mod site;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::guard::Guard;
use crate::server::Server;
use crate::tools;
use control_plane::ALONE;
use services::Services;

pub(crate) use control_plane::Ports;
pub use kwok::node_name;
pub(crate) use pki::{ADMIN, Authority, CONTROLLER_MANAGER, Pki, User};
pub use services::Route;
pub(crate) use site::Site;

/// A loaded machine with two cores needs some 15 s; more means that it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_mins(2);

/// What to start.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClusterOptions {
    /// Also run kube-controller-manager: Deployments then lead to Pods, and
    /// namespaces get their ServiceAccount `default`, without which the API
    /// server admits no Pod.
    pub controller_manager: bool,
}

/// A running control plane with fresh data; it ends with this value and, however
/// this process dies, with the process.
///
/// There is no node and no scheduler: Pods stay `Pending`, which is right.
#[derive(Debug)]
pub struct Cluster {
    controller_manager: Option<Server>,
    apiserver: Mutex<Option<Server>>,
    etcd: Server,
    site: Site,
    pki: PkiPaths,
    /// `None` where a kube-proxy runs.
    services: Option<Services>,
    namespaces: AtomicU32,
    // Last: its supervisor removes the folder once the servers are gone.
    guard: Guard,
}

/// The files that callers ask for.
#[derive(Debug)]
struct PkiPaths {
    ca: PathBuf,
    kubeconfig: PathBuf,
}

impl Cluster {
    /// The control plane, with controller manager, that all tests of this process
    /// share; the first caller starts it. Each test makes its own
    /// [`Cluster::namespace`].
    ///
    /// Statics are never dropped, so it ends when the process does. Tests that
    /// restart or break servers start a [`Cluster`] of their own.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
        SHARED
            .get_or_init(|| {
                Self::start(ClusterOptions { controller_manager: true })
                    .map_err(|error| format!("{error:#}"))
            })
            .as_ref()
            .map_err(|error| anyhow!("{error}"))
    }

    /// Starts a control plane and waits until it serves.
    pub fn start(options: ClusterOptions) -> Result<Self> {
        const TRIES: u32 = 3;
        let mut tried = 1;
        loop {
            match Self::try_start(options) {
                // Somebody else took one of the ports in between.
                Err(error)
                    if tried < TRIES && format!("{error:#}").contains("address already in use") =>
                {
                    tried += 1;
                }
                result => return result.context("cannot start a Kubernetes control plane"),
            }
        }
    }

    fn try_start(options: ClusterOptions) -> Result<Self> {
        let guard = Guard::new()?;
        let site = Site::here()?;
        let authority = Authority::create(&guard.folder().join("pki"))?;
        authority.apiserver(&[])?;
        for user in [ADMIN, CONTROLLER_MANAGER] {
            authority.user(&user, &site.api_url())?;
        }
        let mut cluster = Self::begin(guard, site)?;
        cluster.wait_until_ready()?;
        if options.controller_manager {
            cluster.start_controller_manager()?;
            cluster.wait_for_accounts()?;
        }
        Ok(cluster)
    }

    /// Starts the store and the API server, with what lies in the guard's folder `pki`.
    pub(crate) fn begin(guard: Guard, site: Site) -> Result<Self> {
        let folder = guard.folder();
        fs::create_dir(folder.join("home"))?;
        let pki = Pki::at(&folder.join("pki"));
        // A node has a kube-proxy for that.
        let services = site.inside.is_none().then(|| Services::start(folder)).transpose()?;
        // The API server waits for etcd by itself.
        let etcd = control_plane::etcd(folder, site.ports)?;
        let etcd = guard.spawn("etcd", &mut site.place(etcd))?;
        let mut cluster = Self {
            controller_manager: None,
            apiserver: Mutex::new(None),
            etcd,
            site,
            pki: PkiPaths { ca: pki.ca(), kubeconfig: pki.kubeconfig(&ADMIN) },
            services,
            namespaces: AtomicU32::new(0),
            guard,
        };
        *cluster.apiserver.get_mut().unwrap_or_else(PoisonError::into_inner) =
            Some(cluster.spawn_apiserver()?);
        Ok(cluster)
    }

    /// Starts the controller manager: the API server has to be ready.
    pub(crate) fn start_controller_manager(&mut self) -> Result<()> {
        let command = control_plane::controller_manager(self.folder(), &self.pki_files())?;
        let mut command = self.site.place(command);
        self.controller_manager = Some(self.guard.spawn("kube-controller-manager", &mut command)?);
        Ok(())
    }

    /// Waits until Pods can be created.
    pub(crate) fn wait_for_accounts(&self) -> Result<()> {
        let manager = self.controller_manager.as_ref().context("no controller manager runs")?;
        manager.wait_until("the ServiceAccount default is there", DEADLINE, || {
            self.succeeds(&["get", "serviceaccount", "default", "--namespace=default"])
        })
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.pki.kubeconfig
    }

    /// The certificate of the CA that signed the API server's.
    pub fn ca(&self) -> &Path {
        &self.pki.ca
    }

    /// `https://127.0.0.1:PORT`
    pub fn api_url(&self) -> String {
        self.site.api_url()
    }

    /// The cluster's temporary folder; logs are in `log/`.
    pub fn folder(&self) -> &Path {
        self.guard.folder()
    }

    /// The guard of its processes, to start others that end with the cluster.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// What runs, with process ids.
    pub fn processes(&self) -> Vec<(&'static str, u32)> {
        let apiserver = self.apiserver.lock().unwrap_or_else(PoisonError::into_inner);
        let all = [
            ("etcd", Some(&self.etcd)),
            ("kube-apiserver", apiserver.as_ref()),
            ("kube-controller-manager", self.controller_manager.as_ref()),
        ];
        all.into_iter().filter_map(|(name, server)| Some((name, server?.pid()))).collect()
    }

    /// kubectl as the administrator, with a home of its own.
    pub fn kubectl(&self) -> Result<Command> {
        let home = self.folder().join("home");
        let mut kubectl = Command::new(tools::program("kubectl")?);
        kubectl
            .stdin(Stdio::null())
            .env("KUBECONFIG", self.kubeconfig())
            .env("KUBECACHEDIR", home.join(".kube/cache"))
            .env("HOME", home);
        Ok(kubectl)
    }

    /// Makes a namespace that no other test has: `PREFIX-N`. Pods can be created
    /// in it at once: its ServiceAccount is waited for.
    pub fn namespace(&self, prefix: &str) -> Result<String> {
        let number = self.namespaces.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}-{number}");
        self.run(&["create", "namespace", &name])?;
        if self.controller_manager.is_some() {
            self.run(&[
                "wait",
                "--for=create",
                "serviceaccount/default",
                "--timeout=60s",
                "--namespace",
                &name,
            ])?;
        }
        Ok(name)
    }

    /// Kills the API server and starts it again on the same port and data.
    pub fn restart_apiserver(&self) -> Result<()> {
        self.stop_apiserver();
        self.start_apiserver()
    }

    /// Kills the API server, for tests of what happens without it.
    pub fn stop_apiserver(&self) {
        drop(self.apiserver.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Starts the API server that [`Cluster::stop_apiserver`] killed.
    pub fn start_apiserver(&self) -> Result<()> {
        {
            let mut apiserver = self.apiserver.lock().unwrap_or_else(PoisonError::into_inner);
            if apiserver.is_none() {
                *apiserver = Some(self.spawn_apiserver()?);
            }
        }
        self.wait_until_ready()
    }

    fn spawn_apiserver(&self) -> Result<Server> {
        let mut command =
            control_plane::apiserver(self.folder(), self.site.ports, &self.pki_files())?;
        command.args(&self.site.api_flags).args(self.services.as_ref().map(Services::flag));
        self.guard.spawn("kube-apiserver", &mut self.site.place(command))
    }

    fn pki_files(&self) -> Pki {
        Pki::at(&self.folder().join("pki"))
    }

    /// The audit log: a JSON object on each line for each create, update, patch
    /// and delete, with the annotations that webhooks left.
    pub fn audit_log(&self) -> Result<String> {
        let path = control_plane::audit_log(self.folder());
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Leaves all servers running after this process, and returns the process id
    /// whose end by SIGTERM (`kill PID`) stops them and removes their data.
    pub fn keep(self) -> Result<u32> {
        let Self { controller_manager, apiserver, etcd, guard, .. } = self;
        guard.keep()?;
        let apiserver = apiserver.into_inner().unwrap_or_else(PoisonError::into_inner);
        for server in [Some(etcd), apiserver, controller_manager].into_iter().flatten() {
            server.leave();
        }
        Ok(guard.supervisor_pid())
    }

    /// Waits until the API server serves.
    pub(crate) fn wait_until_ready(&self) -> Result<()> {
        let apiserver = self.apiserver.lock().unwrap_or_else(PoisonError::into_inner);
        let apiserver = apiserver.as_ref().context("the API server was stopped")?;
        apiserver.wait_until("ready", DEADLINE, || {
            // When etcd cannot start, the API server would wait in vain.
            !self.etcd.is_running() || self.succeeds(&["get", "--raw=/readyz"])
        })?;
        self.etcd.wait_until("ready", Duration::ZERO, || true)
    }
}
