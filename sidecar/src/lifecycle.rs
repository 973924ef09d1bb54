//! From the start to the exit: which phase the proxy is in.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// How long a draining proxy goes on serving at the least: others learn late that the instance is
/// gone, and a registry shows a deleted one for a while.
pub(crate) const GOODBYE: Duration = Duration::from_secs(3);

/// What the proxy does at the moment; it only ever moves on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Serving,
    /// Serving still, but not ready: the instance is to be DOWN, and every response asks its
    /// client to take another connection.
    Draining,
    /// The listeners are emptied and closed; what is in flight finishes. The instance is to be
    /// deleted.
    Closing,
    /// Nothing is in flight any more.
    Closed,
}

/// The phase, for whoever wants to know or to wait.
#[derive(Debug, Clone)]
pub struct Lifecycle(Arc<watch::Sender<Phase>>);

impl Default for Lifecycle {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Serving)))
    }
}

impl Lifecycle {
    /// The phase at this moment.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Moves on to `phase`; what is past stays past.
    pub fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let later = phase > *now;
            *now = phase.max(*now);
            later
        });
    }

    /// Returns when `phase` is reached.
    pub async fn reached(&self, phase: Phase) {
        // The sender lives in `self`, so the channel is never closed.
        let _ = self.0.subscribe().wait_for(|now| *now >= phase).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Lifecycle, Phase};

    #[tokio::test]
    async fn phases_only_move_on() {
        let lifecycle = Lifecycle::default();
        lifecycle.enter(Phase::Closing);
        lifecycle.enter(Phase::Draining);
        assert_eq!(lifecycle.phase(), Phase::Closing);
        lifecycle.reached(Phase::Draining).await;
        lifecycle.reached(Phase::Closing).await;
    }
}
