//! Spans that wait for the exporter.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::Span;

/// Nobody waits for longer, whatever the settings say.
const LONGEST: Duration = Duration::from_hours(1);

/// Between the workers and the exporter.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is something now, there is a batch now, or there will be no more.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Span>,
    /// When the first of them came.
    since: Option<Instant>,
    /// As many make a batch.
    batch: usize,
    /// As many may wait.
    most: usize,
    closed: bool,
}

impl Queue {
    /// Sets how many spans make a batch, and how many may wait.
    pub(super) fn resize(&self, batch: usize, most: usize) {
        let mut state = self.lock();
        (state.batch, state.most) = (batch, most);
    }

    /// Takes what there is room for; returns how many there was none for.
    pub(super) fn add(&self, spans: &mut Vec<Span>) -> usize {
        let mut state = self.lock();
        let before = state.waiting.len();
        let room = state.most.saturating_sub(before).min(spans.len());
        let dropped = spans.len() - room;
        state.waiting.extend(spans.drain(..room));
        spans.clear();
        if before == 0 && room > 0 {
            state.since = Some(Instant::now());
        }
        let full = before < state.batch && before + room >= state.batch;
        let wakes = room > 0 && (before == 0 || full);
        drop(state);
        if wakes {
            self.changed.notify_one();
        }
        dropped
    }

    /// There will be no more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Whether there will be no more.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Returns when the queue is closed.
    pub(super) async fn closed(&self) {
        while !self.is_closed() {
            self.changed.notified().await;
        }
    }

    /// The next spans: a batch, or as many as there are when the first has waited for what
    /// `interval` then says. `None`: there are none, and there will be none.
    pub(super) async fn next(&self, interval: impl Fn() -> Duration) -> Option<Vec<Span>> {
        loop {
            let due = {
                let mut state = self.lock();
                let count = state.waiting.len();
                if count == 0 && state.closed {
                    return None;
                }
                let due = state.since.map(|since| since + interval().min(LONGEST));
                let is_due = due.is_some_and(|due| due <= Instant::now());
                if count > 0 && (state.closed || is_due || count >= state.batch) {
                    return Some(state.take());
                }
                due
            };
            match due {
                None => self.changed.notified().await,
                Some(due) => {
                    let _ = timeout_at(due, self.changed.notified()).await;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Vec<Span> {
        let count = self.waiting.len().min(self.batch.max(1));
        let taken = self.waiting.drain(..count).collect();
        self.since = if self.waiting.is_empty() { None } else { Some(Instant::now()) };
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::{Queue, Span};

    const INTERVAL: Duration = Duration::from_secs(5);

    fn queue(batch: usize, most: usize) -> Queue {
        let queue = Queue::default();
        queue.resize(batch, most);
        queue
    }

    fn spans(count: usize) -> Vec<Span> {
        std::iter::repeat_with(Span::of_nothing).take(count).collect()
    }

    async fn next(queue: &Queue) -> Option<usize> {
        queue.next(|| INTERVAL).await.map(|spans| spans.len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_goes_when_it_is_full_or_has_waited() {
        let queue = queue(10, 100);
        assert_eq!(queue.add(&mut spans(25)), 0);
        let began = Instant::now();
        assert_eq!((next(&queue).await, next(&queue).await), (Some(10), Some(10)));
        assert_eq!(began.elapsed(), Duration::ZERO, "these are full");
        assert_eq!(next(&queue).await, Some(5));
        assert_eq!(began.elapsed(), INTERVAL, "these have waited");
        assert!(timeout(10 * INTERVAL, next(&queue)).await.is_err(), "there are no more");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_woken_by_a_batch() {
        let queue = queue(10, 100);
        let began = Instant::now();
        let (found, ()) = tokio::join!(next(&queue), async {
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                queue.add(&mut spans(5));
            }
        });
        assert_eq!((found, began.elapsed()), (Some(10), Duration::from_secs(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_no_room_without_end() {
        let queue = queue(10, 12);
        let mut more = spans(15);
        assert_eq!(queue.add(&mut more), 3);
        assert!(more.is_empty(), "who has no room is not asked again");
        assert_eq!(queue.add(&mut spans(4)), 4);
        assert_eq!(next(&queue).await, Some(10));
        assert_eq!(queue.add(&mut spans(4)), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_at_the_end_goes_at_once() {
        let queue = queue(10, 100);
        queue.add(&mut spans(12));
        queue.close();
        let began = Instant::now();
        assert_eq!((next(&queue).await, next(&queue).await), (Some(10), Some(2)));
        assert_eq!(next(&queue).await, None);
        queue.closed().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
