//! Consistent hashing on a ring (Karger et al., 1997), as Envoy's `RING_HASH`.

use super::affinity::{hash, mixed};

/// Points of one endpoint: with fewer, some get far more than their share.
const POINTS: usize = 160;
/// Points of all together.
const MOST: usize = 64 << 10;

/// Where endpoints are on the ring.
#[derive(Debug, Clone, Default)]
pub struct Ring(Box<[(u64, u32)]>);

impl Ring {
    /// A ring of endpoints, by their names.
    pub fn new<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> Self {
        let each = (MOST / names.len().max(1)).clamp(1, POINTS) as u64;
        let mut points: Vec<(u64, u32)> = (0..)
            .zip(names)
            .flat_map(|(index, name)| {
                let name = hash(name.as_bytes());
                (0..each).map(move |point| (mixed(name.wrapping_add(mixed(point + 1))), index))
            })
            .collect();
        points.sort_unstable();
        Self(points.into())
    }

    /// Who is next on the ring; `None`: it is empty.
    pub fn find(&self, hash: u64) -> Option<usize> {
        let at = self.0.partition_point(|(point, _)| *point < hash);
        let (_, index) = self.0.get(at).or_else(|| self.0.first())?;
        usize::try_from(*index).ok()
    }
}
