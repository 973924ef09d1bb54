//! The whole proxy: threads, listeners, and what they share.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use discovery::Source;
use discovery::ads::Ads;
use discovery::center::Held;
use discovery::servicecenter::Standing;
use mesh::Protocol;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use prometheus_client::registry::Registry;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::access_log::AccessLog;
use crate::admin::{self, Reach};
use crate::clock::Clock;
use crate::configuration::Reload;
use crate::error::Error;
use crate::lifecycle::{GOODBYE, Lifecycle, Phase};
use crate::listener::{Port, Side, accept, bind};
use crate::metrics::Connections;
use crate::peers;
use crate::plan::{LocalPlan, Plans};
use crate::profiling;
use crate::settings::Settings;
use crate::slots::Slots;
use crate::spans::{self, Spans};
use crate::tls::Tls;
use crate::traffic::Marks;
use crate::worker::{Census, Message, Remote, workers};

/// How long the end of a proxy may be held up by spans that are still to be delivered.
const FLUSH: Duration = Duration::from_secs(5);

/// What all threads read.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: ArcSwap<Settings>,
    pub(crate) tls: Arc<Tls>,
    pub(crate) spans: Arc<Spans>,
    pub(crate) plans: Arc<Plans>,
    pub(crate) local: LocalPlan,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) marks: Marks,
    pub(crate) clock: Clock,
    /// For requests under way, of each side, where their number is bounded.
    pub(crate) slots: [Arc<Slots>; 2],
    /// Connections that have become tunnels, at this moment.
    pub(crate) tunnels: AtomicUsize,
    /// Threads that carry traffic.
    pub(crate) workers: usize,
    /// What each of them counts of its connections.
    pub(crate) connections: Box<[Connections]>,
    /// When the proxy started, for people; what is measured is measured by the clock.
    pub(crate) started: SystemTime,
    /// A line for each request.
    pub(crate) access_log: AccessLog,
    /// How our registration stands, where there is one.
    pub(crate) standing: OnceLock<watch::Receiver<Standing>>,
    /// The client of a control plane, where there is one.
    pub(crate) xds: OnceLock<Arc<Ads>>,
    /// How the configuration stands on the disk, where it is followed.
    pub(crate) configuration: OnceLock<watch::Receiver<Reload>>,
    /// What a configuration center says, where there is one.
    pub(crate) center: OnceLock<watch::Receiver<Held>>,
    /// What each worker has open.
    pub(crate) censuses: OnceLock<Vec<Arc<Census>>>,
    /// Where we listen, by what for.
    pub(crate) addresses: Addresses,
    /// The same, to compare with.
    own: Vec<SocketAddr>,
    /// What others have to say on `/metrics`.
    pub(crate) more_metrics: Mutex<Registry>,
}

impl Shared {
    /// The settings in force; take what is needed and let go of them.
    pub(crate) fn settings(&self) -> arc_swap::Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// Whether we listen there.
    pub(crate) fn is_own(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        self.own.iter().any(|own| {
            // Every address of the host is ours then; of those that are not loopback, who has
            // connected to one knows.
            let any = own.ip().is_unspecified() && (ip.is_loopback() || ip.is_unspecified());
            own.port() == address.port() && (any || own.ip() == ip)
        })
    }

    /// Whether a connection has come back to us. Its two ends have the same address where it does
    /// not leave the host.
    pub(crate) fn has_come_home(&self, tcp: &TcpStream) -> bool {
        let (Ok(here), Ok(there)) = (tcp.local_addr(), tcp.peer_addr()) else { return false };
        let any = |own: &SocketAddr| own.ip().is_unspecified() && own.port() == there.port();
        self.is_own(there) || (here.ip() == there.ip() && self.own.iter().any(any))
    }

    fn reconfigure(&self, settings: Settings) -> Vec<&'static str> {
        let (settings, kept) = settings.taken_over(&self.settings.load());
        self.tls.reconfigure(&settings);
        if let Err(error) = self.access_log.configure(&settings.access_log) {
            tracing::error!(%error, "the access log goes on as before");
        }
        self.spans.reconfigure(&settings);
        self.plans.govern(&settings.governance);
        self.local.govern();
        self.settings.store(Arc::new(settings));
        kept
    }
}

/// A running proxy. Dropped, it goes on; [`Proxy::shutdown`] ends it.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    workers: Arc<[Remote]>,
    threads: Vec<thread::JoinHandle<()>>,
    acceptors: Vec<JoinHandle<()>>,
    /// Delivers spans.
    exporter: JoinHandle<()>,
    /// What ends with the proxy and has nothing to finish: following the source, the admin port.
    helpers: Vec<JoinHandle<()>>,
}

/// Where a proxy listens; with port 0 in the settings, the system chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// For the application, HTTP.
    pub consumer: Option<SocketAddr>,
    /// For the application, gRPC.
    pub consumer_grpc: Option<SocketAddr>,
    /// For others, HTTP; one for each address of the pod.
    pub provider: Vec<SocketAddr>,
    /// For others, gRPC.
    pub provider_grpc: Vec<SocketAddr>,
    /// Health, metrics and drain; loopback first.
    pub admin: Vec<SocketAddr>,
    /// Profiles, where they are served.
    pub profiles: Option<SocketAddr>,
}

impl Addresses {
    /// Whether what comes in there is for the application.
    pub(crate) fn is_provider(&self, address: &SocketAddr) -> bool {
        self.provider.contains(address) || self.provider_grpc.contains(address)
    }
}

impl Proxy {
    /// Opens the listeners and starts the workers. Call it within a tokio runtime, which then
    /// carries what is no traffic: accepting, and following the source.
    pub fn start(settings: Settings, source: Arc<dyn Source>) -> Result<Self, Error> {
        let tls = Arc::new(Tls::load(&settings)?);
        Self::start_with(settings, source, tls)
    }

    /// As [`Self::start`], with certificates that somebody else uses too.
    pub(crate) fn start_with(
        settings: Settings,
        source: Arc<dyn Source>,
        tls: Arc<Tls>,
    ) -> Result<Self, Error> {
        raise_file_limit();
        let (mut addresses, listeners) = listen(&settings)?;
        let admin = listen_admin(&settings)?;
        addresses.admin = admin.iter().filter_map(|(open, _)| open.local_addr().ok()).collect();
        let pprof = settings.admin.pprof;
        let profiles = pprof.map(|at| bind(at, "profiles (pprof.listen)")).transpose()?;
        addresses.profiles = profiles.as_ref().and_then(|open| open.local_addr().ok());
        let access_log = AccessLog::default();
        access_log.configure(&settings.access_log)?;
        let clock = Clock::start();
        let count = workers(settings.workers);
        let plans = Plans::new(source, &settings.identity.app, clock, count);
        plans.govern(&settings.governance);
        let mut own: Vec<_> = listeners.iter().map(|(_, port)| port.address).collect();
        own.extend(addresses.admin.iter().chain(&addresses.profiles));
        let ports = own.iter().map(SocketAddr::port).collect();
        let spans = Arc::new(Spans::new(&settings));
        let shared = Arc::new(Shared {
            local: LocalPlan::new(&settings, &plans, ports, clock),
            marks: Marks::new(&settings.identity),
            tls,
            spans,
            lifecycle: Lifecycle::default(),
            plans,
            clock,
            slots: [Slots::new(), Slots::new()],
            tunnels: AtomicUsize::new(0),
            workers: count,
            connections: std::iter::repeat_with(Connections::default).take(count).collect(),
            access_log,
            started: SystemTime::now(),
            standing: OnceLock::new(),
            xds: OnceLock::new(),
            configuration: OnceLock::new(),
            center: OnceLock::new(),
            censuses: OnceLock::new(),
            addresses,
            own,
            more_metrics: Mutex::default(),
            settings: ArcSwap::from_pointee(settings),
        });
        if !shared.addresses.provider.is_empty() && shared.local.allows_any() {
            tracing::warn!(
                "neither SERVICE_PORTS nor APP_PORTS says which ports the application has: \
                 requests from others may go to any"
            );
        }
        let mut remotes = Vec::new();
        let mut threads = Vec::new();
        for index in 0..count {
            let (remote, thread) =
                Remote::start(index, Arc::clone(&shared)).map_err(Error::Worker)?;
            remotes.push(remote);
            threads.push(thread);
        }
        let _ = shared.censuses.set(remotes.iter().map(|it| Arc::clone(it.census())).collect());
        let workers: Arc<[Remote]> = remotes.into();
        let mut helpers = vec![
            tokio::spawn(Arc::clone(&shared.plans).follow()),
            tokio::spawn(Arc::clone(&shared.tls).follow()),
        ];
        helpers.extend(
            admin
                .into_iter()
                .map(|(open, reach)| tokio::spawn(admin::serve(open, reach, Arc::clone(&shared)))),
        );
        helpers.extend(profiles.map(|open| tokio::spawn(profiling::serve(open))));
        let exporter = spans::export(Arc::clone(&shared.spans), Arc::clone(&shared.tls));
        let exporter = tokio::spawn(exporter);
        let acceptors = listeners.into_iter().map(|(listener, port)| {
            tokio::spawn(accept(listener, port, Arc::clone(&workers), Arc::clone(&shared)))
        });
        let acceptors = acceptors.collect();
        Ok(Self { shared, workers, threads, acceptors, exporter, helpers })
    }

    /// Takes over other settings: policy, limits and breaker from the next request on, the rest of
    /// what connections are made with from the next connection. What is read at the start only is
    /// kept; its names are returned where it differs.
    pub fn reconfigure(&self, settings: Settings) -> Vec<&'static str> {
        self.shared.reconfigure(settings)
    }

    /// The settings in force.
    pub fn settings(&self) -> Settings {
        Settings::clone(&self.shared.settings())
    }

    /// Takes over whatever settings come, as [`Self::reconfigure`] does.
    pub fn follow_settings(&mut self, mut changes: watch::Receiver<Arc<Settings>>) {
        let shared = Arc::clone(&self.shared);
        self.helpers.push(tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                let new = Settings::clone(&changes.borrow_and_update());
                let shared = Arc::clone(&shared);
                // Files are read, and keys opened.
                let taken_over = tokio::task::spawn_blocking(move || shared.reconfigure(new)).await;
                if let Err(error) = taken_over {
                    tracing::error!(%error, "other settings could not be taken over");
                }
            }
        }));
    }

    /// Adds to what `/metrics` on the admin port says.
    pub fn measure(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.shared.more_metrics.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Lets the admin port show what the configuration on the disk says. The first word counts.
    pub fn show_configuration(&self, reloads: watch::Receiver<Reload>) {
        let _ = self.shared.configuration.set(reloads);
    }

    /// Lets the admin port show how a configuration center does. The first word counts.
    pub fn show_center(&self, held: watch::Receiver<Held>) {
        let _ = self.shared.center.set(held);
    }

    /// Lets `/v1/mesher/health` say how the registration stands. The first word counts.
    pub fn show_standing(&self, standing: watch::Receiver<Standing>) {
        let _ = self.shared.standing.set(standing);
    }

    /// Lets the admin port show what a control plane says. The first word counts.
    pub(crate) fn show_xds(&self, client: Arc<Ads>) {
        let _ = self.shared.xds.set(client);
    }

    /// Finds out which endpoints have a proxy of ours beside them: a control plane does not say.
    pub(crate) fn find_peers(&mut self) {
        self.helpers.push(tokio::spawn(peers::follow(Arc::clone(&self.shared))));
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.shared.addresses
    }

    /// Its phase. Whoever registers the instance follows it: DOWN while draining, deleted from
    /// closing on.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.shared.lifecycle
    }

    /// Stops being ready, and returns when others have had the time to learn of it. Requests are
    /// served as before, and their clients asked to take another connection.
    pub async fn drain(&self) {
        self.lifecycle().enter(Phase::Draining);
        sleep(GOODBYE).await;
    }

    /// Empties and closes the listeners, answers what is in flight, to the deadline of
    /// [`crate::settings::Limits::drain_timeout`], and ends the workers.
    pub async fn shutdown(self) {
        self.lifecycle().enter(Phase::Closing);
        for acceptor in self.acceptors {
            // It ends by itself; a panic in it was logged by the hook.
            let _ = acceptor.await;
        }
        for worker in &*self.workers {
            worker.send(Message::Finish);
        }
        let (threads, shared) = (self.threads, Arc::clone(&self.shared));
        let ended = tokio::task::spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
            shared.access_log.finish();
        });
        let _ = ended.await;
        // With the workers, the last spans have come.
        self.shared.spans.close();
        if timeout(FLUSH, self.exporter).await.is_err() {
            tracing::warn!("the last spans did not reach the collector in time");
        }
        self.shared.lifecycle.enter(Phase::Closed);
        for helper in self.helpers {
            helper.abort();
        }
    }
}

/// Every connection through the proxy takes two descriptors; the usual soft limit of 1024 is there
/// for programs that use `select`.
fn raise_file_limit() {
    let limit = Resource::RLIMIT_NOFILE;
    let raised = getrlimit(limit).and_then(|(_, hard)| setrlimit(limit, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit on open files stays as it was");
    }
}

/// Opens all listeners, or none.
fn listen(settings: &Settings) -> Result<(Addresses, Vec<(TcpListener, Port)>), Error> {
    let mut addresses = Addresses::default();
    let mut listeners = Vec::new();
    let mut open = |address: SocketAddr, side: Side, protocol, what| {
        let listener = bind(address, what)?;
        let address = listener.local_addr().unwrap_or(address);
        let tls = settings.tls_for(side.tls()).is_some();
        listeners.push((listener, Port { side, protocol, address, tls }));
        Ok::<_, Error>(address)
    };
    let asked = &settings.listeners;
    if let Some(address) = asked.http {
        let address = open(address, Side::Consumer, Protocol::Rest, "the application (HTTP)")?;
        addresses.consumer = Some(address);
    }
    for address in settings.provider_addresses() {
        let address = open(address, Side::Provider, Protocol::Rest, "other proxies (HTTP)")?;
        addresses.provider.push(address);
    }
    if let Some(address) = asked.grpc {
        let address = open(address, Side::Consumer, Protocol::Grpc, "the application (gRPC)")?;
        addresses.consumer_grpc = Some(address);
    }
    for address in settings.grpc_provider_addresses() {
        let address = open(address, Side::Provider, Protocol::Grpc, "other proxies (gRPC)")?;
        addresses.provider_grpc.push(address);
    }
    Ok((addresses, listeners))
}

/// The admin port, on loopback and on the pod's addresses.
fn listen_admin(settings: &Settings) -> Result<Vec<(TcpListener, Reach)>, Error> {
    let port = settings.listeners.admin_port;
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let others = settings.listeners.addresses.iter().copied().filter(|ip| *ip != loopback);
    let others = others.map(|ip| (ip, Reach::Everybody));
    let all = std::iter::once((loopback, Reach::Pod)).chain(others);
    let open = |(ip, reach)| {
        bind(SocketAddr::new(ip, port), "health and metrics").map(|listener| (listener, reach))
    };
    all.map(open).collect()
}
