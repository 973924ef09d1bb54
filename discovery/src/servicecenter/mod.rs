//! ServiceComb service-center as a source: registers the application's service and instance, keeps
//! them alive, and follows the services that are asked for.
//!
//! Polling is what is relied on; a watch makes it faster. What the server really does, where it
//! differs from its documentation, stands with the code that deals with it.

mod api;
mod client;
mod error;
mod metrics;
mod naming;
mod options;
mod record;
mod registration;
mod tracker;
mod watching;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use mesh::{ServiceKey, Snapshot, Status};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

pub use error::Error;
pub use metrics::Metrics;
pub use naming::{Accepted, ENVIRONMENTS, Given, acceptable, is_place};
pub use options::{Options, OwnInstance, OwnService, Place, instance_id};

pub use crate::endpoints::Tls;
pub use registration::Standing;

use crate::pacing;
use crate::source::{Demand, Source, State};
use api::{Api, Question};
use client::Client;
use registration::{Registration, stopped, trust};
use tracker::{Tracker, Trust};
use watching::{Heard, Watching};

/// Services in one batch question: an answer stays within some megabytes.
const BATCH: usize = 100;
/// First questions at once.
const CONCURRENT: usize = 16;
/// service-center's own cache shows a change a third of a second after it pushed one, a deletion
/// after 2.3 s: what was pushed is verified later than that.
const VERIFY_AFTER: Duration = Duration::from_secs(3);
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// A running client. Dropped, it stops without a word; [`ServiceCenter::shutdown`] unregisters.
#[derive(Debug)]
pub struct ServiceCenter {
    shared: Arc<Shared>,
    wanted: watch::Sender<Status>,
    standing: watch::Receiver<Standing>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What requests and the polling task share.
#[derive(Debug)]
struct Shared {
    tracker: Mutex<Tracker>,
    started: Instant,
    wishes: mpsc::UnboundedSender<ServiceKey>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    state: watch::Sender<State>,
}

impl ServiceCenter {
    /// Starts, on the runtime of the caller. Nothing is waited for: a registry that does not
    /// answer is tried again for ever, and only an address that is none is an error. The instance
    /// is registered with `status`.
    pub fn start(options: Options, status: Status, metrics: &Metrics) -> Result<Self, Error> {
        let metrics = Arc::new(metrics.clone());
        let client = Client::new(&options, Arc::clone(&metrics))?;
        let own = options.service;
        let environment = own.as_ref().map(|own| own.environment.as_str()).unwrap_or_default();
        let api = Arc::new(Api::new(client, &options.project, environment));
        let grace = (options.heartbeat_interval * 2).max(Duration::from_mins(1));

        let (wishes, wished) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            tracker: Mutex::new(Tracker::new(grace)),
            started: Instant::now(),
            wishes,
            snapshots: watch::Sender::default(),
            state: watch::Sender::default(),
        });
        let (stop, stopping) = watch::channel(false);
        let (wanted, wanted_status) = watch::channel(status);
        let (said, standing) = watch::channel(Standing::default());
        let suspicion = Arc::new(Notify::new());
        let (heard, hearing) = mpsc::channel(256);

        let mut tasks = Vec::new();
        if let Some(own) = &own {
            let registration = Registration {
                api: Arc::clone(&api),
                own: own.clone(),
                heartbeat: options.heartbeat_interval,
                wanted: wanted_status,
                standing: said,
                suspicion: Arc::clone(&suspicion),
            };
            tasks.push(tokio::spawn(registration.keep(stopping.clone())));
            if options.watch {
                let watching = Watching {
                    api: Arc::clone(&api),
                    tls: options.tls,
                    standing: standing.clone(),
                    metrics: Arc::clone(&metrics),
                    heard,
                };
                tasks.push(tokio::spawn(watching.run()));
            }
        }
        let following = Following {
            api,
            own,
            standing: standing.clone(),
            suspicion,
            metrics,
            shared: Arc::clone(&shared),
            refresh: options.refresh_interval,
            grace,
        };
        tasks.push(tokio::spawn(following.run(wished, hearing, stopping)));
        Ok(Self { shared, wanted, standing, stop, tasks: Mutex::new(tasks) })
    }

    /// What our instance is from now on. It is said soon, and again after each registration;
    /// [`Self::standing`] shows when.
    pub fn set_status(&self, status: Status) {
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, status) != status);
    }

    /// How our registration stands.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Takes our instance out and stops.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        for task in tasks {
            let _ = task.await;
        }
    }
}

impl Drop for ServiceCenter {
    fn drop(&mut self) {
        for task in lock(&self.tasks).iter() {
            task.abort();
        }
    }
}

impl Source for ServiceCenter {
    fn demand(&self, key: &ServiceKey) -> Demand {
        let (demand, ask) = self.shared.tracker().demand(key, self.shared.now());
        if ask {
            // Where the task has ended nobody asks any more, and the deadline of who waits ends it.
            let _ = self.shared.wishes.send(key.clone());
        }
        demand
    }

    fn doubt(&self, key: &ServiceKey) {
        if self.shared.tracker().doubt(key, self.shared.now()) {
            let _ = self.shared.wishes.send(key.clone());
        }
    }

    fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.snapshots.subscribe()
    }

    fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }
}

impl Shared {
    fn tracker(&self) -> MutexGuard<'_, Tracker> {
        lock(&self.tracker)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Lets readers see what the tracker knows, and then tells those who wait for it.
    fn publish(&self, tracker: &mut Tracker, changed: bool) {
        if changed {
            self.snapshots.send_replace(tracker.snapshot());
        }
        tracker.tell();
    }

    /// Nobody could be asked.
    fn failed(&self, questions: &[Question]) {
        let now = self.now();
        let mut tracker = self.tracker();
        for question in questions {
            tracker.failed(&question.key, now);
        }
        tracker.tell();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks for what is tracked, over and over.
struct Following {
    api: Arc<Api>,
    own: Option<OwnService>,
    standing: watch::Receiver<Standing>,
    suspicion: Arc<Notify>,
    metrics: Arc<Metrics>,
    shared: Arc<Shared>,
    refresh: Duration,
    grace: Duration,
}

impl Following {
    async fn run(
        self,
        mut wished: mpsc::UnboundedReceiver<ServiceKey>,
        mut hearing: mpsc::Receiver<Heard>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut next = Instant::now() + pacing::jittered(self.refresh);
        let mut retry = FIRST_RETRY;
        loop {
            let soon = tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                Some(heard) = hearing.recv() => Some(self.hear(heard)),
                Some(key) = wished.recv() => {
                    self.answer(key, &mut wished).await;
                    None
                }
                () = sleep_until(next) => Some(Duration::ZERO),
            };
            match soon {
                Some(Duration::ZERO) if self.refresh_all().await => {
                    retry = FIRST_RETRY;
                    next = Instant::now() + pacing::jittered(self.refresh);
                }
                Some(Duration::ZERO) => {
                    next = Instant::now() + pacing::jittered(retry.min(self.refresh));
                    retry = (retry * 2).min(self.refresh);
                }
                Some(wait) => next = next.min(Instant::now() + wait),
                None => {}
            }
        }
    }

    /// Takes in what was pushed; says how soon everything has to be asked for.
    fn hear(&self, heard: Heard) -> Duration {
        match heard {
            Heard::Connected => Duration::ZERO,
            Heard::Event(event) => {
                let mut tracker = self.shared.tracker();
                let changed = tracker.pushed(&event);
                self.shared.publish(&mut tracker, changed);
                pacing::jittered(VERIFY_AFTER)
            }
        }
    }

    /// Asks for what was wished, each by itself: with a consumer's name on it, that is also what
    /// makes service-center push changes.
    async fn answer(&self, first: ServiceKey, wished: &mut mpsc::UnboundedReceiver<ServiceKey>) {
        let mut keys = vec![first];
        while let Ok(key) = wished.try_recv() {
            keys.push(key);
        }
        let consumer = self.consumer();
        let questions = keys.iter().map(|key| self.shared.tracker().question(key));
        let questions: Vec<Question> = questions.collect();
        futures::stream::iter(questions)
            .for_each_concurrent(CONCURRENT, |question| {
                let consumer = consumer.clone();
                async move {
                    let found = self.api.find(consumer.as_deref(), &question).await;
                    self.note(found.as_ref().err());
                    match found {
                        Ok(finding) => self.take(vec![(question.key, finding)]).await,
                        Err(_) => self.shared.failed(&[question]),
                    }
                }
            })
            .await;
    }

    /// Asks for everything tracked; `false` when there was no answer.
    async fn refresh_all(&self) -> bool {
        let questions = self.shared.tracker().due();
        let consumer = self.consumer();
        for batch in questions.chunks(BATCH) {
            let found = self.api.find_all(consumer.as_deref(), batch).await;
            self.note(found.as_ref().err());
            match found {
                Ok(findings) => {
                    let keys = batch.iter().map(|question| question.key.clone());
                    let answered = keys.zip(findings);
                    let answered = answered.filter_map(|(key, f)| f.map(|f| (key, f))).collect();
                    self.take(answered).await;
                }
                Err(error) => {
                    // A consumer that is not known there is refused whatever it asks.
                    if error.is_gone() {
                        self.suspicion.notify_one();
                    }
                    self.shared.failed(batch);
                    return false;
                }
            }
        }
        true
    }

    /// Takes findings in. Where one would make instances disappear, it is first found out whether
    /// service-center still knows us.
    async fn take(&self, findings: Vec<(ServiceKey, api::Finding)>) {
        let forgets = {
            let tracker = self.shared.tracker();
            findings.iter().any(|(key, finding)| tracker.would_forget(key, finding))
        };
        let trust = if forgets {
            let (own, standing) = (self.own.as_ref(), &self.standing);
            trust(&self.api, own, standing, &self.suspicion, self.grace).await
        } else {
            Trust::Full
        };
        if trust == Trust::Amnesia {
            self.metrics.amnesia.inc();
            tracing::warn!(
                reason = "amnesia",
                "service-center does not know us any more: what it \
                does not know of others is not believed yet"
            );
        }
        let now = self.shared.now();
        let mut tracker = self.shared.tracker();
        let mut changed = false;
        for (key, finding) in findings {
            changed |= tracker.found(&key, finding, trust, now);
        }
        self.shared.publish(&mut tracker, changed);
    }

    fn consumer(&self) -> Option<Arc<str>> {
        self.standing.borrow().service_id.clone()
    }

    /// Keeps the state: a refusal is an answer too.
    fn note(&self, error: Option<&Error>) {
        let unreachable = error.filter(|error| matches!(error, Error::Unreachable { .. }));
        self.shared.state.send_if_modified(|state| match (unreachable, &*state) {
            (None, State::Connected) | (Some(_), State::Stale { .. }) => false,
            (None, _) => {
                *state = State::Connected;
                true
            }
            (Some(error), _) => {
                tracing::warn!(%error, reason = "unreachable", "discovery: using what is known");
                *state = State::Stale { since: SystemTime::now(), error: error.to_string() };
                true
            }
        });
    }
}
