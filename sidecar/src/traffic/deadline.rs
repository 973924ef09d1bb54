//! How long a request may take.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::timeout;

/// Waits for `answer`, until for as long as `limit` neither it came nor anything `moved` on the
/// way there: a long upload takes the time it takes. `None`: it did not come.
///
/// The answer is pinned by the caller: a future that is moved in is kept room for twice.
pub(crate) async fn in_time<T>(
    limit: Duration,
    moved: impl Fn() -> bool,
    mut answer: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    loop {
        match timeout(limit, answer.as_mut()).await {
            Ok(answer) => return Some(answer),
            Err(_) if moved() => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::in_time;

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
            let found = in_time(seconds(30), moved, pin!(answer)).await;
            assert_eq!((found, began.elapsed()), (expected, seconds(waited)), "{takes} s");
        }
    }
}
