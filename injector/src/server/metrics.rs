//! What Prometheus gets to see. Every series a review touches is resolved here, once.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::handshake::Failure;
use crate::healing::{Attempt, State};
use crate::kubernetes::State as CaBundleState;
use crate::outcome::Outcome;
use crate::reason::Reason;

/// Bounds in seconds, from 0.05 ms to 100 ms: a review takes well below a millisecond.
const DURATIONS: [f64; 11] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1];
const PATCH_SIZES: [f64; 6] = [1_024.0, 2_048.0, 4_096.0, 8_192.0, 16_384.0, 65_536.0];
/// The statuses a review can be answered with; anything else counts as the last.
const STATUSES: [u16; 8] = [200, 400, 408, 413, 415, 503, 504, 500];

/// All metrics, with the registry that writes them out.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    requests: [Counter; STATUSES.len()],
    injected: Counter,
    decisions: [Counter; Reason::ALL.len()],
    patch_bytes: Histogram,
    duration: Histogram,
    pub(super) gauges: Gauges,
    pub(super) connections: ConnectionCounters,
    pub(super) healing: HealingMetrics,
}

/// Gauges that are set when somebody asks, not on the way of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Gauges {
    pub(super) in_flight: Gauge,
    pub(super) memory: Gauge,
    pub(super) connections: Gauge,
    pub(super) generation: Gauge,
    pub(super) reload_failed: Gauge,
    pub(super) certificate_expiry: Gauge<f64, AtomicU64>,
    pub(super) native: Gauge,
    pub(super) version_known: Gauge,
    pub(super) ready: Gauge,
    pub(super) leader: Gauge,
    ca_bundle: Family<StateLabel, Gauge>,
}

/// What becomes of pods that asked and have no sidecar.
#[derive(Debug, Clone, Default)]
pub(super) struct HealingMetrics {
    looking: Gauge,
    lacking: Family<ReasonLabel, Gauge>,
    attempts: Family<ResultLabel, Counter>,
}

/// What happens to connections.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionCounters {
    pub(super) accepted: Counter,
    pub(super) evicted: Counter,
    handshake_failures: Family<FailureLabel, Counter>,
    pub(super) accept_failures: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decision {
    decision: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: u16,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("sidecar_injector");

        let requests = Family::<Code, Counter>::default();
        let decisions = Family::<Decision, Counter>::default();
        let (patch_bytes, duration) = (Histogram::new(PATCH_SIZES), Histogram::new(DURATIONS));
        let (gauges, connections) = (Gauges::default(), ConnectionCounters::default());
        let healing = HealingMetrics::default();
        registry.register("requests", "Requests for a review, by status", requests.clone());
        registry.register("decisions", "Reviews, by decision", decisions.clone());
        registry.register("patch_bytes", "Length of patches before base64", patch_bytes.clone());
        registry.register_with_unit(
            "review_duration",
            "From the head of a request to its answer",
            Unit::Seconds,
            duration.clone(),
        );
        gauges.register(&mut registry);
        connections.register(&mut registry);
        healing.register(&mut registry);

        let decision = |decision| decisions.get_or_create_owned(&Decision { decision });
        Self {
            requests: STATUSES.map(|code| requests.get_or_create_owned(&Code { code })),
            injected: decision("injected"),
            decisions: Reason::ALL.map(|reason| decision(reason.as_str())),
            patch_bytes,
            duration,
            gauges,
            connections,
            healing,
            registry,
        }
    }

    /// Counts the answer to a request.
    pub(super) fn answered(&self, status: StatusCode, took: Duration) {
        let at = STATUSES.iter().position(|code| *code == status.as_u16());
        self.requests[at.unwrap_or(STATUSES.len() - 1)].inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts a decision.
    pub(super) fn decided(&self, outcome: &Outcome, patch_bytes: usize) {
        match outcome {
            Outcome::Injected(_) => self.injected.inc(),
            Outcome::Skipped(skipped) => self.decisions[skipped.reason as usize].inc(),
            Outcome::Rejected(rejected) => self.decisions[rejected.reason as usize].inc(),
        };
        if patch_bytes > 0 {
            #[expect(clippy::cast_precision_loss, reason = "patches are shorter than 2^52 bytes")]
            self.patch_bytes.observe(patch_bytes as f64);
        }
    }

    /// Counts a review that was turned away.
    pub(super) fn overloaded(&self) {
        self.decisions[Reason::Overloaded as usize].inc();
    }

    /// The OpenMetrics text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("writing to a string never fails");
        text
    }
}

impl Gauges {
    /// Shows how `caBundle` stands: 1 for the one state, 0 for the others.
    pub(super) fn ca_bundle(&self, state: &CaBundleState) {
        for word in CaBundleState::WORDS {
            let label = StateLabel { state: word };
            self.ca_bundle.get_or_create(&label).set((word == state.as_str()).into());
        }
    }

    fn register(&self, to: &mut Registry) {
        to.register("reviews_in_flight", "Reviews under way", self.in_flight.clone());
        to.register_with_unit(
            "reviews_memory",
            "Memory that reviews under way are counted with",
            Unit::Bytes,
            self.memory.clone(),
        );
        to.register("connections", "Open connections to the webhook", self.connections.clone());
        to.register(
            "configuration_generation",
            "How often configuration and templates were put in force",
            self.generation.clone(),
        );
        to.register(
            "configuration_reload_failed",
            "1 while a newer configuration or template is not in force because it is faulty",
            self.reload_failed.clone(),
        );
        to.register_with_unit(
            "certificate_expiry_timestamp",
            "When the certificate in service ends, since 1970; 0 without one",
            Unit::Seconds,
            self.certificate_expiry.clone(),
        );
        to.register(
            "native_sidecar_default",
            "1 when sidecars are native unless a pod says otherwise",
            self.native.clone(),
        );
        to.register(
            "api_server_version_known",
            "1 when the API server told its version; 0 when plain sidecars are only assumed",
            self.version_known.clone(),
        );
        to.register(
            "ca_bundle_state",
            "1 for the state of caBundle in the webhook configuration; only `current` works, or \
             `unmanaged` where somebody else fills it",
            self.ca_bundle.clone(),
        );
        to.register(
            "leader",
            "1 where this replica writes certificates and caBundle: of all replicas one does",
            self.leader.clone(),
        );
        to.register("ready", "1 when /readyz says so", self.ready.clone());
    }
}

impl HealingMetrics {
    /// Counts an attempt to evict a pod.
    pub(super) fn attempted(&self, attempt: Attempt) {
        self.attempts.get_or_create(&ResultLabel { result: attempt.as_str() }).inc();
    }

    /// Shows what was found. A reason that is gone is 0; who does not look knows of none.
    pub(super) fn show(&self, state: &State) {
        self.looking.set(state.complete.into());
        // Two replicas may both have looked once: only what one sees now is to be counted.
        self.lacking.clear();
        for (reason, count) in &state.lacking {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.lacking.get_or_create(&ReasonLabel { reason }).set(count);
        }
    }

    fn register(&self, to: &mut Registry) {
        to.register(
            "healing_looking",
            "1 where this replica leads and sees every pod: without it, \
             pods_without_sidecar says nothing",
            self.looking.clone(),
        );
        to.register(
            "pods_without_sidecar",
            "Pods that asked for a sidecar and have none, by reason; `sidecar_missing`: it would get \
             one now",
            self.lacking.clone(),
        );
        to.register(
            "healing_attempts",
            "Attempts to evict a pod so that it comes back with its sidecar, by what became of them",
            self.attempts.clone(),
        );
        for attempt in Attempt::ALL {
            let _ = self.attempts.get_or_create(&ResultLabel { result: attempt.as_str() });
        }
    }
}

impl ConnectionCounters {
    /// Counts a handshake that failed.
    pub(super) fn unshaken(&self, failure: Failure) {
        let label = FailureLabel { reason: failure.as_str() };
        self.handshake_failures.get_or_create(&label).inc();
    }

    fn register(&self, to: &mut Registry) {
        to.register("connections_accepted", "Connections taken", self.accepted.clone());
        to.register(
            "connections_evicted",
            "Connections closed to make room for newer ones",
            self.evicted.clone(),
        );
        to.register(
            "tls_handshake_failures",
            "Connections that did not come to a TLS session, by reason; `rejected`: by the peer, \
             as when it does not trust the certificate",
            self.handshake_failures.clone(),
        );
        for failure in Failure::ALL {
            let label = FailureLabel { reason: failure.as_str() };
            let _ = self.handshake_failures.get_or_create(&label);
        }
        to.register(
            "accept_failures",
            "Connections that the system refused to hand over, as without file descriptors",
            self.accept_failures.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_series_from_the_start() {
        let metrics = Metrics::new();
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at, "the array is indexed by the variant");
        }
        metrics.overloaded();
        metrics.answered(StatusCode::IM_A_TEAPOT, Duration::from_micros(70));
        let text = metrics.text();
        for line in [
            "sidecar_injector_decisions_total{decision=\"injected\"} 0",
            "sidecar_injector_decisions_total{decision=\"overloaded\"} 1",
            "sidecar_injector_decisions_total{decision=\"job_without_native\"} 0",
            "sidecar_injector_requests_total{code=\"500\"} 1",
            "sidecar_injector_review_duration_seconds_bucket{le=\"0.00005\"} 0",
            "sidecar_injector_review_duration_seconds_bucket{le=\"0.0001\"} 1",
            "sidecar_injector_review_duration_seconds_bucket{le=\"0.1\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
