//! Requests and failures of a while, counted by all threads in one number.

use std::sync::atomic::{AtomicU64, Ordering};

/// The most that half of the number holds.
const MOST: u64 = 0xffff;

/// Which while (32 bits), requests (16), failures (16). A while is whatever the caller numbers:
/// seconds, or tens of them.
#[derive(Debug, Default)]
pub(crate) struct Tally(AtomicU64);

impl Tally {
    /// One more request, of the while `of`; those of another are forgotten.
    pub(crate) fn count(&self, of: u64, success: bool) {
        let step = |old| {
            let (was, requests, failures) = unpack(old);
            let (requests, failures) = if was == of { (requests, failures) } else { (0, 0) };
            Some(pack(of, requests + 1, failures + u64::from(!success)))
        };
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
    }

    /// Which while it is of, its requests and failures.
    pub(crate) fn get(&self) -> (u64, u64, u64) {
        unpack(self.0.load(Ordering::Relaxed))
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

fn pack(of: u64, requests: u64, failures: u64) -> u64 {
    // Halved together at the top, the share of failures stays what it was.
    let (requests, failures) =
        if requests > MOST { (requests / 2, failures / 2) } else { (requests, failures) };
    (of & 0xffff_ffff) << 32 | requests << 16 | failures
}

fn unpack(number: u64) -> (u64, u64, u64) {
    (number >> 32, number >> 16 & MOST, number & MOST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Tally;

    #[test]
    fn another_while_begins_at_nothing() {
        let tally = Tally::default();
        tally.count(7, false);
        tally.count(7, true);
        assert_eq!(tally.get(), (7, 2, 1));
        tally.count(8, true);
        assert_eq!(tally.get(), (8, 1, 0));
        tally.clear();
        assert_eq!(tally.get(), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn counts_stay_in_proportion_however_many(requests in 0..300_000_u64) {
            let tally = Tally::default();
            for i in 0..requests {
                tally.count(3, i % 4 == 0);
            }
            let (_, counted, failures) = tally.get();
            prop_assert!(counted <= requests && failures <= counted);
            if counted > 100 {
                let share = failures * 100 / counted;
                prop_assert!((74..=76).contains(&share), "{share} %");
            }
        }
    }
}
