//! How much the server takes on at once: so many reviews, and so much memory for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Shared by all connections; taking and giving back is one atomic step each.
#[derive(Debug)]
pub(super) struct Budget {
    reviews: Pool,
    memory: Pool,
}

#[derive(Debug)]
struct Pool {
    used: AtomicUsize,
    most: usize,
}

impl Pool {
    fn take(&self, amount: usize) -> bool {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(amount).filter(|sum| *sum <= self.most)
            })
            .is_ok()
    }

    fn give_back(&self, amount: usize) {
        self.used.fetch_sub(amount, Ordering::Relaxed);
    }
}

impl Budget {
    pub(super) fn new(reviews: usize, memory: usize) -> Arc<Self> {
        let pool = |most| Pool { used: AtomicUsize::new(0), most };
        Arc::new(Self { reviews: pool(reviews), memory: pool(memory) })
    }

    /// Lets one review in; `None`: as many as allowed are under way.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Ticket> {
        self.reviews.take(1).then(|| Ticket { budget: Arc::clone(self), memory: 0 })
    }

    /// Reviews under way.
    pub(super) fn in_flight(&self) -> usize {
        self.reviews.used.load(Ordering::Relaxed)
    }

    /// Memory they are counted with.
    pub(super) fn memory_in_use(&self) -> usize {
        self.memory.used.load(Ordering::Relaxed)
    }
}

/// The right to handle one review; dropped, everything it held is free again.
#[derive(Debug)]
pub(super) struct Ticket {
    budget: Arc<Budget>,
    memory: usize,
}

impl Ticket {
    /// Holds `bytes` in all, unless it holds more already.
    pub(super) fn hold(&mut self, bytes: usize) -> Hold {
        let budget = self.budget.memory.most;
        if bytes > budget {
            return Hold::Never { budget };
        }
        let more = bytes.saturating_sub(self.memory);
        if !self.budget.memory.take(more) {
            return Hold::NotNow;
        }
        self.memory += more;
        Hold::Fits
    }
}

/// Whether there is so much memory for a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// It is held.
    Fits,
    /// Others hold too much at the moment.
    NotNow,
    /// It is more than all reviews together may take.
    Never {
        /// What they may.
        budget: usize,
    },
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.budget.memory.give_back(self.memory);
        self.budget.reviews.give_back(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_comes_back_with_the_ticket() {
        let budget = Budget::new(2, 100);
        let mut first = budget.enter().unwrap();
        let mut second = budget.enter().unwrap();
        assert!(budget.enter().is_none(), "two are under way");
        assert_eq!(first.hold(50), Hold::Fits);
        assert_eq!(first.hold(60), Hold::Fits, "ten more");
        assert_eq!(second.hold(41), Hold::NotNow, "40 are left");
        assert_eq!(second.hold(40), Hold::Fits);
        assert_eq!(second.hold(30), Hold::Fits, "it holds more already");
        assert_eq!((budget.in_flight(), budget.memory_in_use()), (2, 100));
        drop(first);
        assert_eq!(second.hold(100), Hold::Fits);
        assert_eq!(second.hold(usize::MAX), Hold::Never { budget: 100 });
        drop(second);
        assert_eq!((budget.in_flight(), budget.memory_in_use()), (0, 0));
    }
}
