//! TLS, by the tags of `tls.yaml`: what listeners show and ask for, and what connections to others
//! do, kept in step with the files while the proxy runs.
//!
//! A tag's files become one immutable [`InForce`], swapped as a whole: a connection that is being
//! made takes what is in force at that moment, and one that stands is not touched.

mod configs;
mod credentials;
mod following;
mod handshake;
mod report;
pub mod tags;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use certs::OpenedKeys;
use mesh::Protocol;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::{Notify, watch};

pub(crate) use self::credentials::Credentials;
pub(crate) use self::handshake::{Refused, accept, begins, behind, connect};
use self::tags::Use;
use crate::error::Error;
use crate::settings::{Settings, Tls as Terms};

/// The TLS of a proxy.
#[derive(Debug)]
pub struct Tls {
    own_name: String,
    in_force: ArcSwap<BTreeMap<String, Arc<InForce>>>,
    /// What is looked at next; locked for moments.
    wanted: Mutex<Wanted>,
    /// Locked by whoever looks at the files, so that only one does; opening a key may take seconds.
    opened: Mutex<OpenedKeys>,
    /// Other files are to be followed.
    moved: Notify,
    /// For service-center, where its tag is there.
    registry: Option<watch::Sender<Arc<ClientConfig>>>,
    /// For a configuration center.
    center: Option<watch::Sender<Arc<ClientConfig>>>,
    counts: Counts,
    started: Instant,
    /// The second in which a failure was last logged.
    last_said: AtomicU64,
}

/// What the settings ask for, and what keeps it from being in force.
#[derive(Debug, Default)]
struct Wanted {
    terms: BTreeMap<String, Terms>,
    /// By tag; what was in force stays.
    faults: BTreeMap<String, String>,
}

/// What was counted.
#[derive(Debug, Default)]
struct Counts {
    reloads: AtomicU64,
    failed_reloads: AtomicU64,
    /// As the server, in the order of [`handshake::OUTCOMES`].
    accepted: [AtomicU64; handshake::OUTCOMES.len()],
    /// As the client.
    connected: [AtomicU64; handshake::OUTCOMES.len()],
}

/// One tag as it is used now.
#[derive(Debug)]
pub(crate) struct InForce {
    terms: Terms,
    held: Credentials,
    server: Option<Arc<ServerConfig>>,
    /// For HTTP/1.1 and for gRPC.
    clients: Option<[Arc<ClientConfig>; 2]>,
}

impl Tls {
    /// Reads the files of every tag that is ours. That they can be used is known when this returns.
    pub fn load(settings: &Settings) -> Result<Self, Error> {
        let own_name = settings.identity.service.clone();
        let terms = ours(settings, &own_name);
        let mut opened = OpenedKeys::new();
        let mut in_force = BTreeMap::new();
        for (tag, terms) in &terms {
            let held = Credentials::load(terms, &mut opened)
                .map_err(|reason| Error::Certificate { tag: tag.clone(), reason })?;
            let built = InForce::build(tag, terms, held)
                .map_err(|reason| Error::Tls { tag: tag.clone(), reason })?;
            in_force.insert(tag.clone(), Arc::new(built));
        }
        let mut tls = Self {
            own_name,
            in_force: ArcSwap::from_pointee(in_force),
            wanted: Mutex::new(Wanted { terms, faults: BTreeMap::new() }),
            opened: Mutex::new(opened),
            moved: Notify::new(),
            registry: None,
            center: None,
            counts: Counts::default(),
            started: Instant::now(),
            last_said: AtomicU64::new(0),
        };
        tls.registry = tls.for_use(Use::ServiceCenter).map(watch::Sender::new);
        tls.center = tls.for_use(Use::ConfigurationCenter).map(watch::Sender::new);
        Ok(tls)
    }

    /// What a listener shows; `None`: it speaks plain text.
    pub(crate) fn server(&self, what: Use<'_>) -> Option<Arc<ServerConfig>> {
        self.find(what)?.server.clone()
    }

    /// How instances of `service` are spoken to, and the name that they have to prove; `None`: it
    /// was not said.
    pub(crate) fn client(&self, service: &str, protocol: Protocol) -> Option<Client> {
        let found = self.find(Use::Service(service))?;
        let [rest, grpc] = found.clients.as_ref()?;
        let config = if protocol == Protocol::Grpc { grpc } else { rest };
        let name = found.terms.server_name.as_deref().unwrap_or(service).to_owned();
        Some(Client { config: Arc::clone(config), name })
    }

    /// How `host` outside of the mesh is spoken to, where a rule says that it speaks HTTPS.
    pub(crate) fn outside(&self, host: &str, protocol: Protocol) -> Option<Client> {
        let found = self.find(Use::Outside(host))?;
        let [rest, grpc] = found.clients.as_ref()?;
        let config = if protocol == Protocol::Grpc { grpc } else { rest };
        let name = found.terms.server_name.as_deref().unwrap_or(host).to_owned();
        Some(Client { config: Arc::clone(config), name })
    }

    /// How whoever collects spans at `host` is spoken to; `None`: it was not said.
    pub(crate) fn collector(&self, host: &str, protocol: Protocol) -> Option<Client> {
        let found = self.find(Use::Collector)?;
        let [rest, grpc] = found.clients.as_ref()?;
        let config = if protocol == Protocol::Grpc { grpc } else { rest };
        let name = found.terms.server_name.as_deref().unwrap_or(host).to_owned();
        Some(Client { config: Arc::clone(config), name })
    }

    /// How service-center is spoken to, as it changes; `None`: it was not said.
    pub(crate) fn registry(&self) -> Option<watch::Receiver<Arc<ClientConfig>>> {
        self.registry.as_ref().map(watch::Sender::subscribe)
    }

    /// How a configuration center is spoken to, as it changes; `None`: it was not said.
    pub(crate) fn center(&self) -> Option<watch::Receiver<Arc<ClientConfig>>> {
        self.center.as_ref().map(watch::Sender::subscribe)
    }

    fn find(&self, what: Use<'_>) -> Option<Arc<InForce>> {
        let all = self.in_force.load();
        what.find(&all, &self.own_name, |it| &it.terms).cloned()
    }

    fn for_use(&self, what: Use<'_>) -> Option<Arc<ClientConfig>> {
        let [rest, _] = self.find(what)?.clients.clone()?;
        Some(rest)
    }

    fn wanted(&self) -> std::sync::MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one connection to an instance is made with.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    config: Arc<ClientConfig>,
    /// `serverName`, else the service's.
    name: String,
}

impl Client {
    /// Whether a connection that was made with `other` is as one that is made with this.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config) && self.name == other.name
    }

    /// The name as a certificate can have it.
    fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.name.clone()).ok()
    }
}

impl InForce {
    fn build(tag: &str, terms: &Terms, held: Credentials) -> Result<Self, rustls::Error> {
        let listens = !tags::is_consumer(tag) && held.identity.is_some();
        let server = listens.then(|| configs::server(terms, &held).map(Arc::new)).transpose()?;
        let clients = if tags::is_provider(tag) {
            None
        } else {
            let client = |protocol| configs::client(tag, terms, &held, protocol).map(Arc::new);
            Some([client(Protocol::Rest)?, client(Protocol::Grpc)?])
        };
        Ok(Self { terms: terms.clone(), held, server, clients })
    }
}

/// The tags that concern this proxy. Hosts that speak HTTPS are spoken to also where nobody says how.
fn ours(settings: &Settings, own_name: &str) -> BTreeMap<String, Terms> {
    let ours = settings.tls.iter().filter(|(tag, _)| !tags::is_of_another(tag, own_name));
    let mut ours: BTreeMap<_, _> = ours.map(|(tag, it)| (tag.clone(), it.clone())).collect();
    if settings.egress.is_secured() {
        ours.entry(tags::OUTSIDE.to_owned()).or_default();
    }
    ours
}
