//! How many requests may be under way at once. Who finds no slot may wait for a short while.
//!
//! A slot is taken and given back by one atomic number. Only when there is none, or when somebody
//! waits for one, a lock is taken: [`mesh::Backlog`] says whose turn it is. Where nothing is bounded
//! there are no slots.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh::{Backlog, BacklogTerms};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::clock::Clock;

/// So many slots, and who waits for one.
pub(crate) struct Slots {
    /// As of the last request: it may be told otherwise while others are under way.
    most: AtomicUsize,
    taken: AtomicUsize,
    /// Those in the backlog.
    waiting: AtomicUsize,
    /// All that ever were in it.
    queued: AtomicU64,
    backlog: Mutex<Backlog<oneshot::Sender<Slot>>>,
    clock: Clock,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Slots>);

impl Slots {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            most: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queued: AtomicU64::new(0),
            backlog: Mutex::default(),
            clock: Clock::start(),
        })
    }

    /// A slot of `most`, if one is free and nobody waits for it.
    pub(crate) fn take(self: &Arc<Self>, most: usize) -> Option<Slot> {
        // Read first: writing what is there already costs the other threads their cached line.
        if self.most.load(Ordering::Relaxed) != most {
            self.most.store(most, Ordering::Relaxed);
        }
        let free = self.waiting.load(Ordering::SeqCst) == 0 && self.count();
        free.then(|| Slot(Arc::clone(self)))
    }

    /// Waits for a slot. `None`: too many wait already, or it took too long.
    pub(crate) async fn wait(self: &Arc<Self>, terms: BacklogTerms) -> Option<Slot> {
        let turn = self.queue(terms)?;
        timeout(terms.patience, turn).await.ok()?.ok()
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many have waited, since the start.
    pub(crate) fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Requests that have a slot.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn queue(self: &Arc<Self>, terms: BacklogTerms) -> Option<oneshot::Receiver<Slot>> {
        let (giver, turn) = oneshot::channel();
        {
            let mut backlog = self.lock();
            // Those who have given up are in nobody's way, whatever the terms are by now.
            backlog.retain(|giver| !giver.is_closed());
            let pushed = backlog.push(terms, self.clock.now(), giver);
            if let Err(giver) = pushed {
                self.waiting.store(backlog.len(), Ordering::SeqCst);
                let free = backlog.is_empty() && self.count();
                drop(backlog);
                return (free && giver.send(Slot(Arc::clone(self))).is_ok()).then_some(turn);
            }
            self.queued.fetch_add(1, Ordering::Relaxed);
            // Who gives a slot back now sees that somebody waits, or was seen to have given it back.
            self.waiting.store(backlog.len(), Ordering::SeqCst);
        }
        self.hand_out();
        Some(turn)
    }

    /// Gives what is free to those who wait.
    fn hand_out(self: &Arc<Self>) {
        let mut backlog = self.lock();
        let mut left = None;
        while left.is_none() && !backlog.is_empty() && self.count() {
            left = Some(Slot(Arc::clone(self)));
            while let Some(slot) = left.take() {
                let Some(giver) = backlog.pop(self.clock.now()) else {
                    left = Some(slot);
                    break;
                };
                // Where it comes back, the client has gone, or its time was over.
                left = giver.send(slot).err();
            }
        }
        self.waiting.store(backlog.len(), Ordering::SeqCst);
        // Nobody wanted it: it is given back, which may take the lock.
        drop(backlog);
        drop(left);
    }

    /// Counts one more, if there may be one.
    fn count(&self) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        let one_more = |taken: usize| (taken < most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, Backlog<oneshot::Sender<Slot>>> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
        if self.0.waiting.load(Ordering::SeqCst) > 0 {
            self.0.hand_out();
        }
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { most, taken, waiting, .. } = self;
        let mut told = f.debug_struct("Slots");
        told.field("most", most).field("taken", taken).field("waiting", waiting);
        told.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use mesh::BacklogTerms;

    use super::Slots;

    const TERMS: BacklogTerms = BacklogTerms { most: 64, patience: Duration::from_mins(1) };

    #[tokio::test(start_paused = true)]
    async fn a_slot_goes_to_who_waits_for_it() {
        let slots = Slots::new();
        let held = slots.take(1).unwrap();
        assert!(slots.take(1).is_none());
        let waits = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.wait(TERMS).await }
        });
        tokio::task::yield_now().await;
        assert_eq!((slots.waiting(), slots.taken()), (1, 1));
        drop(held);
        assert!(slots.take(1).is_none(), "it is his already");
        let slot = waits.await.unwrap().expect("it is given on");
        assert_eq!((slots.waiting(), slots.taken(), slots.queued()), (0, 1, 1));
        drop(slot);
        assert_eq!(slots.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_not_too_many_do() {
        let slots = Slots::new();
        let held = slots.take(1).unwrap();
        let soon = BacklogTerms { most: 1, patience: Duration::from_millis(100) };
        let first = slots.wait(soon);
        let second = slots.wait(soon);
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_none() && second.is_none());
        // Nobody takes it, so it is free again.
        drop(held);
        assert_eq!(slots.taken(), 0);
        assert!(slots.take(1).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_gone_is_passed_over() {
        let slots = Slots::new();
        let held = slots.take(1).unwrap();
        let gone = slots.queue(TERMS).unwrap();
        let waits = slots.queue(TERMS).unwrap();
        drop(gone);
        drop(held);
        let slot = waits.await.expect("the next one has it");
        assert_eq!(slots.taken(), 1);
        drop(slot);
        assert_eq!((slots.taken(), slots.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn threads_never_have_more_and_lose_none() {
        let (slots, under_way) = (Slots::new(), Arc::new(AtomicUsize::new(0)));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (slots, under_way) = (Arc::clone(&slots), Arc::clone(&under_way));
                std::thread::spawn(move || {
                    let mut runtime = tokio::runtime::Builder::new_current_thread();
                    let runtime = runtime.enable_time().build().unwrap();
                    let tasks = (0..8).map(|_| {
                        let (slots, under_way) = (Arc::clone(&slots), Arc::clone(&under_way));
                        async move {
                            for _ in 0..200 {
                                let slot = match slots.take(3) {
                                    Some(slot) => slot,
                                    None => slots.wait(TERMS).await.expect("there is time"),
                                };
                                assert!(under_way.fetch_add(1, Ordering::SeqCst) < 3);
                                tokio::task::yield_now().await;
                                under_way.fetch_sub(1, Ordering::SeqCst);
                                drop(slot);
                            }
                        }
                    });
                    runtime.block_on(futures::future::join_all(tasks));
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!((slots.taken(), slots.waiting()), (0, 0));
    }
}
