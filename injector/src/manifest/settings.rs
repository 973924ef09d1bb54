//! What holds for every file.

use crate::policy::Policy;

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What holds for every pod.
    pub policy: Policy,
    /// The namespace of objects that name none.
    pub namespace: String,
    /// Print a document anew where it cannot be edited in place.
    pub reformat: bool,
}
