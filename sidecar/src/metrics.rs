//! What is counted, in the text that Prometheus reads. The names of the services' metrics are
//! those of the original, so that its dashboards go on working; where the format would add
//! `_total` to a counter that had none, it is shown as a gauge.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use discovery::State;
use mesh::BreakerState;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::configuration::Reload;
use crate::plan::ServiceState;
use crate::proxy::Shared;

/// One counter of a service.
type Read = fn(&ServiceState) -> &AtomicU64;

/// The metrics of a proxy, as text.
pub(crate) fn text(shared: &Arc<Shared>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collected(Arc::clone(shared))));
    let mut text = String::new();
    encode_registry(&mut text, &registry)?;
    let more = shared.more_metrics.lock().unwrap_or_else(PoisonError::into_inner);
    encode_registry(&mut text, &more)?;
    encode_eof(&mut text)?;
    Ok(text)
}

/// Lets `registry` say how the configuration stands on the disk.
pub(crate) fn of_reloads(registry: &mut Registry, reloads: watch::Receiver<Reload>) {
    registry.register_collector(Box::new(Reloads(reloads)));
}

/// Reads what the follower of the files has found.
#[derive(Debug)]
struct Reloads(watch::Receiver<Reload>);

impl Collector for Reloads {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let reload = self.0.borrow().clone();
        let counts = [("taken_over", reload.taken_over), ("refused", reload.refused)];
        let counts = counts.map(|(result, count)| ([("result", result)], ConstCounter::new(count)));
        let help = "Changes of the configuration, by what became of them";
        labelled(&mut encoder, "mesher_config_reloads", help, counts)?;
        let flag = |yes| ConstGauge::new(i64::from(yes));
        let in_force = reload.faults.is_empty();
        let name = "mesher_config_last_reload_successful";
        one(&mut encoder, name, "0: the last good configuration is in force", &flag(in_force))?;
        let name = "mesher_config_last_reload_success_timestamp_seconds";
        let since = reload.last_success.unwrap_or(SystemTime::UNIX_EPOCH);
        let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let help = "When the configuration on the disk was last put in force";
        one(&mut encoder, name, help, &ConstGauge::new(since.as_secs_f64()))?;
        let help = "1: something of the configuration is in force after a restart only";
        let needed = flag(!reload.restart_needed.is_empty());
        one(&mut encoder, "mesher_config_restart_needed", help, &needed)
    }
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
        start_time(&mut encoder, shared)?;
        let compiled = ConstCounter::new(shared.plans.compiled());
        let help = "Services compiled into plans";
        one(&mut encoder, "mesher_services_compiled", help, &compiled)?;
        let open = shared.tunnels.load(Ordering::Relaxed);
        let open = ConstGauge::new(i64::try_from(open).unwrap_or(i64::MAX));
        let help = "Connections that have become tunnels, by CONNECT or Upgrade";
        one(&mut encoder, "mesher_tunnels", help, &open)?;
        let since = match shared.plans.state() {
            State::Stale { since, .. } => since,
            State::Starting | State::Connected => SystemTime::UNIX_EPOCH,
        };
        let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let help = "Since when no question about services is answered; 0: they are";
        let (name, since) = (
            "mesher_discovery_stale_since_timestamp_seconds",
            ConstGauge::new(since.as_secs_f64()),
        );
        one(&mut encoder, name, help, &since)?;
        let evictions = shared.plans.registry().evictions();
        let evictions =
            evictions.map(|(reason, count)| ([("reason", reason)], ConstCounter::new(count)));
        let help = "Instances that were left out for a while, as they could not be connected to";
        labelled(&mut encoder, "mesher_evictions", help, evictions)?;
        secured(&mut encoder, shared)
    }
}

/// When the proxy started, by the name and with the labels of the application.
fn start_time(encoder: &mut DescriptorEncoder<'_>, shared: &Shared) -> Result<(), fmt::Error> {
    let settings = shared.settings();
    let identity = &settings.identity;
    let labels = [
        ("service_name", &identity.service),
        ("app", &identity.app),
        ("version", &identity.version),
    ];
    let since = shared.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let value = ConstGauge::new(since.as_secs_f64());
    let (name, help) = ("start_time_seconds", "When the proxy started, in seconds since 1970");
    labelled(encoder, name, help, [(labels, value)])
}

/// What is to be seen of TLS.
fn secured(encoder: &mut DescriptorEncoder<'_>, shared: &Shared) -> Result<(), fmt::Error> {
    let tags = shared.tls.report();
    let ends = tags.iter().filter_map(|tag| {
        Some(([("tag", tag.tag.as_str())], ConstGauge::new(tag.ends?.as_secs_f64())))
    });
    let (name, help) =
        ("mesher_tls_certificate_expiry_timestamp_seconds", "The end of what peers are shown");
    labelled(encoder, name, help, ends)?;
    let faulty = tags
        .iter()
        .map(|tag| ([("tag", tag.tag.as_str())], ConstGauge::new(i64::from(tag.faulty))));
    let help = "1: the files are not in order, the last good ones are in force";
    labelled(encoder, "mesher_tls_files_faulty", help, faulty)?;
    let reloads = shared.tls.reloads();
    let reloads = reloads.map(|(result, count)| ([("result", result)], ConstCounter::new(count)));
    let help = "Other certificates, keys and CAs, by what became of them";
    labelled(encoder, "mesher_tls_reloads", help, reloads)?;
    let handshakes = shared.tls.handshakes().map(|(side, result, count)| {
        ([("side", side), ("result", result)], ConstCounter::new(count))
    });
    labelled(encoder, "mesher_tls_handshakes", "TLS sessions, made or not", handshakes)
}

/// One metric with labels.
fn labelled<M: EncodeMetric, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = ([(&'static str, impl AsRef<str>); N], M)>,
) -> Result<(), fmt::Error> {
    let mut values = values.into_iter().peekable();
    let Some((_, first)) = values.peek() else { return Ok(()) };
    let mut family = encoder.encode_descriptor(name, help, None, first.metric_type())?;
    for (labels, value) in values {
        let labels = labels.each_ref().map(|(name, value)| (*name, value.as_ref()));
        value.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
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
