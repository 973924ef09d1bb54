//! Who is due: the leases of all instances, by the time they end.
//!
//! A heartbeat only moves the end that the instance keeps. The queue hears of it when the old end
//! comes: then the instance is queued again, or it has expired.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::Tenant;

/// An instance's lease. All times are since the store's clock began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    /// How long it is.
    pub(super) length: Duration,
    /// When it ends.
    pub(super) end: Duration,
    /// Under which time it stands in the queue: `end`, or an earlier one.
    pub(super) queued: Duration,
}

/// Whose lease it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holder {
    pub(super) tenant: Tenant,
    pub(super) service: String,
    pub(super) instance: String,
}

/// All leases.
#[derive(Debug, Default)]
pub(super) struct Leases(BTreeSet<(Duration, Holder)>);

impl Leases {
    /// Begins a lease.
    pub(super) fn begin(&mut self, holder: Holder, length: Duration, now: Duration) -> Lease {
        let end = now.saturating_add(length);
        self.0.insert((end, holder));
        Lease { length, end, queued: end }
    }

    /// Ends a lease before its time.
    pub(super) fn end(&mut self, holder: Holder, lease: &Lease) {
        self.0.remove(&(lease.queued, holder));
    }

    /// Takes out whoever was queued for `now` or earlier. Each has to be looked at: its lease may
    /// have been renewed, and then goes on by [`Leases::requeue`].
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Holder> {
        let (at, _) = self.0.first()?;
        if *at > now {
            return None;
        }
        self.0.pop_first().map(|(_, holder)| holder)
    }

    /// Queues a lease that was renewed.
    pub(super) fn requeue(&mut self, holder: Holder, lease: &mut Lease) {
        lease.queued = lease.end;
        self.0.insert((lease.end, holder));
    }

    /// When to look again.
    pub(super) fn next(&self) -> Option<Duration> {
        self.0.first().map(|(at, _)| *at)
    }
}

impl Lease {
    /// Goes on from `now`.
    pub(super) fn renew(&mut self, now: Duration) {
        self.end = now.saturating_add(self.length);
    }
}
