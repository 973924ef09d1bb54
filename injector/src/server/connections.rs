//! The open connections of one port, and which of them has to go when there is no room.
//!
//! Turning newcomers away would let whoever fills the table keep the API server out for as long
//! as idle connections live. So the newcomer is taken, and the connection that has proven least
//! is closed: first one that has not shown a TLS session, then one without a whole request, then
//! the one that was idle longest. One with a request under way is never closed for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The table.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    open: Mutex<Open>,
    closed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_id: HashMap<u64, Arc<Entry>>,
}

#[derive(Debug)]
struct Entry {
    state: Mutex<State>,
    evict: Notify,
}

#[derive(Debug, Clone, Copy)]
struct State {
    stage: Stage,
    under_way: usize,
    since: Instant,
}

/// How far a connection has come; the order is that of its worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// No TLS session yet.
    Handshake,
    /// No whole request yet.
    Fresh,
    /// At least one request was answered.
    Used,
}

/// What there was room for.
#[derive(Debug)]
pub(super) enum Admission {
    /// There was room.
    Room(Connection),
    /// There is, because another connection was told to close.
    InsteadOfAnother(Connection),
    /// Every connection has a request under way.
    Full,
}

impl Connections {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default(), closed: Notify::new() })
    }

    /// Open connections.
    pub(super) fn count(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Takes a new connection into the table.
    pub(super) fn admit(self: &Arc<Self>) -> Admission {
        let mut open = self.lock();
        let full = open.by_id.len() >= self.most;
        if full && !open.evict() {
            return Admission::Full;
        }
        let state = State { stage: Stage::Handshake, under_way: 0, since: Instant::now() };
        let entry = Arc::new(Entry { state: Mutex::new(state), evict: Notify::new() });
        let id = open.next;
        open.next += 1;
        open.by_id.insert(id, Arc::clone(&entry));
        let connection = Connection { table: Arc::clone(self), id, entry };
        if full { Admission::InsteadOfAnother(connection) } else { Admission::Room(connection) }
    }

    /// Closes the connection that is worth least; `false`: all are busy.
    pub(super) fn evict(&self) -> bool {
        self.lock().evict()
    }

    /// Returns when no connection is open.
    pub(super) async fn all_closed(&self) {
        loop {
            let closed = self.closed.notified();
            if self.count() == 0 {
                return;
            }
            closed.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn evict(&mut self) -> bool {
        let least = self
            .by_id
            .iter()
            .map(|(id, entry)| (*id, entry.state()))
            .filter(|(_, state)| state.under_way == 0)
            .min_by_key(|(_, state)| (state.stage, state.since));
        let evicted = least.and_then(|(id, _)| self.by_id.remove(&id));
        if let Some(entry) = &evicted {
            entry.evict.notify_one();
        }
        evicted.is_some()
    }
}

impl Entry {
    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A connection's place in the table; dropped, it is free.
#[derive(Debug)]
pub(super) struct Connection {
    table: Arc<Connections>,
    id: u64,
    entry: Arc<Entry>,
}

impl Connection {
    /// The TLS session stands.
    pub(super) fn established(&self) {
        self.entry.change(|state| {
            state.stage = Stage::Fresh;
            state.since = Instant::now();
        });
    }

    /// The head of a request has arrived; dropped, its answer is ready.
    pub(super) fn request(&self) -> UnderWay {
        self.entry.change(|state| state.under_way += 1);
        UnderWay(Arc::clone(&self.entry))
    }

    /// Returns when this connection has to make room.
    pub(super) async fn evicted(&self) {
        self.entry.evict.notified().await;
    }

    /// When this connection is to be closed if nothing happens until then: a fresh one after
    /// `fresh`, a used one after `idle`. While a request is under way that moves on.
    pub(super) fn expires(&self, fresh: Duration, idle: Duration) -> Instant {
        let state = self.entry.state();
        match (state.under_way, state.stage) {
            (0, Stage::Used) => state.since + idle,
            (0, _) => state.since + fresh,
            _ => Instant::now() + fresh,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.table.lock().by_id.remove(&self.id);
        self.table.closed.notify_waiters();
    }
}

/// A request under way on a connection.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Entry>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.under_way -= 1;
            state.stage = Stage::Used;
            state.since = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn admitted(table: &Arc<Connections>) -> Connection {
        match table.admit() {
            Admission::Room(connection) | Admission::InsteadOfAnother(connection) => connection,
            Admission::Full => panic!("full"),
        }
    }

    fn is_evicted(connection: &Connection) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        pin!(connection.evicted()).poll(&mut context) == Poll::Ready(())
    }

    #[test]
    fn the_least_worthy_goes_first() {
        let table = Connections::new(3);
        let (used, fresh, busy) = (admitted(&table), admitted(&table), admitted(&table));
        for connection in [&used, &fresh, &busy] {
            connection.established();
        }
        drop(used.request());
        let under_way = busy.request();

        let handshake = admitted(&table);
        assert!(is_evicted(&fresh), "older, but without a request");
        let other = admitted(&table);
        assert!(is_evicted(&handshake), "the newest, but without a session");
        other.established();
        let under_way = [under_way, other.request()];
        assert!(matches!(table.admit(), Admission::InsteadOfAnother(_)));
        assert!(is_evicted(&used), "nothing else was idle");
        assert!(!is_evicted(&busy) && !is_evicted(&other));
        drop(under_way);
    }

    #[test]
    fn busy_connections_are_never_closed_for_a_newcomer() {
        let table = Connections::new(1);
        let only = admitted(&table);
        let under_way = only.request();
        assert!(matches!(table.admit(), Admission::Full));
        drop(under_way);
        assert!(matches!(table.admit(), Admission::InsteadOfAnother(_)));
        assert!(is_evicted(&only));
    }

    #[test]
    fn a_place_is_free_again_when_the_connection_ends() {
        let table = Connections::new(1);
        for _ in 0..3 {
            let connection = admitted(&table);
            assert_eq!(table.count(), 1);
            assert!(!is_evicted(&connection));
        }
        assert_eq!(table.count(), 0);
    }

    #[test]
    fn time_runs_out_by_stage() {
        let (fresh, idle) = (Duration::from_secs(10), Duration::from_secs(100));
        let table = Connections::new(1);
        let connection = admitted(&table);
        let soon = Instant::now() + Duration::from_secs(50);
        assert!(connection.expires(fresh, idle) < soon);
        drop(connection.request());
        assert!(connection.expires(fresh, idle) > soon);
    }
}
