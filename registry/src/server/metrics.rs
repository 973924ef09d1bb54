//! What Prometheus gets to see.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::store::Usage;

/// Bounds in seconds. With a data file a change waits for the disk, some milliseconds.
const DURATIONS: [f64; 10] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 1.0];

/// All metrics, with the registry that writes them out.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Code, Counter>,
    duration: Histogram,
    heartbeats: Counter,
    expired: Counter,
    taken: Counter,
    refused: Counter,
    services: Gauge,
    instances: Gauge,
    bytes: Gauge,
    watchers: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: u16,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("service_registry"),
            requests: Family::default(),
            duration: Histogram::new(DURATIONS),
            heartbeats: Counter::default(),
            expired: Counter::default(),
            taken: Counter::default(),
            refused: Counter::default(),
            services: Gauge::default(),
            instances: Gauge::default(),
            bytes: Gauge::default(),
            watchers: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// Counts the answer to a request.
    pub(crate) fn answered(&self, code: u16, took: Duration) {
        self.requests.get_or_create(&Code { code }).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts heartbeats of instances that are registered.
    pub(crate) fn heartbeats(&self, count: usize) {
        self.heartbeats.inc_by(count as u64);
    }

    /// Counts instances whose lease ended.
    pub(super) fn expired(&self, count: usize) {
        self.expired.inc_by(count as u64);
    }

    /// Counts a connection.
    pub(super) fn connection_taken(&self) {
        self.taken.inc();
    }

    /// Counts a connection that there was no room for.
    pub(super) fn connection_refused(&self) {
        self.refused.inc();
    }

    /// Sets the gauges.
    pub(crate) fn show(&self, usage: Usage, watchers: usize) {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.services.set(count(usage.services));
        self.instances.set(count(usage.instances));
        self.bytes.set(count(usage.bytes));
        self.watchers.set(count(watchers));
    }

    /// The OpenMetrics text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("writing to a string never fails");
        text
    }

    fn register(&mut self) {
        let to = &mut self.registry;
        to.register("requests", "Answered requests, by status", self.requests.clone());
        to.register_with_unit(
            "request_duration",
            "From the head of a request to its answer",
            Unit::Seconds,
            self.duration.clone(),
        );
        to.register("heartbeats", "Heartbeats of registered instances", self.heartbeats.clone());
        to.register(
            "instances_expired",
            "Instances whose lease ended without a heartbeat",
            self.expired.clone(),
        );
        to.register("connections_accepted", "Connections taken", self.taken.clone());
        to.register(
            "connections_refused",
            "Connections closed at once, as all others were busy",
            self.refused.clone(),
        );
        to.register("services", "Registered versions of services", self.services.clone());
        to.register("instances", "Registered instances", self.instances.clone());
        to.register_with_unit(
            "records",
            "Length of all records, which --max-bytes bounds",
            Unit::Bytes,
            self.bytes.clone(),
        );
        to.register("watchers", "Open watches", self.watchers.clone());
    }
}
