//! Sharing out by weight, evenly at any moment.

/// The longest order that is laid out; weights that need more are rounded.
const LONGEST: u64 = 1000;

/// Who is next, by weight: the order of smooth weighted round robin, laid out once. Nothing is
/// counted but turns, so threads need agree on no more than whose turn it is.
///
/// ```
/// use mesh::route::Shares;
/// let shares = Shares::new(&[80, 20]).unwrap();
/// let taken: Vec<usize> = (0..5).map(|turn| shares.at(turn)).collect();
/// assert_eq!(taken, [0, 0, 1, 0, 0]);
/// assert!(Shares::new(&[0]).is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares(Box<[u16]>);

impl Shares {
    /// Shares by these weights; `None`: nobody has any.
    pub fn new(weights: &[u32]) -> Option<Self> {
        let weights: Vec<u64> = weights.iter().map(|weight| u64::from(*weight)).collect();
        let total: u64 = weights.iter().sum();
        let divisor = weights.iter().copied().fold(0, gcd);
        if total == 0 {
            return None;
        }
        let weights: Vec<i64> = weights
            .iter()
            .map(|weight| {
                let share = if total / divisor <= LONGEST {
                    weight / divisor
                } else {
                    // Whoever has a share keeps one.
                    ((weight * LONGEST + total / 2) / total).max(u64::from(*weight > 0))
                };
                i64::try_from(share).unwrap_or(0)
            })
            .collect();
        let total: i64 = weights.iter().sum();
        let mut due = vec![0; weights.len()];
        let order = (0..total).map(|_| {
            for (due, weight) in due.iter_mut().zip(&weights) {
                *due += weight;
            }
            let most = due.iter().copied().max().unwrap_or(0);
            let next = due.iter().position(|due| *due == most).unwrap_or(0);
            due[next] -= total;
            u16::try_from(next).unwrap_or(u16::MAX)
        });
        Some(Self(order.collect()))
    }

    /// Who has one turn after the other, of one round.
    pub fn order(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().map(|place| usize::from(*place))
    }

    /// Who has the turn.
    pub fn at(&self, turn: usize) -> usize {
        self.0[turn % self.0.len()].into()
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Shares;

    proptest! {
        #[test]
        fn everybody_gets_what_is_due(
            weights in proptest::collection::vec(0..40_u32, 1..6),
            start in 0..10_000_usize,
        ) {
            let total: u32 = weights.iter().sum();
            let Some(shares) = Shares::new(&weights) else {
                prop_assert_eq!(total, 0);
                return Ok(());
            };
            let mut taken = vec![0; weights.len()];
            for turn in start..start + total as usize {
                taken[shares.at(turn)] += 1;
            }
            prop_assert_eq!(&taken, &weights, "from any turn on");
        }

        #[test]
        fn nobody_waits_for_long(first in 1..100_u32) {
            let shares = Shares::new(&[first, 100 - first]).unwrap();
            let mut taken = 0;
            for turn in 0..100_u32 {
                taken += u32::from(shares.at(turn as usize) == 0);
                let due = (turn + 1) * first;
                prop_assert!((taken * 100).abs_diff(due) <= 100, "{taken} after {turn}");
            }
        }
    }

    #[test]
    fn large_weights_are_rounded_and_small_ones_kept() {
        let shares = Shares::new(&[u32::MAX, 1]).unwrap();
        let taken = (0..1001).filter(|turn| shares.at(*turn) == 1).count();
        assert_eq!(taken, 1);
    }
}
