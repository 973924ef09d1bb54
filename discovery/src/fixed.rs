//! A source that was told everything beforehand: for hosts without a registry, and for tests.

use std::sync::Arc;

use mesh::{Service, ServiceKey, Snapshot};
use tokio::sync::watch;

use crate::source::{Answer, Demand, Source, State};

/// Knows the services it was given, until it is given others.
///
/// ```
/// use discovery::{Answer, Fixed, Source};
/// use mesh::{Service, ServiceKey};
///
/// let key = ServiceKey::new("default", "ServiceB");
/// let source = Fixed::new([Service::new(key.clone(), [])]);
/// assert_eq!(source.demand(&key).now(), Some(Answer::Known));
/// source.change(|snapshot| snapshot.remove(&key));
/// assert_eq!(source.demand(&key).now(), Some(Answer::Unknown));
/// ```
#[derive(Debug)]
pub struct Fixed {
    snapshot: watch::Sender<Arc<Snapshot>>,
    state: watch::Sender<State>,
}

impl Fixed {
    /// A source of these services.
    pub fn new(services: impl IntoIterator<Item = Service>) -> Self {
        let mut snapshot = Snapshot::default();
        for service in services {
            snapshot.put(service);
        }
        Self {
            snapshot: watch::Sender::new(Arc::new(snapshot)),
            state: watch::Sender::new(State::Connected),
        }
    }

    /// Publishes what `change` makes of the last snapshot, if it says that it changed something.
    pub fn change(&self, change: impl FnOnce(&mut Snapshot) -> bool) {
        self.snapshot.send_if_modified(|snapshot| change(Arc::make_mut(snapshot)));
    }
}

impl Source for Fixed {
    fn demand(&self, key: &ServiceKey) -> Demand {
        let known = self.snapshot.borrow().get(key).is_some();
        Demand::answered(if known { Answer::Known } else { Answer::Unknown })
    }

    fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }
}
