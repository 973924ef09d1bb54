//! Istio as a source: a client of xDS that asks istiod as a sidecar does, by one aggregated stream.
//!
//! All clusters and the routes of an HTTP proxy are subscribed to, endpoints only for services that
//! somebody asked for. [`translate`] makes the model's values of each resource, and the resource is
//! dropped; `world` keeps those and makes services of them; `protocol` knows what has to be said.
//! What is here opens streams and hands over what comes.

mod channel;
mod dump;
mod error;
mod lookup;
mod members;
mod metrics;
mod node;
mod options;
mod protocol;
mod report;
mod stream;
pub mod translate;
mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use mesh::{ServiceKey, Snapshot};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep};
use tonic::Code;

pub use dump::{Dump, dump};
pub use error::Error;
pub use metrics::Metrics;
pub use options::{Node, Options, Security};
pub use protocol::{Kind, Standing, Variant};
pub use report::Report;

use crate::pacing;
use crate::source::{Demand, Source, State};
use lookup::Lookups;
use protocol::Subscriptions;
use stream::{Heard, Stream};
use world::World;

/// The routes that istiod has for an HTTP proxy: every service at every port.
const HTTP_PROXY: &str = "http_proxy";
/// How often it is looked for services that nobody asks for any more.
const HOUSEKEEPING: Duration = Duration::from_mins(1);
/// The longest wait between two attempts.
const MOST: Duration = Duration::from_secs(10);
/// Between streams that fail, at first.
const LEAST: Duration = Duration::from_millis(250);
/// A stream that ended well is opened again within this time: all proxies of a control plane that
/// ends would come at once.
const SPREAD: Duration = Duration::from_millis(500);

/// A running client. Dropped, it stops.
#[derive(Debug)]
pub struct Ads {
    shared: Arc<Shared>,
    node: String,
    task: JoinHandle<()>,
}

/// What requests and the task share.
#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    standing: Mutex<Streams>,
    started: Instant,
    /// Something is wanted that was not before.
    wish: Notify,
    snapshots: watch::Sender<Arc<Snapshot>>,
    state: watch::Sender<State>,
}

/// How the streams went.
#[derive(Debug)]
struct Streams {
    variant: Variant,
    count: u64,
    since: Option<SystemTime>,
    subscriptions: Vec<(Kind, Standing)>,
}

impl Ads {
    /// Starts, on the runtime of the caller. Nothing is waited for: a control plane that does not
    /// answer is tried again for ever, and only an address that is none is an error.
    pub fn start(options: Options, metrics: &Metrics) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Address { address: options.address.clone(), reason };
        let authority: http::uri::Authority = options
            .address
            .parse()
            .map_err(|error: http::uri::InvalidUri| wrong(error.to_string()))?;
        if authority.port_u16().is_none() {
            return Err(wrong("names no port".to_owned()));
        }
        let shared = Arc::new(Shared {
            world: Mutex::default(),
            standing: Mutex::new(Streams {
                variant: Variant::Delta,
                count: 0,
                since: None,
                subscriptions: Subscriptions::default().standings(),
            }),
            started: Instant::now(),
            wish: Notify::new(),
            snapshots: watch::Sender::default(),
            state: watch::Sender::default(),
        });
        let node = options.node.id();
        let following = Following {
            options,
            shared: Arc::clone(&shared),
            metrics: metrics.clone(),
            subscriptions: Subscriptions::default(),
            lookups: Lookups::default(),
            variant: Variant::Delta,
        };
        let task = tokio::spawn(following.run());
        Ok(Self { shared, node, task })
    }

    /// How it is doing.
    pub fn report(&self) -> Report {
        let (counts, unsupported) = {
            let world = self.shared.world();
            (world.counts(), world.unsupported())
        };
        let [clusters, assignments, hosts] = counts;
        let streams = lock(&self.shared.standing);
        Report {
            node: self.node.clone(),
            variant: streams.variant,
            connected_since: streams.since,
            streams: streams.count,
            subscriptions: streams.subscriptions.clone(),
            clusters,
            assignments,
            hosts,
            unsupported,
        }
    }
}

impl Drop for Ads {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Source for Ads {
    fn demand(&self, key: &ServiceKey) -> Demand {
        let mut world = self.shared.world();
        let unreachable = matches!(*self.shared.state.borrow(), State::Stale { .. });
        let (demand, ask) = world.demand(&key.name, self.shared.started.elapsed());
        if unreachable {
            // Nobody can be asked: who would wait is told at once.
            world.unreachable();
            world.tell();
        }
        if ask {
            self.shared.wish.notify_one();
        }
        demand
    }

    fn knows_addresses(&self) -> bool {
        true
    }

    fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.snapshots.subscribe()
    }

    fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// Makes what changed, lets readers see it, and then tells those who wait for it.
    fn settle(&self, world: &mut World) {
        if world.settle(self.started.elapsed()) {
            self.snapshots.send_replace(world.snapshot());
        }
        world.tell();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens streams, one after the other, and follows what they say.
struct Following {
    options: Options,
    shared: Arc<Shared>,
    metrics: Metrics,
    subscriptions: Subscriptions,
    lookups: Lookups,
    variant: Variant,
}

/// How a stream ended.
struct Ended {
    error: Error,
    /// Whether the control plane had answered on it.
    answered: bool,
    /// Whether this variant of the protocol is not spoken there.
    unknown_variant: bool,
}

impl Following {
    async fn run(mut self) {
        let mut delays = pacing::delays(LEAST, MOST);
        loop {
            let ended = self.stream().await;
            self.metrics.connected.set(0);
            lock(&self.shared.standing).since = None;
            if ended.unknown_variant && self.variant == Variant::Delta {
                tracing::info!("istiod does not speak delta xDS: state of the world is used");
                self.variant = Variant::Whole;
                continue;
            }
            self.note_end(&ended);
            let wait = if ended.answered {
                delays = pacing::delays(LEAST, MOST);
                SPREAD.mul_f64(fastrand::f64())
            } else {
                delays.next().unwrap_or(MOST)
            };
            sleep(wait).await;
        }
    }

    /// One stream, to its end.
    async fn stream(&mut self) -> Ended {
        let mut answered = false;
        match self.follow(&mut answered).await {
            Ok(never) => match never {},
            Err(Failure::Connect(error)) => {
                Ended { error, answered: false, unknown_variant: false }
            }
            Err(Failure::Status(status)) => Ended {
                error: ended(&self.options.address, &status),
                answered,
                unknown_variant: status.code() == Code::Unimplemented && !answered,
            },
        }
    }

    async fn follow(&mut self, answered: &mut bool) -> Result<std::convert::Infallible, Failure> {
        let channel = channel::connect(&self.options).await.map_err(Failure::Connect)?;
        self.metrics.streams.inc();
        self.subscriptions.reset();
        let first = self.first_words();
        let mut stream = Stream::open(channel, &self.options, self.variant, first).await?;
        {
            let mut streams = lock(&self.shared.standing);
            streams.count += 1;
            streams.variant = self.variant;
        }
        let mut housekeeping = interval(HOUSEKEEPING);
        loop {
            tokio::select! {
                heard = stream.hear() => {
                    let ended = || tonic::Status::unavailable("it was closed");
                    let heard = heard?.ok_or_else(ended)?;
                    if !*answered {
                        *answered = true;
                        self.note_answer();
                    }
                    self.take(&stream, heard);
                }
                () = self.shared.wish.notified() => self.settle(&stream),
                (name, addresses) = self.lookups.next() => {
                    self.looked_up(&name, addresses);
                    self.settle(&stream);
                }
                _ = housekeeping.tick() => {
                    self.shared.world().collect(self.shared.started.elapsed());
                    self.settle(&stream);
                }
            }
        }
    }

    /// What a stream begins with: all that is wanted, without a version.
    fn first_words(&mut self) -> Vec<protocol::Said> {
        let routes = [Arc::from(HTTP_PROXY)].into();
        let (known, wanted) = {
            let world = self.shared.world();
            (world.cluster_names().collect::<Vec<_>>(), world.wanted())
        };
        let _ = self.subscriptions.want(Kind::Routes, routes);
        let endpoints = !wanted.is_empty();
        let _ = self.subscriptions.want(Kind::Endpoints, wanted);
        let mut said = vec![self.subscriptions.open(Kind::Clusters, known.into_iter())];
        said[0].first = true;
        if endpoints {
            said.push(self.subscriptions.open(Kind::Endpoints, std::iter::empty()));
        }
        said.push(self.subscriptions.open(Kind::Routes, std::iter::empty()));
        said
    }

    /// Takes a response in, and answers it.
    fn take(&mut self, stream: &Stream, heard: Heard) {
        let Heard { type_url, version, nonce, resources, removed, whole } = heard;
        let Some(kind) = Kind::of_type_url(&type_url) else {
            tracing::debug!(type_url, "a response that was not asked for");
            return;
        };
        let error = {
            let mut world = self.shared.world();
            let applied = world.apply(&type_url, resources, &removed, whole);
            self.shared.settle(&mut world);
            applied.error()
        };
        self.metrics.count(kind, error.is_some());
        if let Some(error) = &error {
            tracing::warn!(
                kind = kind.word(),
                version,
                error,
                reason = "nack",
                "discovery: refused"
            );
        }
        let now = SystemTime::now();
        stream.say(self.subscriptions.answer(kind, &version, &nonce, error, now));
        self.settle(stream);
    }

    /// Asks for what is wanted now.
    fn settle(&mut self, stream: &Stream) {
        let (wanted, names) = {
            let mut world = self.shared.world();
            self.shared.settle(&mut world);
            (world.wanted(), world.looked_up())
        };
        self.lookups.want(names);
        let some = !wanted.is_empty();
        match self.subscriptions.want(Kind::Endpoints, wanted) {
            Some(said) => stream.say(said),
            None if some && !self.subscriptions.is_open(Kind::Endpoints) => {
                let said = self.subscriptions.open(Kind::Endpoints, std::iter::empty());
                stream.say(said);
            }
            None => {}
        }
        lock(&self.shared.standing).subscriptions = self.subscriptions.standings();
    }

    /// Where a name was not found, what was known of it stays.
    fn looked_up(&self, name: &members::Name, addresses: Option<Vec<std::net::SocketAddr>>) {
        let mut world = self.shared.world();
        match addresses {
            Some(addresses) => world.resolved(name, addresses),
            None => world.unresolved(name),
        }
    }

    fn note_answer(&self) {
        self.metrics.connected.set(1);
        lock(&self.shared.standing).since = Some(SystemTime::now());
        let was = self.shared.state.send_replace(State::Connected);
        if was != State::Connected {
            let address = &self.options.address;
            tracing::info!(address, variant = self.variant.word(), "connected to istiod");
        }
    }

    fn note_end(&self, ended: &Ended) {
        let error = &ended.error;
        let new = self.shared.state.send_if_modified(|state| match state {
            State::Stale { .. } => false,
            State::Starting | State::Connected => {
                let error = error.to_string();
                *state = State::Stale { since: SystemTime::now(), error };
                true
            }
        });
        if new {
            tracing::warn!(%error, reason = "unreachable", "discovery: using what is known");
        }
        let mut world = self.shared.world();
        world.unreachable();
        world.tell();
    }
}

enum Failure {
    Connect(Error),
    Status(tonic::Status),
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        Self::Status(status)
    }
}

/// A stream that the control plane ended.
fn ended(address: &str, status: &tonic::Status) -> Error {
    Error::Ended {
        address: address.to_owned(),
        code: status.code().description().to_owned(),
        message: status.message().to_owned(),
    }
}
