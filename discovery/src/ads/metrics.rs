//! What goes on between the proxy and a control plane, counted.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::protocol::Kind;

/// Counters of streams and responses.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    responses: Family<Label, Counter>,
    pub(super) streams: Counter,
    pub(super) connected: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    kind: &'static str,
    result: &'static str,
}

impl Metrics {
    /// Lets `registry` write them out.
    pub fn register(&self, registry: &mut Registry) {
        let responses = "Responses of the control plane, by kind of resource and what they were \
            answered with";
        registry.register("xds_responses", responses, self.responses.clone());
        let streams = "Streams opened to the control plane";
        registry.register("xds_streams", streams, self.streams.clone());
        let connected = "Whether there is a stream on which the control plane has answered";
        registry.register("xds_connected", connected, self.connected.clone());
    }

    pub(super) fn count(&self, kind: Kind, refused: bool) {
        let result = if refused { "nack" } else { "ack" };
        self.responses.get_or_create(&Label { kind: kind.word(), result }).inc();
    }
}
