//! Who watches for which service, and telling them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use crate::model::Tenant;
use crate::store::{Change, Event, What};

/// How many messages may wait for a watcher that does not read. One that falls behind further is
/// cut off: it connects again, and finds.
const BACKLOG: usize = 1024;

/// All watchers.
#[derive(Debug, Default)]
pub(crate) struct Watchers(HashMap<(Tenant, String), Vec<Watcher>>);

#[derive(Debug)]
struct Watcher {
    messages: mpsc::Sender<Arc<str>>,
    gone: Arc<AtomicBool>,
}

/// One watcher's end. Dropped, it watches no more.
#[derive(Debug)]
pub struct Watch {
    messages: mpsc::Receiver<Arc<str>>,
    gone: Arc<AtomicBool>,
}

impl Watch {
    /// The next message; `None` when the watch is over.
    pub async fn next(&mut self) -> Option<Arc<str>> {
        self.messages.recv().await
    }

    /// Whether the service that it is for was deleted.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

impl Watchers {
    /// Adds a watcher for the service with id `consumer`.
    pub(crate) fn add(&mut self, tenant: &Tenant, consumer: &str) -> Watch {
        let (sender, messages) = mpsc::channel(BACKLOG);
        let gone = Arc::new(AtomicBool::new(false));
        let all = self.0.entry((tenant.clone(), consumer.to_owned())).or_default();
        all.retain(|watcher| !watcher.messages.is_closed());
        all.push(Watcher { messages: sender, gone: Arc::clone(&gone) });
        Watch { messages, gone }
    }

    /// How many watch.
    pub(crate) fn count(&self) -> usize {
        self.0.values().flatten().filter(|watcher| !watcher.messages.is_closed()).count()
    }

    /// Tells of events, in their order.
    pub(crate) fn tell(&mut self, events: Vec<Event>) {
        for Event { tenant, to, notice } in events {
            let mut text: Option<Arc<str>> = None;
            for consumer in to {
                let key = (tenant.clone(), consumer);
                let Some(watchers) = self.0.get_mut(&key) else {
                    continue;
                };
                let text = text.get_or_insert_with(|| {
                    let text = serde_json::to_string(&*notice);
                    text.expect("a record of texts and numbers").into()
                });
                watchers.retain(|watcher| watcher.messages.try_send(Arc::clone(text)).is_ok());
                if watchers.is_empty() {
                    self.0.remove(&key);
                }
            }
        }
    }

    /// Ends the watches for services that are gone.
    pub(crate) fn drop_gone(&mut self, changes: &[Change]) {
        for change in changes {
            if let What::ServiceGone { service } = &change.what {
                let watchers = self.0.remove(&(change.tenant.clone(), service.clone()));
                for watcher in watchers.into_iter().flatten() {
                    watcher.gone.store(true, Ordering::Relaxed);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_watcher_that_does_not_read_is_cut_off() {
        let mut watchers = Watchers::default();
        let (tenant, mut store) = (Tenant::standard(), crate::store::Store::default());
        let event = crate::store::sample_event(&mut store, &tenant);
        let consumer = event.to[0].clone();
        let mut slow = watchers.add(&tenant, &consumer);
        watchers.tell(vec![event.clone(); BACKLOG]);
        assert_eq!(watchers.count(), 1);
        watchers.tell(vec![event]);
        assert_eq!(watchers.count(), 0);
        let mut read = 0;
        while slow.next().await.is_some() {
            read += 1;
        }
        assert_eq!(read, BACKLOG, "what was queued is still told");
        assert!(!slow.is_gone());
    }

    #[tokio::test]
    async fn a_watch_ends_with_its_service() {
        let mut watchers = Watchers::default();
        let tenant = Tenant::standard();
        let mut watch = watchers.add(&tenant, "a");
        let mut other = watchers.add(&tenant, "b");
        let what = What::ServiceGone { service: "a".into() };
        watchers.drop_gone(&[Change { tenant, what }]);
        assert_eq!(watch.next().await, None);
        assert!(watch.is_gone());
        drop(watchers);
        assert_eq!(other.next().await, None);
        assert!(!other.is_gone());
    }
}
