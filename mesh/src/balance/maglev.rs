//! Consistent hashing by a table (Eisenbud et al., "Maglev", NSDI 2016, §3.4).

use super::affinity::{hash, mixed};

/// Sizes of tables: primes. One that is a hundred times the endpoints is even to a percent.
const SIZES: [usize; 6] = [251, 1_021, 4_093, 16_381, 65_537, 262_147];

/// Whose each place is.
#[derive(Debug, Clone, Default)]
pub struct Maglev(Box<[u32]>);

impl Maglev {
    /// A table of endpoints, by their names.
    pub fn new<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> Self {
        const NOBODY: u32 = u32::MAX;
        let count = names.len();
        if count == 0 {
            return Self::default();
        }
        let fits = SIZES.into_iter().find(|size| *size >= count * 100);
        let size = fits.unwrap_or(SIZES[SIZES.len() - 1]);
        let modulo = |number: u64, by: usize| {
            usize::try_from(number % u64::try_from(by).unwrap_or(1)).unwrap_or(0)
        };
        // Each has an order of its own in which it wants the places.
        let mut wishes: Vec<(usize, usize)> = names
            .map(|name| {
                let name = hash(name.as_bytes());
                (modulo(name, size), modulo(mixed(name), size - 1) + 1)
            })
            .collect();
        let mut table = vec![NOBODY; size];
        let mut free = size;
        while free > 0 {
            for (index, (next, step)) in (0..).zip(&mut wishes) {
                while table[*next] != NOBODY {
                    *next = (*next + *step) % size;
                }
                table[*next] = index;
                free -= 1;
                if free == 0 {
                    break;
                }
            }
        }
        Self(table.into())
    }

    /// Whose place it is; `None`: there is nobody.
    pub fn find(&self, hash: u64) -> Option<usize> {
        let size = u64::try_from(self.0.len()).ok().filter(|size| *size > 0)?;
        usize::try_from(self.0[usize::try_from(hash % size).ok()?]).ok()
    }
}
