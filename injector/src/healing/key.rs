//! Names of a fixed size.

use sha2::{Digest, Sha256};

/// Stands for the uid of an object, which may be of any length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u128);

impl Key {
    pub(super) fn of(uid: &str) -> Self {
        let digest = Sha256::digest(uid.as_bytes());
        Self(digest.iter().take(16).fold(0, |key, byte| (key << 8) | u128::from(*byte)))
    }
}
