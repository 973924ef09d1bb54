//! What is counted, and the text that Prometheus reads of it.
//!
//! Requests count in [`Counters`], which the plan has for each service: there is nothing to be
//! looked up, and no second place for them. The names of the services' metrics are those of the
//! original, so that its dashboards go on working; where the format would add `_total` to a counter
//! that had none, it is shown as a gauge. All names and labels: `docs/metrics.md`.

mod cells;
mod center;
mod circuit;
mod codes;
mod connections;
mod counters;
mod exposition;
mod family;
mod instances;
mod process;
mod reloads;
mod services;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use discovery::State;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

pub(crate) use self::cells::Distribution;
pub(crate) use self::center::of_center;
pub(crate) use self::connections::{Carried, Connections};
pub(crate) use self::counters::{Broken, Copied, Counters, Part, RESENDS};
pub(crate) use self::exposition::Format;
use self::family::Writer;
pub(crate) use self::reloads::of_reloads;
use crate::shared::Shared;

/// The metrics of a proxy, as text.
pub(crate) fn text(shared: &Arc<Shared>, format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collected(Arc::clone(shared))));
    let mut text = String::new();
    encode_registry(&mut text, &registry)?;
    let more = shared.more_metrics.lock().unwrap_or_else(PoisonError::into_inner);
    encode_registry(&mut text, &more)?;
    encode_eof(&mut text)?;
    Ok(format.of(text))
}

/// Reads what was counted where it was counted.
#[derive(Debug)]
struct Collected(Arc<Shared>);

impl Collector for Collected {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let shared = &self.0;
        let mut writer = Writer(encoder);
        let asked = services::Asked::of(shared);
        services::write(&mut writer, shared, &asked)?;
        circuit::write(&mut writer, shared, &asked)?;
        connections::write(&mut writer, shared)?;
        instances::write(&mut writer, shared.plans.registry(), shared.clock.now())?;
        start_time(&mut writer, shared)?;
        let compiled = shared.plans.compiled();
        writer.one_counter("mesher_services_compiled", "Services compiled into plans", compiled)?;
        let open = shared.tunnels.load(Ordering::Relaxed);
        let help = "Connections that have become tunnels, by CONNECT or Upgrade";
        writer.one_gauge("mesher_tunnels", help, i64::try_from(open).unwrap_or(i64::MAX))?;
        let since = match shared.plans.state() {
            State::Stale { since, .. } => since,
            State::Starting | State::Connected => SystemTime::UNIX_EPOCH,
        };
        let help = "Since when no question about services is answered; 0: they are";
        let name = "mesher_discovery_stale_since_timestamp_seconds";
        writer.one_gauge(name, help, seconds(since))?;
        let help = "Instances that were left out for a while, by why";
        writer.counter("mesher_evictions", help, |family| {
            let mut evictions = shared.plans.registry().evictions().into_iter();
            evictions.try_for_each(|(reason, count)| family.count(&[("reason", reason)], count))
        })?;
        let help = "Lines of the access log, by what became of them";
        writer.counter("mesher_access_log_lines", help, |family| {
            let mut lines = shared.access_log.lines().into_iter();
            lines.try_for_each(|(result, count)| family.count(&[("result", result)], count))
        })?;
        let help = "Spans, by what became of them";
        writer.counter("mesher_spans", help, |family| {
            let mut spans = shared.spans.counted().into_iter();
            spans.try_for_each(|(result, count)| family.count(&[("result", result)], count))
        })?;
        secured(&mut writer, shared)?;
        process::write(&mut writer, shared)
    }
}

/// When the proxy started, by the name and with the labels of the original.
fn start_time(writer: &mut Writer<'_>, shared: &Shared) -> fmt::Result {
    let settings = shared.settings();
    let identity = &settings.identity;
    let (name, help) = ("start_time_seconds", "When the proxy started, in seconds since 1970");
    writer.gauge(name, help, |family| {
        let labels = [
            ("service_name", identity.service.as_str()),
            ("app", &identity.app),
            ("version", &identity.version),
        ];
        family.value(&labels, seconds(shared.started))
    })
}

/// What is to be seen of TLS.
fn secured(writer: &mut Writer<'_>, shared: &Shared) -> fmt::Result {
    let tags = shared.tls.report();
    let (name, help) =
        ("mesher_tls_certificate_expiry_timestamp_seconds", "The end of what peers are shown");
    writer.gauge(name, help, |family| {
        tags.iter().try_for_each(|tag| match tag.ends {
            Some(ends) => family.value(&[("tag", &tag.tag)], ends.as_secs_f64()),
            None => Ok(()),
        })
    })?;
    let help = "1: the files are not in order, the last good ones are in force";
    writer.gauge("mesher_tls_files_faulty", help, |family| {
        tags.iter().try_for_each(|tag| family.value(&[("tag", &tag.tag)], i64::from(tag.faulty)))
    })?;
    let help = "Other certificates, keys and CAs, by what became of them";
    writer.counter("mesher_tls_reloads", help, |family| {
        let mut reloads = shared.tls.reloads().into_iter();
        reloads.try_for_each(|(result, count)| family.count(&[("result", result)], count))
    })?;
    writer.counter("mesher_tls_handshakes", "TLS sessions, made or not", |family| {
        let mut handshakes = shared.tls.handshakes();
        handshakes.try_for_each(|(side, result, count)| {
            family.count(&[("side", side), ("result", result)], count)
        })
    })
}

/// Since 1970.
fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
