//! From the first signal to the exit: which phase the server is in, and who brings it on.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// What the server does at the moment; it only ever moves on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Serving.
    Serving,
    /// Serving still, but `/readyz` says no, so that callers go elsewhere.
    Leaving,
    /// No new connection; open ones finish what is under way.
    Closing,
}

/// The phase, for whoever wants to know or to wait.
#[derive(Debug, Clone)]
pub(super) struct Lifecycle(Arc<watch::Sender<Phase>>);

impl Lifecycle {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Serving)))
    }

    pub(super) fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let later = phase > *now;
            *now = phase.max(*now);
            later
        });
    }

    /// Returns when `phase` is reached.
    pub(super) async fn reached(&self, phase: Phase) {
        // The sender lives in `self`, so the channel is never closed.
        let _ = self.0.subscribe().wait_for(|now| *now >= phase).await;
    }
}

/// SIGTERM and SIGINT, from whenever they are first asked for.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The name of the next signal.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Waits for `time`; `false`: another signal came first, somebody is in a hurry.
    pub(super) async fn wait(&mut self, time: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            _ = self.next() => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_only_move_on() {
        let lifecycle = Lifecycle::new();
        lifecycle.enter(Phase::Closing);
        lifecycle.enter(Phase::Leaving);
        assert_eq!(lifecycle.phase(), Phase::Closing);
        lifecycle.reached(Phase::Leaving).await;
        lifecycle.reached(Phase::Closing).await;
    }
}
