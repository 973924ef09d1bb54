//! What was found, for the metric and the status.

use std::collections::BTreeMap;

use super::calm::Hold;

/// How the pods of the cluster stand, as this replica sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Whether this replica looks and has seen every pod: it leads, and may read them.
    pub complete: bool,
    /// How many pods asked and have no sidecar, by reason: the reason code of the decision, or the
    /// code of the finding of `check`.
    pub lacking: BTreeMap<&'static str, u64>,
    /// How many of them are to be evicted, as far as it is known yet.
    pub waiting: usize,
    /// Why none is evicted for the moment.
    pub hold: Option<Hold>,
    /// Why pods cannot be followed; `None` when they can.
    pub error: Option<String>,
}
