//! How long a request may take.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer for one deadline after the other, of which hardly any is ever met. It is not set anew
/// for each: it rings when the first of them would have been over, and is then set to the last.
#[derive(Debug, Default)]
pub(crate) struct Alarm(RefCell<Option<Pin<Box<Sleep>>>>);

impl Alarm {
    /// Ready when the deadline is over. All have to ask in the name of the same task.
    fn poll(&self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let mut sleep = self.0.borrow_mut();
        let sleep = sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

/// Waits for `answer`, until for as long as `limit` neither it came nor anything `moved` on the
/// way there: a long upload takes the time it takes. `None`: it did not come. `alarm` is that of
/// the task; without one, it is made for this answer.
///
/// The answer is pinned by the caller: a future that is moved in is kept room for twice.
pub(crate) async fn in_time<T>(
    alarm: Option<&Alarm>,
    limit: Duration,
    moved: impl Fn() -> bool,
    mut answer: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    let own = Alarm::default();
    let alarm = alarm.unwrap_or(&own);
    // `None`: it may take for ever.
    let from_now = || Instant::now().checked_add(limit);
    let mut deadline = from_now();
    poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        while let Some(at) = deadline {
            ready!(alarm.poll(at, cx));
            if !moved() {
                return Poll::Ready(None);
            }
            deadline = from_now();
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::{Alarm, in_time};

    #[tokio::test(start_paused = true)]
    async fn what_moves_is_waited_for_and_what_stands_is_not() {
        let seconds = Duration::from_secs;
        for (takes, moves_until, expected, waited) in [
            (10, 0, Some("answer"), 10),
            (40, 0, None, 30),
            (70, 50, Some("answer"), 70),
            (200, 50, None, 90),
        ] {
            let began = Instant::now();
            let last = Cell::new(began);
            // Something moves at every moment until then.
            let moved = || {
                let until = (began + seconds(moves_until)).min(Instant::now());
                last.replace(until) < until
            };
            let answer = async {
                sleep(seconds(takes)).await;
                "answer"
            };
            let found = in_time(None, seconds(30), moved, pin!(answer)).await;
            assert_eq!((found, began.elapsed()), (expected, seconds(waited)), "{takes} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_alarm_serves_one_request_after_the_other() {
        let seconds = Duration::from_secs;
        let alarm = Alarm::default();
        // The alarm rings in the middle of the fourth, whose time is not over then; the fifth has
        // less time than the alarm was set to.
        for (takes, limit, expected, waited) in [
            (10, 30, Some(()), 10),
            (10, 30, Some(()), 10),
            (5, 30, Some(()), 5),
            (29, 30, Some(()), 29),
            (20, 3, None, 3),
            (50, 30, None, 30),
            (500, u64::MAX, Some(()), 500),
        ] {
            let began = Instant::now();
            let answer = sleep(seconds(takes));
            let found = in_time(Some(&alarm), seconds(limit), || false, pin!(answer)).await;
            assert_eq!((found, began.elapsed()), (expected, seconds(waited)), "{takes}, {limit}");
        }
    }
}
