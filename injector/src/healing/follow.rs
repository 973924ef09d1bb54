//! Follows the pods of the cluster, round after round, while this replica leads.
//!
//! A round reads every pod, page by page, and then what becomes of them; it ends when what they are
//! judged by changes, and every ten minutes, so that nothing that was missed stays so for longer. A
//! watch that lost its server, or whose place in time the server has forgotten, starts over by itself.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use certs::Backoff;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::calm::{Calm, Hold};
use super::eviction::{Attempt, Evictor, document, manifest_settings};
use super::key::Key;
use super::owner::{Owner, created};
use super::queue::{Candidate, Pace, Queue};
use super::roll::Roll;
use super::state::State;
use super::tidings::{Subject, Tiding, Tidings};
use super::webhook::Webhook;
use super::{Settings, Surroundings};
use crate::check::workloads::Place;
use crate::config::Heal;
use crate::kubernetes::{State as CaBundleState, interrupted};
use crate::policy::Policy;

/// All pods are read again after so long.
const ROUND: Duration = Duration::from_mins(10);
/// How often the webhook configuration is looked at.
const LOOK: Duration = Duration::from_secs(30);
/// The time between two looks at what is due.
const BEAT: Duration = Duration::from_secs(1);
/// Pods of one page: what is in memory of all of them at the same time, some 100 kB each.
const PAGE: u32 = 20;
/// How long a watch that fails waits before it tries again, at the most.
const PATIENCE: Duration = Duration::from_secs(15);

/// Looks for pods without their sidecar.
pub(super) struct Healer {
    client: Client,
    settings: Settings,
    surroundings: Surroundings,
    state: watch::Sender<State>,
    attempted: Box<dyn Fn(Attempt) + Send + Sync>,
}

/// What is known while this replica leads, from round to round.
struct Book {
    roll: Roll,
    queue: Queue,
    tidings: Tidings,
    calm: Calm,
    complete: bool,
    /// Why pods cannot be followed. Only a list of all of them shows that they can.
    error: Option<String>,
    hold: Option<Hold>,
}

/// A round on its way.
struct Round<'a> {
    place: Place<'a>,
    webhook: &'a Webhook,
    begun: Instant,
    looked: Instant,
    /// Whether every pod was seen in it.
    read: bool,
}

impl Healer {
    pub(super) fn new(
        client: Client,
        settings: Settings,
        surroundings: Surroundings,
        state: watch::Sender<State>,
        attempted: impl Fn(Attempt) + Send + Sync + 'static,
    ) -> Self {
        Self { client, settings, surroundings, state, attempted: Box::new(attempted) }
    }

    pub(super) async fn run(self, mut leads: watch::Receiver<bool>) {
        let mut until_lost = leads.clone();
        while leads.wait_for(|leads| *leads).await.is_ok() {
            tracing::info!(mode = ?self.settings.terms.mode, "looking for pods without sidecar");
            tokio::select! {
                biased;
                _ = until_lost.wait_for(|leads| !*leads) => {}
                () = self.follow() => {}
            }
            self.state.send_replace(State::default());
            tracing::info!("another replica looks for pods without sidecar");
        }
    }

    async fn follow(&self) {
        let terms = &self.settings.terms;
        let mut book = Book {
            roll: Roll::default(),
            queue: Queue::new(Pace { interval: terms.interval, backoff: terms.backoff }),
            tidings: Tidings::new(self.client.clone(), &self.settings.instance),
            calm: Calm::default(),
            complete: false,
            error: None,
            hold: None,
        };
        loop {
            let why = self.round(&mut book).await;
            tracing::debug!(why, "all pods are read anew");
            sleep(BEAT).await;
        }
    }

    /// One round; why it ended.
    async fn round(&self, book: &mut Book) -> &'static str {
        let policy = self.surroundings.rules.policy();
        let webhook = match Webhook::read(&self.client, &self.settings).await {
            Ok(webhook) => webhook,
            Err(error) => {
                book.fails(error.to_string());
                self.publish(book);
                return "the webhook configuration cannot be read";
            }
        };
        let settings = manifest_settings((*policy).clone());
        let mut place = Place::new(&settings, webhook.sieve());
        place.webhook_since.clone_from(&webhook.since);
        let patience = Backoff::new(Duration::from_millis(200), PATIENCE);
        let config = watcher::Config::default().page_size(PAGE);
        let namespaces = Api::<PartialObjectMeta<Namespace>>::all(self.client.clone());
        let mut namespaces = pin!(watcher(namespaces, config.clone()).backoff(patience.clone()));
        self.note_all(namespaces.as_mut(), &mut place, book).await;
        let pods: Api<DynamicObject> =
            Api::all_with(self.client.clone(), &ApiResource::erase::<Pod>(&()));
        let mut pods = pin!(watcher(pods, config).backoff(patience));
        let now = Instant::now();
        let mut round = Round { place, webhook: &webhook, begun: now, looked: now, read: false };
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = pods.next() => match event {
                    Some(Ok(event)) => self.heard(event, &mut round, book),
                    Some(Err(error)) => book.fails(interrupted(&error)),
                    None => return "the watch ended",
                },
                event = namespaces.next() => match event {
                    Some(Ok(Event::Apply(found) | Event::InitApply(found))) => {
                        let known = round.place.enables(&found.name_any());
                        round.place.note(&namespace(&found));
                        if known.is_some() && round.place.enables(&found.name_any()) != known {
                            return "a namespace was labelled";
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => book.fails(interrupted(&error)),
                    None => return "the watch ended",
                },
                _ = beat.tick() => {
                    let over = self.over(&policy, &mut round, book).await;
                    book.tidings.tell().await;
                    self.evict(book).await;
                    self.publish(book);
                    if let Some(why) = over {
                        return why;
                    }
                }
            }
        }
    }

    /// Reads the namespaces, before the pods in them.
    async fn note_all(
        &self,
        mut namespaces: Pin<&mut impl Stream<Item = Heard>>,
        place: &mut Place<'_>,
        book: &mut Book,
    ) {
        while let Some(event) = namespaces.next().await {
            match event {
                Ok(Event::InitApply(found)) => place.note(&namespace(&found)),
                Ok(Event::InitDone) => return,
                Ok(_) => {}
                Err(error) => {
                    book.fails(interrupted(&error));
                    self.publish(book);
                }
            }
        }
    }

    fn heard(&self, event: Event<DynamicObject>, round: &mut Round<'_>, book: &mut Book) {
        match event {
            Event::Init => book.roll.begin(),
            Event::InitApply(pod) | Event::Apply(pod) => self.judge(pod, round, book),
            Event::Delete(pod) => book.strike(Key::of(&pod.uid().unwrap_or_default())),
            Event::InitDone => {
                for key in book.roll.read() {
                    book.queue.withdraw(key);
                }
                book.error = None;
                book.complete = true;
                round.read = true;
                let pods = book.roll.counts();
                if pods.values().any(|count| *count > 0) {
                    tracing::info!(?pods, "pods that asked and have no sidecar");
                }
                self.publish(book);
            }
        }
    }

    fn judge(&self, pod: DynamicObject, round: &Round<'_>, book: &mut Book) {
        let uid = pod.uid().unwrap_or_default();
        let (key, pod) = (Key::of(&uid), document(pod));
        let Some(lack) = round.place.lack(&pod) else {
            book.strike(key);
            return;
        };
        let [namespace, name] = ["/metadata/namespace", "/metadata/name"]
            .map(|path| pod.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned());
        let next = match Owner::of(&pod, &self.settings.namespace) {
            _ if self.settings.terms.mode != Heal::Evict || !lack.mends => "stays",
            Err(spared) => spared.as_str(),
            Ok(owner) => {
                book.queue.offer(Candidate {
                    key,
                    owner: Key::of(owner.uid),
                    namespace: namespace.clone(),
                    name: name.clone(),
                    uid: uid.clone(),
                    created: created(&pod).to_owned(),
                });
                "to_be_evicted"
            }
        };
        if next != "to_be_evicted" {
            book.queue.withdraw(key);
        }
        let now = Instant::now();
        if !book.roll.enter(key, lack.word, now) {
            return;
        }
        let note = format!("{}; {}", lack.problem, lack.fix.as_str());
        let subject = Subject { key, namespace, name, uid };
        if book.tidings.push(Tiding { subject, word: lack.word, note, next }) {
            book.roll.told(key, now);
        }
    }

    /// Why the round is over, if it is.
    async fn over(
        &self,
        policy: &Arc<Policy>,
        round: &mut Round<'_>,
        book: &mut Book,
    ) -> Option<&'static str> {
        if !Arc::ptr_eq(policy, &self.surroundings.rules.policy()) {
            return Some("another policy is in force");
        }
        if round.begun.elapsed() >= ROUND {
            return Some("it is time");
        }
        if book.complete && book.queue.has_missed() {
            return Some("there is room for more pods");
        }
        // A watch that goes on says nothing about it before something happens.
        let interrupted = round.read && book.error.is_some();
        if round.looked.elapsed() < if interrupted { 2 * BEAT } else { LOOK } {
            return None;
        }
        round.looked = Instant::now();
        match Webhook::read(&self.client, &self.settings).await {
            Ok(_) if interrupted => Some("a watch was interrupted"),
            Ok(found) if found != *round.webhook => Some("the webhook configuration is another"),
            Ok(_) => None,
            Err(error) => {
                book.fails(error.to_string());
                None
            }
        }
    }

    /// Evicts the pod whose turn it is, if everything is in order.
    async fn evict(&self, book: &mut Book) {
        let terms = &self.settings.terms;
        if terms.mode != Heal::Evict {
            return;
        }
        book.hold = book.calm.hold(self.disorder(book), terms.settle, Instant::now());
        if book.hold.is_some() {
            return;
        }
        let Some(candidate) = book.queue.due(Instant::now()) else {
            return;
        };
        let Self { client, settings, surroundings, .. } = self;
        let ended = Evictor { client, settings, surroundings }.attempt(&candidate).await;
        let (result, detail) = (ended.attempt.as_str(), ended.detail);
        let Candidate { namespace, name, key, uid, .. } = candidate.clone();
        (self.attempted)(ended.attempt);
        book.queue.ended(&candidate, ended.turn, Instant::now());
        if ended.attempt == Attempt::Evicted {
            let owner = ended.owner;
            tracing::info!(result, namespace, pod = name, owner, "pod without sidecar evicted");
            book.strike(key);
            book.tidings.evicted(&Subject { key, namespace, name, uid }, &owner).await;
        } else {
            tracing::warn!(result, namespace, pod = name, "pod not evicted: {detail}");
        }
    }

    /// What is wrong at the moment with all that injection needs.
    fn disorder(&self, book: &Book) -> Option<Hold> {
        let Surroundings { rules, ca_bundle, api_server } = &self.surroundings;
        let called =
            matches!(ca_bundle.borrow().state, CaBundleState::Current | CaBundleState::Unmanaged);
        let questions = [
            (rules.is_faulty(), Hold::Configuration),
            (!called, Hold::CaBundle),
            (!api_server.borrow().settled, Hold::Version),
            (!book.complete || book.error.is_some(), Hold::Watch),
        ];
        questions.into_iter().find_map(|(wrong, hold)| wrong.then_some(hold))
    }

    fn publish(&self, book: &Book) {
        let next = State {
            complete: book.complete && book.error.is_none(),
            lacking: book.roll.counts().clone(),
            waiting: book.queue.len(),
            hold: book.hold,
            error: book.error.clone(),
        };
        self.state.send_if_modified(|state| {
            let another = *state != next;
            *state = next;
            another
        });
    }
}

/// What a watch of namespaces says.
type Heard = watcher::Result<Event<PartialObjectMeta<Namespace>>>;

impl Book {
    fn strike(&mut self, key: Key) {
        self.roll.strike(key);
        self.queue.withdraw(key);
    }

    fn fails(&mut self, error: String) {
        if self.error.as_ref() != Some(&error) {
            tracing::warn!(%error, "pods cannot be followed; it is tried again");
        }
        self.error = Some(error);
    }
}

/// The namespace as `check` reads it.
pub(super) fn namespace(found: &PartialObjectMeta<Namespace>) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": found.metadata})
}
