//! The shared connections of a worker. Each worker has its own, so there is nothing to lock.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use futures::FutureExt;
use futures::future::Shared as Joint;

use super::client::{Lease, Shared};
use crate::plan::PoolId;
use crate::traffic::refusal::Refusal;

/// Connections to one endpoint; requests beyond what they take together wait in line.
const MOST: usize = 8;

/// A connection that comes about, for all who wait for it.
pub(crate) type Connecting =
    Joint<Pin<Box<dyn Future<Output = Result<Rc<Shared>, Refusal>> + 'static>>>;

/// For every endpoint its connections: one as long as that is enough.
#[derive(Default)]
pub(crate) struct Pool(RefCell<BTreeMap<PoolId, Connections>>);

#[derive(Default)]
struct Connections {
    open: Vec<Rc<Shared>>,
    coming: Option<Connecting>,
}

/// What there is for a request.
pub(super) enum Found {
    /// A connection.
    Open(Lease),
    /// One that somebody waits for already.
    Coming(Connecting),
    /// Nothing yet.
    Nothing,
}

impl Pool {
    /// A connection with room, else one that is coming; where there are enough of them, the one
    /// with the fewest requests.
    pub(super) fn find(&self, endpoint: PoolId, cx: &mut Context<'_>) -> Found {
        let mut pools = self.0.borrow_mut();
        let Some(pool) = pools.get_mut(&endpoint) else { return Found::Nothing };
        if let Some(connection) = pool.open.iter().find(|connection| connection.has_room(cx)) {
            return Found::Open(connection.lease());
        }
        if let Some(coming) = &pool.coming {
            return Found::Coming(coming.clone());
        }
        let usable =
            pool.open.iter().filter(|connection| connection.is_open(cx)).collect::<Vec<_>>();
        let count = usable.len();
        match usable.into_iter().min_by_key(|connection| connection.streams()) {
            Some(connection) if count >= MOST => Found::Open(connection.lease()),
            _ => Found::Nothing,
        }
    }

    /// Lets others wait for the same connection.
    pub(super) fn join(
        &self,
        endpoint: PoolId,
        connecting: impl Future<Output = Result<Rc<Shared>, Refusal>> + 'static,
    ) -> Connecting {
        let connecting: Pin<Box<dyn Future<Output = _>>> = Box::pin(connecting);
        let connecting = connecting.shared();
        self.0.borrow_mut().entry(endpoint).or_default().coming = Some(connecting.clone());
        connecting
    }

    /// What was waited for has come, or not.
    pub(super) fn came(&self, endpoint: PoolId, connection: Option<&Rc<Shared>>) {
        let mut pools = self.0.borrow_mut();
        let pool = pools.entry(endpoint).or_default();
        pool.coming = None;
        pool.open.extend(connection.cloned());
    }

    /// Closes what was idle for longer than `idle`, and what has ended or no longer answers.
    /// Returns how many are left, and how many requests are under way on them.
    pub(crate) fn sweep(
        &self,
        now: Duration,
        idle: Duration,
        cx: &mut Context<'_>,
    ) -> (usize, usize) {
        let mut left = (0, 0);
        self.0.borrow_mut().retain(|_, pool| {
            pool.open.retain(|connection| connection.look(now, idle, cx));
            left.0 += pool.open.len();
            left.1 += pool.open.iter().map(|connection| connection.streams()).sum::<usize>();
            // Nobody waits for it any more, so nobody moves it on.
            if pool.coming.as_ref().is_some_and(|coming| coming.strong_count() == Some(1)) {
                pool.coming = None;
            }
            !pool.open.is_empty() || pool.coming.is_some()
        });
        left
    }

    /// Closes all that nobody uses.
    pub(crate) fn clear(&self) {
        for pool in self.0.borrow_mut().values_mut() {
            pool.open.retain(|connection| connection.streams() > 0);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}
