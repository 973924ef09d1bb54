//! Revisions: a text that is the same as long as what would be answered is the same.

use sha1::{Digest, Sha1};

use crate::model::{Instance, hex};

/// The revision of no instances at all, as recorded from a service-center.
pub const EMPTY: &str = "97784746be9a2d00f08bc72fe1ce5ff8c7d07ffe";

/// Stands for the content of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint([u8; 20]);

impl Fingerprint {
    /// The fingerprint of a record and its length on the wire.
    pub(super) fn of(instance: &Instance) -> (Self, usize) {
        let text = serde_json::to_vec(instance).expect("a record of texts and numbers");
        (Self(Sha1::digest(&text).into()), text.len())
    }
}

/// The revision of a set of instances, in whatever order they come.
pub fn revision(mut fingerprints: Vec<Fingerprint>) -> String {
    if fingerprints.is_empty() {
        return EMPTY.into();
    }
    fingerprints.sort_unstable();
    let mut digest = Sha1::new();
    for Fingerprint(bytes) in &fingerprints {
        digest.update(bytes);
    }
    hex(&digest.finalize())
}
