//! What all threads of a proxy read.

use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use discovery::Source;
use discovery::ads::Ads;
use discovery::center::Held;
use discovery::servicecenter::Standing;
use prometheus_client::registry::Registry;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::access_log::AccessLog;
use crate::clock::Clock;
use crate::configuration::Reload;
use crate::error::Error;
use crate::lifecycle::Lifecycle;
use crate::listener::Addresses;
use crate::metrics::Connections;
use crate::plan::{LocalPlan, Plans};
use crate::settings::Settings;
use crate::slots::Slots;
use crate::spans::Spans;
use crate::tls::Tls;
use crate::traffic::Marks;
use crate::worker::{Census, workers};

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
    /// What a proxy with these settings has that listens there.
    pub(crate) fn new(
        settings: Settings,
        source: Arc<dyn Source>,
        tls: Arc<Tls>,
        addresses: Addresses,
    ) -> Result<Self, Error> {
        let access_log = AccessLog::default();
        access_log.configure(&settings.access_log)?;
        let clock = Clock::start();
        let count = workers(settings.workers);
        let plans = Plans::new(source, &settings.identity.app, clock, count);
        plans.govern(&settings.governance);
        let own = addresses.all();
        let ports = own.iter().map(SocketAddr::port).collect();
        Ok(Self {
            local: LocalPlan::new(&settings, &plans, ports, clock),
            marks: Marks::new(&settings.identity),
            tls,
            spans: Arc::new(Spans::new(&settings)),
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
        })
    }

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

    /// Takes over other settings; the names of what is kept are returned where it differs.
    pub(crate) fn reconfigure(&self, settings: Settings) -> Vec<&'static str> {
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
