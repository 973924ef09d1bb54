//! The one store of a running registry, with those who wait for what happens to it: watchers, and
//! the data file.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs;

use crate::journal::{Journal, Saved};
use crate::model::{Tenant, hex};
use crate::store::{Code, Effects, Now, Refusal, Store};
use crate::watchers::{Watch, Watchers};

/// How late an instance may be found to have expired.
const LOOK: Duration = Duration::from_millis(250);

/// The store of a running registry.
#[derive(Debug)]
pub struct Live {
    state: Mutex<State>,
    began: Instant,
}

#[derive(Debug)]
struct State {
    store: Store,
    watchers: Watchers,
    /// `None`: memory only.
    journal: Option<Journal>,
}

impl Live {
    /// Puts a store into service.
    pub fn new(store: Store) -> Self {
        Self::since(store, Instant::now())
    }

    /// Puts a store into service whose [`Now::uptime`] counts from `began`.
    pub(crate) fn since(store: Store, began: Instant) -> Self {
        let state = State { store, watchers: Watchers::default(), journal: None };
        Self { state: Mutex::new(state), began }
    }

    /// Keeps every change from now on.
    pub(crate) fn keep(&self, journal: Journal) {
        self.lock().journal = Some(journal);
    }

    /// Keeps nothing any more; what was noted is still written.
    pub(crate) fn keep_no_more(&self) {
        self.lock().journal = None;
    }

    /// Looks something up.
    pub fn read<T>(&self, look: impl FnOnce(&Store) -> T) -> T {
        look(&self.lock().store)
    }

    /// Runs a command. When this returns, its changes are on disk (if there is a data file) and
    /// on their way to watchers.
    pub async fn command<T>(
        &self,
        command: impl FnOnce(&mut Store, Now) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let (answer, saved) = {
            let mut state = self.lock();
            let answer = command(&mut state.store, self.now());
            (answer, state.publish())
        };
        if let Some(saved) = saved {
            saved.wait().await.map_err(|problem| Refusal::new(Code::Backend, problem))?;
        }
        answer
    }

    /// Watches for a service; `None`: it is not registered.
    pub fn watch(&self, tenant: &Tenant, consumer: &str) -> Option<Watch> {
        let mut state = self.lock();
        state.store.is_service(tenant, consumer).then(|| state.watchers.add(tenant, consumer))
    }

    /// How many watch.
    pub fn watchers(&self) -> usize {
        self.lock().watchers.count()
    }

    /// Ends instances whose lease ends, for as long as it is polled. `expired` is told how many.
    pub async fn expire(self: Arc<Self>, mut expired: impl FnMut(usize)) {
        loop {
            let next = {
                let mut state = self.lock();
                let now = self.now();
                let count = state.store.expire(now);
                // Nobody waits for these; if the process ends first, they expire again.
                let _ = state.publish();
                if count > 0 {
                    expired(count);
                }
                state.store.next_expiry().map(|at| at.saturating_sub(now.uptime))
            };
            // A new lease may end before all others: look from time to time.
            tokio::time::sleep(next.unwrap_or(LOOK).clamp(Duration::from_millis(10), LOOK)).await;
        }
    }

    fn now(&self) -> Now {
        now(self.began)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A command that panicked left the store between two changes, each of which is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Hands on what a command did.
    fn publish(&mut self) -> Option<Saved> {
        let Effects { changes, events } = self.store.take_effects();
        self.watchers.tell(events);
        self.watchers.drop_gone(&changes);
        match &self.journal {
            Some(journal) if !changes.is_empty() => Some(journal.append(changes)),
            _ => None,
        }
    }
}

/// The time, with uptime since `began`.
pub(crate) fn now(began: Instant) -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Now { unix, uptime: began.elapsed() }
}

/// A new id for an instance: 32 hexadecimal digits.
pub(crate) fn fresh_id() -> String {
    let mut bytes = [0; 16];
    let filled = aws_lc_rs::default_provider().secure_random.fill(&mut bytes);
    filled.expect("the system gives random bytes");
    hex(&bytes)
}
