//! Calls to service-center, counted.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::error::Error;

/// What happened between the proxy and service-center.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    calls: Family<Label, Counter>,
    pub(super) events: Counter,
    pub(super) watch_connections: Counter,
    pub(super) amnesia: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    operation: &'static str,
    result: &'static str,
}

impl Metrics {
    /// Lets `registry` write them out.
    pub fn register(&self, registry: &mut Registry) {
        let calls = "Calls to service-center, by operation and result";
        registry.register("service_center_calls", calls, self.calls.clone());
        let events = "Changes of instances that service-center pushed";
        registry.register("service_center_events", events, self.events.clone());
        let watches = "Connections opened to listen for changes";
        registry.register("service_center_watches", watches, self.watch_connections.clone());
        let amnesia = "Times service-center had forgotten our registration, and what it said of \
            others was not believed";
        registry.register("service_center_amnesia", amnesia, self.amnesia.clone());
    }

    pub(super) fn count(&self, operation: &'static str, error: Option<&Error>) {
        let result = match error {
            None => "ok",
            Some(Error::Unreachable { .. }) => "unreachable",
            Some(Error::Refused { .. }) => "refused",
            Some(Error::Unreadable { .. } | Error::Address { .. }) => "unreadable",
        };
        self.calls.get_or_create(&Label { operation, result }).inc();
    }
}
