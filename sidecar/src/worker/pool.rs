//! Idle connections to endpoints. Each worker has its own, so there is nothing to lock.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::task::Context;
use std::time::Duration;

use crate::plan::PoolId;
use crate::traffic::Http1;

/// The last one put in is the first taken out: few stay warm, and the rest grows old and ends.
#[derive(Debug, Default)]
pub(crate) struct Pool(RefCell<BTreeMap<PoolId, Vec<Idle>>>);

#[derive(Debug)]
struct Idle {
    connection: Http1,
    since: Duration,
}

impl Pool {
    /// The last connection that was put in, however it is by now.
    pub(crate) fn take(&self, endpoint: PoolId) -> Option<Http1> {
        self.0.borrow_mut().get_mut(&endpoint)?.pop().map(|idle| idle.connection)
    }

    /// Keeps a connection that has nothing to do; closes it when there are `most` already.
    pub(crate) fn put(&self, endpoint: PoolId, connection: Http1, now: Duration, most: usize) {
        let mut pools = self.0.borrow_mut();
        let idle = pools.entry(endpoint).or_default();
        if idle.len() < most {
            idle.push(Idle { connection, since: now });
        }
    }

    /// Closes what was idle for longer than `idle`, and what its peer has closed. Returns how many
    /// are left.
    pub(crate) fn sweep(&self, now: Duration, idle: Duration, cx: &mut Context<'_>) -> usize {
        let mut left = 0;
        self.0.borrow_mut().retain(|_, pool| {
            pool.retain_mut(|kept| now <= kept.since + idle && kept.connection.is_open(cx));
            left += pool.len();
            !pool.is_empty()
        });
        left
    }

    /// Closes all.
    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}
