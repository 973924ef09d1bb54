//! The signals that end the program, and how long it takes its time.

use std::pin::pin;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::Error;

/// For how long open connections go on being served when the listeners have closed: their clients may
/// be sending, and what is closed on them may have been done or not.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Error> {
        let listen = |kind| {
            signal(kind).map_err(|source| Error::System { what: "a signal handler", source })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// The name of the next signal.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Waits for `time`, or until another signal comes: somebody is in a hurry.
    pub(super) async fn wait(&mut self, time: Duration) {
        self.or(time, std::future::pending::<()>()).await;
    }

    /// Waits for `work`, at most for `time` and not beyond another signal; whether it was done.
    pub(super) async fn or(&mut self, time: Duration, work: impl Future) -> bool {
        let mut work = pin!(timeout(time, work));
        tokio::select! {
            done = &mut work => done.is_ok(),
            _ = self.next() => false,
        }
    }
}

/// Whether listeners are to close, for whoever listens.
#[derive(Debug, Clone)]
pub(super) struct Closing(watch::Receiver<bool>);

impl Closing {
    /// The end, and the switch that brings it about.
    pub(super) fn new() -> (watch::Sender<bool>, Self) {
        let (switch, closing) = watch::channel(false);
        (switch, Self(closing))
    }

    /// Returns when listeners are to close.
    pub(super) async fn reached(&mut self) {
        // Without a switch there is nothing left to serve for either.
        let _ = self.0.wait_for(|closing| *closing).await;
    }
}

/// What happens after a signal, in words.
pub(super) fn plan(drain_delay: Duration, grace_time: Duration) -> String {
    let grace = humantime::format_duration(grace_time);
    let first = match drain_delay {
        Duration::ZERO => "the listeners close now".to_owned(),
        delay => format!("the listeners close in {}", humantime::format_duration(delay)),
    };
    format!("{first}, and what is under way has {grace} more; another signal ends it at once")
}
