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
        let pool = |most| Pool {
            used: AtomicUsize::new(0),
            most,
        };
        Arc::new(Self {
            reviews: pool(reviews),
            memory: pool(memory),
        })
    }

    /// Lets one review in; `None`: as many as allowed are under way.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Ticket> {
        self.reviews.take(1).then(|| Ticket {
            budget: Arc::clone(self),
            memory: 0,
        })
    }

    /// The memory that all reviews together may take.
    pub(super) fn memory(&self) -> usize {
        self.memory.most
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
    /// Takes `bytes` more; `false`: they do not fit at the moment.
    pub(super) fn take_memory(&mut self, bytes: usize) -> bool {
        let fits = self.budget.memory.take(bytes);
        if fits {
            self.memory += bytes;
        }
        fits
    }
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
        assert!(first.take_memory(60));
        assert!(!second.take_memory(41), "40 are left");
        assert!(second.take_memory(40));
        assert_eq!((budget.in_flight(), budget.memory_in_use()), (2, 100));
        drop(first);
        assert!(second.take_memory(60));
        assert!(!second.take_memory(usize::MAX), "no overflow");
        drop(second);
        assert_eq!((budget.in_flight(), budget.memory_in_use()), (0, 0));
    }
}
