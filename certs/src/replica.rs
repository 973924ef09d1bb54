//! Servers that share a store: one of them writes.

use tokio::sync::watch;

use crate::self_issued::Trust;

/// What a server that shares its store with others is told while it runs.
#[derive(Debug, Clone)]
pub struct Replica {
    /// Whether this one writes; the others serve what it has written. Who told is gone: no.
    pub writes: watch::Receiver<bool>,
    /// What the clients of all of them trust.
    pub trust: watch::Receiver<Trust>,
}

impl Replica {
    /// What holds now, and from which [`Self::changed`] differs.
    pub(crate) fn told(&mut self) -> (bool, Trust) {
        let writes = *self.writes.borrow_and_update() && self.writes.has_changed().is_ok();
        (writes, self.trust.borrow_and_update().clone())
    }

    /// Waits until something else is told. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        tokio::select! {
            () = heard(&mut self.writes) => {}
            () = heard(&mut self.trust) => {}
        }
    }
}

/// Whoever is gone tells nothing any more.
async fn heard<T>(told: &mut watch::Receiver<T>) {
    if told.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
