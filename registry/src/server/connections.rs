//! The open connections, and which of them has to go when there is no room.
//!
//! Turning newcomers away would let whoever fills the table keep everybody else's heartbeats out.
//! So the newcomer is taken, and the connection that was idle longest is closed. One with a
//! request under way or a watch on it is never closed for a newcomer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The table.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    open: Mutex<HashMap<u64, Arc<Entry>>>,
    /// Counts what happens: the lower an entry's number, the longer ago.
    clock: AtomicU64,
    closed: Notify,
}

#[derive(Debug)]
struct Entry {
    busy: AtomicU64,
    used: AtomicU64,
    evict: Notify,
}

/// A connection's place in the table; dropped, it is free.
#[derive(Debug)]
pub(super) struct Connection {
    table: Arc<Connections>,
    id: u64,
    entry: Arc<Entry>,
}

/// A request under way, or a socket that came of one, on a connection that is kept for it.
#[derive(Debug, Clone)]
pub struct Held(#[expect(dead_code, reason = "it counts until it is dropped")] Arc<Busy>);

#[derive(Debug)]
struct Busy(Arc<Connection>);

impl Connections {
    pub(super) fn new(most: usize) -> Arc<Self> {
        let (open, clock) = (Mutex::default(), AtomicU64::new(0));
        Arc::new(Self { most, open, clock, closed: Notify::new() })
    }

    /// Open connections.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Takes a new connection; `None`: every one is busy.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Arc<Connection>> {
        let mut open = self.lock();
        if open.len() >= self.most && !evict(&mut open) {
            return None;
        }
        let id = self.tick();
        let entry = Entry { busy: 0.into(), used: id.into(), evict: Notify::new() };
        let entry = Arc::new(entry);
        open.insert(id, Arc::clone(&entry));
        Some(Arc::new(Connection { table: Arc::clone(self), id, entry }))
    }

    /// Closes the connection that was idle longest; `false`: all are busy.
    pub(super) fn evict(&self) -> bool {
        evict(&mut self.lock())
    }

    /// Returns when no connection is open.
    pub(super) async fn all_closed(&self) {
        loop {
            let mut closed = std::pin::pin!(self.closed.notified());
            closed.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            closed.await;
        }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Entry>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn evict(open: &mut HashMap<u64, Arc<Entry>>) -> bool {
    let idle = open.iter().filter(|(_, entry)| entry.busy.load(Ordering::Relaxed) == 0);
    let longest = idle.min_by_key(|(_, entry)| entry.used.load(Ordering::Relaxed));
    let Some(id) = longest.map(|(id, _)| *id) else {
        return false;
    };
    if let Some(entry) = open.remove(&id) {
        entry.evict.notify_one();
    }
    true
}

impl Connection {
    /// A request has arrived.
    pub(super) fn hold(self: &Arc<Self>) -> Held {
        self.entry.busy.fetch_add(1, Ordering::Relaxed);
        Held(Arc::new(Busy(Arc::clone(self))))
    }

    /// Returns when this connection has to make room.
    pub(super) async fn evicted(&self) {
        self.entry.evict.notified().await;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.entry.used.store(self.0.table.tick(), Ordering::Relaxed);
        self.0.entry.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.table.lock().remove(&self.id);
        self.table.closed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn is_evicted(connection: &Connection) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        pin!(connection.evicted()).poll(&mut context) == Poll::Ready(())
    }

    #[test]
    fn the_longest_idle_goes_first_and_the_busy_never() {
        let table = Connections::new(3);
        let [first, second, busy] = [(); 3].map(|()| table.admit().expect("room"));
        let held = busy.hold();
        drop(first.hold());
        let newcomer = table.admit().expect("instead of another");
        assert!(is_evicted(&second), "it never did anything");
        let _held = [held, newcomer.hold()];
        let other = table.admit().expect("instead of another");
        assert!(is_evicted(&first));
        let _held = other.hold();
        assert!(table.admit().is_none());
        assert!(!is_evicted(&busy) && !is_evicted(&newcomer) && !is_evicted(&other));
    }

    #[test]
    fn a_place_is_free_again_when_connection_and_socket_end() {
        let table = Connections::new(1);
        let connection = table.admit().expect("room");
        let socket = connection.hold();
        drop(connection);
        assert_eq!(table.count(), 1, "the socket lives on");
        drop(socket.clone());
        assert_eq!(table.count(), 1);
        drop(socket);
        assert_eq!(table.count(), 0);
    }
}
