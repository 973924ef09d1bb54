//! How much a URL may ask for.
//!
//! A URL names every call that it causes, so its cost is known before the first of them is made:
//! each level of it is one command, and every call of a level makes those of the next.

use super::Chain;

/// What one URL may cause, counted from the service that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Services one behind the other.
    pub depth: u64,
    /// Calls in all.
    pub calls: u64,
}

/// What one URL causes, if every service called reads it as this one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Services one behind the other.
    pub depth: u64,
    /// Calls in all; `u64::MAX` stands for more than can be counted.
    pub calls: u64,
}

/// Why a URL is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// Too many services one behind the other: most often a loop.
    #[error("it is {depth} calls deep, and {bound} are allowed (-maxDepth)")]
    Depth {
        /// How deep it is.
        depth: u64,
        /// How deep it may be.
        bound: u64,
    },
    /// Too many calls in all: every level multiplies them.
    #[error("it makes {calls} calls in all, and {bound} are allowed (-maxCalls)")]
    Calls {
        /// How many it makes.
        calls: u64,
        /// How many it may make.
        bound: u64,
    },
}

impl TooLarge {
    /// The reason in one word, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Depth { .. } => "too_deep",
            Self::Calls { .. } => "too_many_calls",
        }
    }
}

impl Size {
    /// Counts what `chain` and all that comes of it cause.
    pub fn of(chain: &Chain) -> Self {
        let mut size = Self::default();
        // The calls of one level are made by each call of the level above.
        let mut callers: u64 = 1;
        let mut level = Some(chain);
        let mut next;
        while let Some(chain) = level {
            let calls: usize = chain.groups.iter().map(Vec::len).sum();
            callers = callers.saturating_mul(calls as u64);
            size.calls = size.calls.saturating_add(callers);
            size.depth += 1;
            next = Chain::parse(&chain.remainder);
            level = next.as_ref();
        }
        size
    }
}

impl Bounds {
    /// Refuses what is larger than allowed.
    pub fn check(&self, chain: &Chain) -> Result<(), TooLarge> {
        let Size { depth, calls } = Size::of(chain);
        if depth > self.depth {
            return Err(TooLarge::Depth { depth, bound: self.depth });
        }
        if calls > self.calls {
            return Err(TooLarge::Calls { calls, bound: self.calls });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chain::Step;

    fn size(target: &str) -> (u64, u64) {
        let size = Chain::parse(target).map(|chain| Size::of(&chain)).unwrap_or_default();
        (size.depth, size.calls)
    }

    #[test]
    fn sizes() {
        let table = [
            ("/", (0, 0)),
            ("/@a/", (1, 1)),
            ("/@a/b/@c/", (1, 1)),
            ("/@a/@b/@c/", (3, 3)),
            ("/@a,b|c/x", (1, 3)),
            ("/@service1|service2/@service3|service4/uri/", (2, 6)),
            ("/%40a%7Cb/%40c%7Cd/", (2, 6)),
            ("/@a,b/@c,d/@e,f/?/@g/", (3, 14)),
            // What is faulty still takes its place in the answer.
            ("/@,,/@a/", (2, 6)),
        ];
        for (target, expected) in table {
            assert_eq!(size(target), expected, "{target}");
        }
    }

    #[test]
    fn a_bomb_is_counted_not_set_off() {
        let bomb = "/@s,s,s,s,s,s,s,s".repeat(4000);
        assert_eq!(size(&bomb), (4000, u64::MAX));
    }

    #[test]
    fn the_bounds_are_allowed_and_one_more_is_not() {
        let bounds = Bounds { depth: 2, calls: 6 };
        let check = |target| bounds.check(&Chain::parse(target).unwrap());
        assert_eq!(check("/@a|b/@c|d/"), Ok(()));
        assert_eq!(check("/@a/@a/@a/"), Err(TooLarge::Depth { depth: 3, bound: 2 }));
        assert_eq!(check("/@a|b/@c|d,e/"), Err(TooLarge::Calls { calls: 8, bound: 6 }));
    }

    /// The calls that services would make, by making them.
    fn walk(target: &str) -> u64 {
        let Some(chain) = Chain::parse(target) else { return 0 };
        let steps: Vec<&Step> = chain.groups.iter().flatten().collect();
        steps.len() as u64 + steps.iter().map(|_| walk(&chain.remainder)).sum::<u64>()
    }

    proptest! {
        #[test]
        fn the_count_is_what_services_would_do(target in "(/@[ab|,]{1,4}){0,4}(/x)?(/@a)?") {
            prop_assert_eq!(size(&target).1, walk(&target));
        }
    }
}
