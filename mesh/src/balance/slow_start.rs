//! Endpoints that have just come get their share by and by.

use std::time::Duration;

/// The least share of one that has just come, of a hundred: without any it would never show how it
/// is.
const LEAST: u32 = 10;

/// Whether one that came `age` ago takes the request that is its turn, where endpoints have `window`
/// to warm up. Its share grows evenly to the whole.
pub fn is_warm(age: Duration, window: Duration, random: u64) -> bool {
    if age >= window {
        return true;
    }
    let share = age.as_secs_f64() / window.as_secs_f64() * 100.0;
    let share = share.max(f64::from(LEAST));
    f64::from(u32::try_from(random % 10_000).unwrap_or(0)) < share * 100.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::is_warm;

    #[test]
    fn the_share_grows() {
        let window = Duration::from_secs(100);
        for (age, share) in [(0, 10), (5, 10), (25, 25), (50, 50), (99, 99), (100, 100), (500, 100)]
        {
            let warm =
                (0..10_000).filter(|n| is_warm(Duration::from_secs(age), window, *n)).count();
            assert_eq!(warm, share * 100, "{age} s");
        }
    }
}
