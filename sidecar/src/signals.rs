//! The end, as Kubernetes and people bring it about.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use crate::lifecycle::Phase;
use crate::proxy::Proxy;

impl Proxy {
    /// Serves until SIGTERM or SIGINT; returns when everything in flight is answered or its time
    /// is over.
    ///
    /// On SIGTERM an instance that others know, and that was not drained before, is drained
    /// first. A second signal skips whatever is being waited for; SIGINT is somebody at a
    /// terminal, who does not wait to begin with.
    pub async fn until_signalled(self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let patient = tokio::select! {
            _ = terminate.recv() => true,
            _ = interrupt.recv() => false,
        };
        tracing::info!(signal = if patient { "SIGTERM" } else { "SIGINT" }, "ending");
        let mut again = std::pin::pin!(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        let is_known = !self.addresses().provider.is_empty();
        if patient && is_known && self.lifecycle().phase() < Phase::Draining {
            tokio::select! {
                () = self.drain() => {}
                () = &mut again => return Ok(()),
            }
        }
        tokio::select! {
            () = self.shutdown() => {}
            () = &mut again => {}
        }
        Ok(())
    }
}
