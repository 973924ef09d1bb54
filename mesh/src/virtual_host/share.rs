//! A share of all requests.

use std::fmt;

/// So many of a million. What a rule asks for a share of requests is decided by a number that the
/// caller has drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

impl Share {
    /// Every request.
    pub const ALL: Self = Self(1_000_000);
    /// None of them.
    pub const NONE: Self = Self(0);

    /// So many of a million; more than that is all.
    pub const fn of_million(count: u32) -> Self {
        if count > Self::ALL.0 { Self::ALL } else { Self(count) }
    }

    /// How many of a million.
    pub const fn of_all(self) -> u32 {
        self.0
    }

    /// Whether a request is among them, by a number drawn from the whole range of `u64`.
    ///
    /// ```
    /// use mesh::virtual_host::Share;
    /// assert!(Share::ALL.has(u64::MAX) && !Share::NONE.has(0));
    /// assert!(Share::of_million(500_000).has(u64::MAX / 2 - 1));
    /// assert!(!Share::of_million(500_000).has(u64::MAX / 2 + 1));
    /// ```
    pub fn has(self, draw: u64) -> bool {
        // The upper half of the product is a number below a million.
        (u128::from(draw) * u128::from(Self::ALL.0)) >> 64 < u128::from(self.0)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 10_000.0)
    }
}
