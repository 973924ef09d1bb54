//! What is counted, in the text that Prometheus reads. The names of the services' metrics are
//! those of the original, so that its dashboards go on working; where the format would add
//! `_total` to a counter that had none, it is shown as a gauge.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh::BreakerState;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::plan::ServiceState;
use crate::proxy::Shared;

/// One counter of a service.
type Read = fn(&ServiceState) -> &AtomicU64;

/// The metrics of a proxy, as text.
pub(crate) fn text(shared: &Arc<Shared>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collected(Arc::clone(shared))));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

/// Reads the counters where requests count: there is no second place for them.
#[derive(Debug)]
struct Collected(Arc<Shared>);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let shared = &self.0;
        let now = shared.clock.now();
        let services = shared.plans.registry().services();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters: [(&str, &str, Read); 4] = [
            ("requests", "Requests that were answered", |s| &s.counters.requests),
            ("successes", "Answered with 200 to 226", |s| &s.counters.successes),
            ("failures", "Answered with 400 and above", |s| &s.counters.failures),
            ("resends", "Requests that were sent once more", |s| &s.counters.resends),
        ];
        for (name, help, counter) in counters {
            let count = |s: &ServiceState| ConstCounter::new(load(counter(s)));
            each(&mut encoder, shared, &services, name, help, count)?;
        }
        let gauges: [(&str, &str, Read); 3] = [
            ("status_4xx", "Answered with 4xx", |s| &s.counters.status_4xx),
            ("status_5xx", "Answered with 5xx", |s| &s.counters.status_5xx),
            ("request_latency_seconds_count", "Requests in the sum", |s| &s.counters.requests),
        ];
        for (name, help, counter) in gauges {
            let gauge = |s: &ServiceState| ConstGauge::new(load(counter(s)));
            each(&mut encoder, shared, &services, name, help, gauge)?;
        }
        let seconds = |s: &ServiceState| {
            let sum = Duration::from_micros(load(&s.counters.latency));
            ConstGauge::new(sum.as_secs_f64())
        };
        let (name, help) = ("request_latency_seconds_sum", "Seconds to the heads of responses");
        each(&mut encoder, shared, &services, name, help, seconds)?;
        let open = |s: &ServiceState| {
            ConstGauge::new(i64::from(s.breaker.state(now) != BreakerState::Closed))
        };
        each(&mut encoder, shared, &services, "circuit_open", "1: refused, or on trial", open)?;
        let compiled = ConstCounter::new(shared.plans.compiled());
        let help = "Services compiled into plans";
        one(&mut encoder, "mesher_services_compiled", help, &compiled)
    }
}

/// One metric of all services.
fn each<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    shared: &Shared,
    services: &[Arc<ServiceState>],
    name: &str,
    help: &str,
    metric: impl Fn(&ServiceState) -> M,
) -> Result<(), fmt::Error> {
    let Some(first) = services.first() else { return Ok(()) };
    let kind = metric(first).metric_type();
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    let settings = shared.settings();
    for service in services {
        let labels = [
            ("service_name", &*service.key.name),
            ("app", &*service.key.scope),
            ("version", settings.identity.version.as_str()),
        ];
        let value = metric(service);
        value.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn one(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}
