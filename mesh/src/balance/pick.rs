//! Choosing by what endpoints have shown.

/// Of two that are drawn by `random`, the one that costs less; of `count`, which is not 0. Looking
/// at all of them would send everybody to the same one.
pub fn lesser_of_two(random: u64, count: usize, cost: impl Fn(usize) -> f64) -> usize {
    let draw = |random: u64, below: usize| {
        let below = u64::try_from(below).unwrap_or(u64::MAX).max(1);
        usize::try_from(((random & 0xffff_ffff) * below) >> 32).unwrap_or(0)
    };
    let first = draw(random, count);
    if count < 2 {
        return first;
    }
    let other = draw(random >> 32, count - 1);
    let second = if other >= first { other + 1 } else { other };
    if cost(second) < cost(first) { second } else { first }
}

/// The fastest of `count` for seven of ten, whose `turn` it is for the rest, and as long as nothing
/// is known.
pub fn fastest_mostly(
    random: u64,
    turn: usize,
    count: usize,
    seconds: impl Fn(usize) -> Option<f64>,
) -> usize {
    let known = (0..count).filter_map(|index| Some((index, seconds(index)?)));
    let fastest = known.min_by(|a, b| a.1.total_cmp(&b.1));
    match fastest {
        Some((index, _)) if random % 10 < 7 => index,
        _ => turn % count.max(1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{fastest_mostly, lesser_of_two};

    proptest! {
        #[test]
        fn one_of_them_is_chosen_and_never_the_most_costly(random: u64, count in 1..20_usize) {
            let cost = |index: usize| f64::from(u32::try_from(index).unwrap());
            let chosen = lesser_of_two(random, count, cost);
            prop_assert!(chosen < count);
            prop_assert!(count == 1 || chosen + 1 < count);
            let chosen = fastest_mostly(random, 7, count, |index| Some(cost(index)));
            let expected = if random % 10 < 7 { 0 } else { 7 % count };
            prop_assert_eq!(chosen, expected);
        }
    }
}
