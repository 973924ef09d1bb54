//! Looks names up, over and over, for clusters whose endpoints are names.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::net::lookup_host;
use tokio::time::{Instant, sleep_until};

use super::members::Name;

/// How soon a name is looked up again that was not found.
const AGAIN: Duration = Duration::from_secs(5);

/// The names that are followed.
#[derive(Default)]
pub(super) struct Lookups {
    wanted: HashMap<Name, Duration>,
    running: FuturesUnordered<BoxFuture<'static, (Name, Option<Vec<SocketAddr>>)>>,
    /// Names that are being looked up or will be.
    scheduled: HashSet<Name>,
}

impl Lookups {
    /// These names are wanted, each as often as is said; others not any more.
    pub(super) fn want(&mut self, names: HashMap<Name, Duration>) {
        self.wanted = names;
        let new: Vec<Name> =
            self.wanted.keys().filter(|name| !self.scheduled.contains(*name)).cloned().collect();
        for name in new {
            self.schedule(name, Instant::now());
        }
    }

    fn schedule(&mut self, name: Name, at: Instant) {
        self.scheduled.insert(name.clone());
        self.running.push(Box::pin(async move {
            sleep_until(at).await;
            let found = lookup_host((&*name.host, name.port)).await;
            let addresses = found.ok().map(Iterator::collect);
            (name, addresses)
        }));
    }

    /// The next answer: nothing where a name was not found. Waits for ever while nothing is wanted.
    pub(super) async fn next(&mut self) -> (Name, Option<Vec<SocketAddr>>) {
        loop {
            let Some((name, addresses)) = self.running.next().await else {
                return std::future::pending().await;
            };
            let Some(refresh) = self.wanted.get(&name).copied() else {
                self.scheduled.remove(&name);
                continue;
            };
            let wait = if addresses.is_some() { refresh } else { AGAIN.min(refresh) };
            self.schedule(name.clone(), Instant::now() + wait);
            return (name, addresses);
        }
    }
}
