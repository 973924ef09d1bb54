//! Faults on purpose: some requests wait, some are answered with an error.

use std::time::Duration;

/// What is done to requests. A share is of a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fault {
    /// The share of those that wait, and for how long.
    pub delay: Option<(u32, Duration)>,
    /// The share of those that are answered with a status.
    pub abort: Option<(u32, u16)>,
}

/// What is done to one request: first it waits, then it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Injected {
    /// So long it waits.
    pub delay: Option<Duration>,
    /// It is answered with this status.
    pub abort: Option<u16>,
}

impl Fault {
    /// All of what shares are of.
    pub const WHOLE: u32 = 1_000_000;

    /// Whether anything is done to any request.
    pub fn is_on(&self) -> bool {
        self.delay.is_some() || self.abort.is_some()
    }

    /// What `random` makes of a request. Whether it waits says nothing of whether it is answered.
    pub fn draw(&self, random: u64) -> Injected {
        let hits =
            |share: u32, random: u64| ((random & 0xffff_ffff) * 1_000_000) >> 32 < share.into();
        Injected {
            delay: self.delay.filter(|(share, _)| hits(*share, random)).map(|(_, wait)| wait),
            abort: self.abort.filter(|(share, _)| hits(*share, random >> 32)).map(|(_, it)| it),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Fault, Injected};

    #[test]
    fn shares_are_what_they_say() {
        let wait = Duration::from_millis(5);
        for share in [0, 10, 50, 100_u32] {
            let part = share * Fault::WHOLE / 100;
            let fault = Fault { delay: Some((part, wait)), abort: Some((part, 421)) };
            // Every hundredth of either half, against each other.
            let (mut delayed, mut aborted, mut both) = (0, 0, 0);
            for (a, b) in (0..100_u64).flat_map(|a| (0..100).map(move |b| (a, b))) {
                let of = |n: u64| (n << 32) / 100 + 1;
                let Injected { delay, abort } = fault.draw(of(a) | of(b) << 32);
                delayed += u32::from(delay == Some(wait));
                aborted += u32::from(abort == Some(421));
                both += u32::from(delay.is_some() && abort.is_some());
            }
            assert_eq!((delayed, aborted, both), (share * 100, share * 100, share * share));
        }
        assert_eq!(Fault::default().draw(0), Injected::default());
    }
}
