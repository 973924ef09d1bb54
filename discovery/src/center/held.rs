//! What a center holds, as far as it is known.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::Revision;

/// One key.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    /// As it was written.
    pub key: String,
    /// Text, whatever it means.
    pub value: String,
    /// Whether the value is a document of YAML (or JSON, which is YAML) rather than one value.
    pub yaml: bool,
}

/// Without the value: it may be a secret.
impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What one layer holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layer {
    /// What it is called.
    pub name: Arc<str>,
    /// What was last answered.
    pub items: Arc<[Item]>,
    /// The state that was answered for.
    pub revision: Option<Revision>,
    /// When it last answered, changed or not.
    pub last_success: Option<SystemTime>,
    /// Why it does not answer, and since when.
    pub failing: Option<(SystemTime, String)>,
}

/// What a center holds. It stays while the center does not answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// What it is and where.
    pub center: Arc<str>,
    /// The most general first: of two that name one key the later wins.
    pub layers: Vec<Layer>,
    /// It grows with each change of the items.
    pub generation: u64,
}

impl Held {
    /// Whether every layer has answered or failed at least once.
    pub fn is_tried(&self) -> bool {
        self.layers.iter().all(|layer| layer.last_success.is_some() || layer.failing.is_some())
    }

    /// Since when some layer does not answer, and why.
    pub fn stale(&self) -> Option<&(SystemTime, String)> {
        self.layers.iter().filter_map(|layer| layer.failing.as_ref()).min_by_key(|it| it.0)
    }

    /// When the layer that has been silent for longest last answered; `None`: one never did.
    pub fn last_success(&self) -> Option<SystemTime> {
        let all: Option<Vec<_>> = self.layers.iter().map(|layer| layer.last_success).collect();
        all?.into_iter().min()
    }
}
