//! What is to be seen of the instances of services, of some number of them.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh::BreakerState;

use super::family::{Labels, Writer};
use crate::plan::{Endpoint, Registry};

/// Instances with series of their own; the others are counted with their service alone.
const INSTANCES: usize = 512;

/// Those that were ever chosen.
pub(super) fn write(writer: &mut Writer<'_>, registry: &Registry, now: Duration) -> fmt::Result {
    let mut all = registry.endpoints();
    let used = |endpoint: &Endpoint| endpoint.attempts.load(Ordering::Relaxed) > 0;
    all.retain(|endpoint| endpoint.id.instance.is_some() && used(endpoint));
    all.sort_by_cached_key(|endpoint| names(endpoint));
    let left_out = all.len().saturating_sub(INSTANCES);
    all.truncate(INSTANCES);
    let each = |put: &mut dyn FnMut(Labels<'_>, &Endpoint) -> fmt::Result| {
        all.iter().try_for_each(|endpoint| {
            let [name, app, instance, address] = names(endpoint);
            let protocol = endpoint.id.protocol.as_str();
            let labels = [
                ("service_name", name.as_str()),
                ("app", &app),
                ("instance", &instance),
                ("address", &address),
                ("protocol", protocol),
            ];
            put(&labels, endpoint)
        })
    };
    let help = "Attempts to have a request answered by an instance";
    writer.counter("mesher_instance_attempts", help, |family| {
        each(&mut |labels, endpoint| {
            family.count(labels, endpoint.attempts.load(Ordering::Relaxed))
        })
    })?;
    let help = "Of those, the ones that brought no response";
    writer.counter("mesher_instance_failures", help, |family| {
        each(&mut |labels, endpoint| {
            family.count(labels, endpoint.failures.load(Ordering::Relaxed))
        })
    })?;
    let help = "Requests and tunnels that an instance has at the moment";
    writer.gauge("mesher_instance_in_flight", help, |family| {
        each(&mut |labels, endpoint| {
            family.value(labels, gauge(endpoint.in_flight.load(Ordering::Relaxed)))
        })
    })?;
    let help = "Open connections to an instance";
    writer.gauge("mesher_instance_connections", help, |family| {
        each(&mut |labels, endpoint| {
            family.value(labels, gauge(endpoint.connections.load(Ordering::Relaxed)))
        })
    })?;
    let help = "1: it is left out for a while, as it could not be connected to or answered badly";
    writer.gauge("mesher_instance_evicted", help, |family| {
        each(&mut |labels, endpoint| family.value(labels, i64::from(!endpoint.is_usable(|| now))))
    })?;
    let help = "1: its own breaker refuses, or has one request on trial";
    writer.gauge("mesher_instance_breaker_open", help, |family| {
        each(&mut |labels, endpoint| {
            let open = endpoint.breaker.state(now) != BreakerState::Closed;
            family.value(labels, i64::from(open))
        })
    })?;
    let help = "Instances that have no series, as there are too many";
    writer.one_gauge("mesher_instances_left_out", help, gauge(left_out))
}

/// Service, application, instance and where connections to it go: it may be reached by itself at first,
/// and by a proxy beside it from then on.
fn names(endpoint: &Endpoint) -> [String; 4] {
    let [name, app, instance] = match &endpoint.id.instance {
        Some((key, id)) => [&*key.name, &*key.scope, &*id.0].map(str::to_owned),
        None => <[String; 3]>::default(),
    };
    [name, app, instance, endpoint.id.entrance().to_string()]
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
