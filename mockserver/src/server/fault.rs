//! Which requests fail.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

/// A share of the requests, chosen by their number alone: with the same seed the same ones fail.
#[derive(Debug)]
pub struct FailRate {
    share: f64,
    seed: u64,
    count: AtomicU64,
}

impl FailRate {
    /// Fails `share` (0 to 1) of the requests; without a seed, not the same ones each time.
    pub fn new(share: f64, seed: Option<u64>) -> Self {
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(share.to_bits()));
        Self { share, seed, count: AtomicU64::new(0) }
    }

    /// The seed, to do it again.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The share.
    pub fn share(&self) -> f64 {
        self.share
    }

    /// Whether the request that has just come fails.
    pub fn next(&self) -> bool {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        unit(self.seed, number) < self.share
    }
}

/// The `number`th value of a sequence that is even in 0..1 (SplitMix64: Steele, Lea and Flood,
/// "Fast splittable pseudorandom number generators", 2014).
fn unit(seed: u64, number: u64) -> f64 {
    let mut bits = seed.wrapping_add((number.wrapping_add(1)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^= bits >> 31;
    // The upper 32 bits fit into an f64 as they are.
    f64::from(u32::try_from(bits >> 32).unwrap_or(u32::MAX)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(share: f64, seed: u64) -> Vec<bool> {
        let rate = FailRate::new(share, Some(seed));
        (0..10_000).map(|_| rate.next()).collect()
    }

    #[test]
    fn a_seed_chooses_the_same_ones() {
        assert_eq!(failures(0.3, 7), failures(0.3, 7));
        assert_ne!(failures(0.3, 7), failures(0.3, 8));
    }

    #[test]
    fn the_share_is_kept() {
        for (share, least, most) in
            [(0.0, 0, 0), (0.1, 900, 1100), (0.5, 4800, 5200), (1.0, 10_000, 10_000)]
        {
            let count = failures(share, 42).into_iter().filter(|failed| *failed).count();
            assert!((least..=most).contains(&count), "{share}: {count}");
        }
    }
}
