//! What a worker has open, for people. It is counted once a second, when the worker looks at all of
//! it anyway: nobody who asks is waited for, and a request costs nothing for it.

use std::sync::{Mutex, PoisonError};

/// As it was at the worker's last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Connections from clients.
    pub(crate) clients: usize,
    /// Those of them that have no request.
    pub(crate) idle_clients: usize,
    /// Those of them that speak HTTP/2.
    pub(crate) http2_clients: usize,
    /// Those of them that have become tunnels.
    pub(crate) tunnels: usize,
    /// Requests under way, and tunnels.
    pub(crate) in_flight: usize,
    /// Connections to endpoints that wait for a request.
    pub(crate) idle_upstream: usize,
    /// Connections to endpoints that many requests share.
    pub(crate) shared_upstream: usize,
    /// Requests under way on those.
    pub(crate) shared_streams: usize,
}

/// The counts of one worker, for other threads.
#[derive(Debug, Default)]
pub(crate) struct Census(Mutex<Counts>);

impl Census {
    /// The last counts.
    pub(crate) fn read(&self) -> Counts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self, counts: Counts) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }
}
