//! Following what a center holds: one task for each layer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{Answer, Center, Error, Held, Layer, Metrics};
use crate::pacing;

/// The shortest time between two questions about a layer, however quickly they are answered: a
/// center that does not wait, or whose keys change all the time, is not to be flooded.
const PACE: Duration = Duration::from_millis(200);
/// How long after a change everything is asked for once more. kie counts a change before it makes
/// it, and lists keys from a cache that follows: who asks in between is told the new revision and
/// the old keys.
const VERIFY_AFTER: Duration = Duration::from_secs(1);
/// How often everything is asked for whatever the revision, as that cache may have stood still.
const WHOLE: Duration = Duration::from_mins(1);

/// A center that is followed. Dropped, it is not any more.
#[derive(Debug)]
pub struct Following {
    held: watch::Receiver<Held>,
    _tasks: JoinSet<()>,
}

impl Following {
    /// What it holds, as it changes.
    pub fn held(&self) -> watch::Receiver<Held> {
        self.held.clone()
    }

    /// Waits until everything was answered once, or has failed, but for no longer than `patience`.
    pub async fn first(&self, patience: Duration) -> Held {
        let mut held = self.held.clone();
        let _ = timeout(patience, held.wait_for(Held::is_tried)).await;
        Held::clone(&self.held.borrow())
    }
}

/// Follows `center`, on the runtime of the caller. With `waiting`, one that can answers as soon as
/// something changes, and at least every `interval`; otherwise it is asked each `interval`.
pub fn follow<C: Center>(
    center: C,
    waiting: bool,
    interval: Duration,
    metrics: &Metrics,
) -> Following {
    let name: Arc<str> = center.name().into();
    let layer = |name: String| Layer { name: name.into(), ..Layer::default() };
    let layers: Vec<Layer> = center.layers().into_iter().map(layer).collect();
    let count = layers.len();
    let held = watch::Sender::new(Held { center: name, layers, generation: 0 });
    let receiver = held.subscribe();
    let center = Arc::new(center);
    let mut tasks = JoinSet::new();
    for layer in 0..count {
        let asking = Asking {
            wait: (waiting && center.waits()).then_some(interval),
            center: Arc::clone(&center),
            held: held.clone(),
            layer,
            interval,
            metrics: metrics.clone(),
        };
        tasks.spawn(asking.run());
    }
    Following { held: receiver, _tasks: tasks }
}

/// Asks about one layer for ever.
struct Asking<C> {
    center: Arc<C>,
    held: watch::Sender<Held>,
    layer: usize,
    wait: Option<Duration>,
    interval: Duration,
    metrics: Metrics,
}

impl<C: Center> Asking<C> {
    async fn run(self) {
        let delays = || pacing::delays(Duration::from_secs(1), Duration::from_secs(30));
        let mut waits = delays();
        // `since`, once a second look has found the same.
        let (mut last, mut since) = (None, None);
        let mut whole = Instant::now();
        loop {
            let asked = Instant::now();
            if whole.elapsed() > WHOLE {
                since = None;
            }
            if since.is_none() {
                whole = asked;
            }
            let outcome = self.center.ask(self.layer, since.as_ref(), self.wait).await;
            self.metrics.count(&outcome);
            let pause = match outcome {
                Ok(answer) => {
                    waits = delays();
                    let mut new = false;
                    if let Answer::Holds { revision, .. } = &answer {
                        new = *revision != last;
                        last.clone_from(revision);
                        since = if new { None } else { last.clone() };
                    }
                    self.answered(answer);
                    match self.wait {
                        _ if new => VERIFY_AFTER.min(self.interval),
                        Some(_) => PACE.saturating_sub(asked.elapsed()),
                        None => pacing::jittered(self.interval),
                    }
                }
                Err(error) => {
                    self.failed(&error);
                    waits.next().unwrap_or(self.interval)
                }
            };
            sleep(pause).await;
        }
    }

    fn answered(&self, answer: Answer) {
        let mut healed = false;
        self.held.send_modify(|held| {
            let layer = &mut held.layers[self.layer];
            healed = layer.failing.take().is_some();
            layer.last_success = Some(SystemTime::now());
            if let Answer::Holds { revision, items } = answer {
                layer.revision = revision;
                if *layer.items != *items {
                    layer.items = items.into();
                    held.generation += 1;
                }
            }
        });
        if healed {
            let held = self.held.borrow();
            let (center, layer) = (&held.center, &held.layers[self.layer].name);
            tracing::info!(%center, %layer, "the configuration center answers again");
        }
    }

    fn failed(&self, error: &Error) {
        let mut new = false;
        self.held.send_modify(|held| {
            let layer = &mut held.layers[self.layer];
            new = layer.failing.is_none();
            let since = layer.failing.as_ref().map_or_else(SystemTime::now, |(since, _)| *since);
            layer.failing = Some((since, error.to_string()));
        });
        let held = self.held.borrow();
        let (center, layer) = (&held.center, &held.layers[self.layer].name);
        if new {
            tracing::warn!(%center, %layer, %error, "the configuration center does not answer: what it last said stays in force");
        } else {
            tracing::debug!(%center, %layer, %error, "the configuration center still does not answer");
        }
    }
}
