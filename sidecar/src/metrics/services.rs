//! What is to be seen of services.
//!
//! How many series there are is bounded: so many services are counted each by itself
//! ([`Registry::counts`]), and each has no more than its sides, codes and reasons.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mesh::{Breaker, BreakerState};

use super::cells::{Count, Durations};
use super::codes;
use super::counters::{Broken, CALLS, Copied, Counters, Part, Parts, RESENDS};
use super::family::{Family, Labels, Writer};
use crate::listener::Side;
use crate::plan::{Registry, ServiceState};
use crate::shared::Shared;
use crate::slots::Slots;
use crate::traffic::Reason;

/// The services that were asked for, and what they are called.
pub(super) struct Asked {
    services: Vec<Arc<ServiceState>>,
    /// Ours, which the original's metrics name.
    version: String,
}

impl Asked {
    pub(super) fn of(shared: &Shared) -> Self {
        let registry = shared.plans.registry();
        let mut services = registry.services();
        services.retain(|service| registry.counts(service) && !service.counters.both().is_empty());
        services.sort_by(|a, b| (&a.key.scope, &a.key.name).cmp(&(&b.key.scope, &b.key.name)));
        Self { services, version: shared.settings().identity.version.clone() }
    }

    /// Each with its name and application.
    pub(super) fn each<'a>(
        &'a self,
        registry: &'a Registry,
    ) -> impl Iterator<Item = (&'a str, &'a str, &'a Counters)> {
        let own = self
            .services
            .iter()
            .map(|service| (&*service.key.name, &*service.key.scope, &*service.counters));
        let overflow = Some(registry.overflow()).filter(|overflow| !overflow.both().is_empty());
        own.chain(overflow.map(|overflow| ("overflow", "", overflow)))
    }
}

/// A count of a worker's part.
type Reads = fn(&Part) -> &Count;
/// Durations of a worker's part.
type Measures = fn(&Part) -> &Durations;
/// The labels of what is told by side.
pub(super) type Sided<'a> = [(&'a str, &'a str); 3];
/// The labels of what a service has of each kind.
type Named<'a> = [(&'a str, &'a str); 2];

/// All of them.
pub(super) fn write(writer: &mut Writer<'_>, shared: &Shared, asked: &Asked) -> fmt::Result {
    let registry = shared.plans.registry();
    original(writer, asked, registry)?;
    by_side(writer, asked, registry)?;
    breakers(writer, asked, shared.clock.now())?;
    slots(writer, asked, shared)
}

/// By the names and labels of the original, whatever the side.
fn original(writer: &mut Writer<'_>, asked: &Asked, registry: &Registry) -> fmt::Result {
    let each = |put: &mut dyn FnMut(Labels<'_>, Parts<'_>) -> fmt::Result| {
        asked.each(registry).try_for_each(|(name, app, counters)| {
            let version = asked.version.as_str();
            put(&[("service_name", name), ("app", app), ("version", version)], counters.both())
        })
    };
    let counters: [(&str, &str, Reads); 3] = [
        ("requests", "Requests that were answered, or given up by their clients", |p| &p.requests),
        ("successes", "Answered with 200 to 226; calls of gRPC that ended with OK", |p| {
            &p.successes
        }),
        ("failures", "Answered with 400 and above, or given up; other calls of gRPC", |p| {
            &p.failures
        }),
    ];
    for (name, help, count) in counters {
        writer.counter(name, help, |family| {
            each(&mut |labels, parts| family.count(labels, parts.sum(count)))
        })?;
    }
    let gauges: [(&str, &str, Reads); 2] = [
        ("status_4xx", "Answered with 400 to 499", |p| &p.status_4xx),
        ("status_5xx", "Answered with 500 to 599", |p| &p.status_5xx),
    ];
    for (name, help, count) in gauges {
        writer.gauge(name, help, |family| {
            each(&mut |labels, parts| family.value(labels, parts.sum(count)))
        })?;
    }
    let help = "Seconds to the end of the response's head";
    writer.histogram("request_latency_seconds", help, |family| {
        each(&mut |labels, parts| family.durations(labels, &parts.durations(|p| &p.to_head)))
    })
}

/// By the side that requests came in at.
fn by_side(writer: &mut Writer<'_>, asked: &Asked, registry: &Registry) -> fmt::Result {
    let each = |put: &mut dyn FnMut(Sided<'_>, Parts<'_>) -> fmt::Result| {
        for (name, app, counters) in asked.each(registry) {
            for side in Side::ALL {
                let parts = counters.of(side);
                if !parts.is_empty() {
                    let labels = [("service_name", name), ("app", app), ("side", side.word())];
                    put(labels, parts)?;
                }
            }
        }
        Ok(())
    };
    let durations: [(&str, &str, Measures); 3] = [
        ("mesher_response_head_seconds", "To the end of the response's head", |p| &p.to_head),
        ("mesher_request_duration_seconds", "To the end of the response", |p| &p.to_end),
        ("mesher_upstream_connect_seconds", "To connect to an instance, TLS included", |p| {
            &p.connects
        }),
    ];
    for (name, help, durations) in durations {
        writer.histogram(name, help, |family| {
            each(&mut |labels, parts| family.durations(&labels, &parts.durations(durations)))
        })?;
    }
    let counters: [(&str, &str, Reads); 3] = [
        ("mesher_fallbacks", "Requests that a fallback answered", |p| &p.fallbacks),
        ("mesher_request_body_bytes", "Bytes of requests' bodies", |p| &p.received),
        ("mesher_response_body_bytes", "Bytes of responses' bodies", |p| &p.sent),
    ];
    for (name, help, count) in counters {
        writer.counter(name, help, |family| {
            each(&mut |labels, parts| family.count(&labels, parts.sum(count)))
        })?;
    }
    writer.gauge("mesher_requests_in_flight", "Requests that are under way", |family| {
        each(&mut |labels, parts| {
            // One that begins in between may have been missed.
            let ended = parts.sum(|part| &part.ended);
            family.value(&labels, parts.sum(|part| &part.begun).saturating_sub(ended))
        })
    })?;
    writer.gauge("mesher_upstream_connections", "Open connections to instances", |family| {
        each(&mut |labels, parts| {
            let made = parts.durations(|part| &part.connects).count();
            family.value(&labels, made.saturating_sub(parts.sum(|part| &part.disconnects)))
        })
    })?;
    writer.counter("mesher_responses", "Responses, by their status", |family| {
        each(&mut |[name, app, side], parts| {
            (0..codes::PLACES).try_for_each(|place| {
                let (code, class) = codes::labels(place);
                let labels = [name, app, side, ("code", &code), ("class", class)];
                some(family, &labels, parts.sum(|part| &part.codes[place]))
            })
        })
    })?;
    let counters: [(&str, &str, &str, Words); 5] = [
        (
            "mesher_refusals",
            "Requests that were not answered by whom they were for",
            "reason",
            |p, n| Some((Reason::ALL.get(n)?.word(), p.sum(|part| &part.refusals[n]))),
        ),
        ("mesher_grpc_calls", "Calls of gRPC, by how they ended", "grpc_status", |p, n| {
            Some((*CALLS.get(n)?, p.sum(|part| &part.calls[n])))
        }),
        ("mesher_resends", "Requests that were sent once more", "reason", |p, n| {
            Some((*RESENDS.get(n)?, p.sum(|part| &part.resends[n])))
        }),
        (
            "mesher_mirrored_requests",
            "Copies of requests, by what became of them",
            "result",
            |p, n| Some((Copied::ALL.get(n)?.word(), p.sum(|part| &part.mirrors[n]))),
        ),
        (
            "mesher_broken_off",
            "Requests that did not come to their end, by who broke off",
            "by",
            |p, n| Some((Broken::ALL.get(n)?.word(), p.sum(|part| &part.broken[n]))),
        ),
    ];
    for (name, help, label, words) in counters {
        writer.counter(name, help, |family| {
            each(&mut |[name, app, side], parts| {
                (0..).map_while(|n| words(&parts, n)).try_for_each(|(word, count)| {
                    some(family, &[name, app, side, (label, word)], count)
                })
            })
        })?;
    }
    Ok(())
}

/// The value of the label at a place, and what was counted there; `None`: there are no more.
type Words = fn(&Parts<'_>, usize) -> Option<(&'static str, u64)>;

/// A count of one of many kinds: those that never happened would be most of all series.
fn some(family: &mut Family<'_>, labels: Labels<'_>, count: u64) -> fmt::Result {
    if count == 0 { Ok(()) } else { family.count(labels, count) }
}

/// Who waits, where it is bounded how many requests are under way.
fn slots(writer: &mut Writer<'_>, asked: &Asked, shared: &Shared) -> fmt::Result {
    let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let sides = || Side::ALL.map(|side| (("side", side.word()), &shared.slots[side as usize]));
    writer.gauge("mesher_requests_waiting", "Requests that wait for others to end", |family| {
        let mut sides = sides().into_iter();
        sides.try_for_each(|(side, slots)| family.value(&[side], gauge(slots.waiting())))
    })?;
    let help = "Requests that have waited for others to end";
    writer.counter("mesher_requests_queued", help, |family| {
        let mut sides = sides().into_iter();
        sides.try_for_each(|(side, slots)| family.count(&[side], slots.queued()))
    })?;
    let each = |put: &mut dyn FnMut(Named<'_>, &Slots) -> fmt::Result| {
        asked.services.iter().try_for_each(|service| {
            let Some(slots) = service.bounded() else { return Ok(()) };
            put([("service_name", &*service.key.name), ("app", &*service.key.scope)], slots)
        })
    };
    let help = "Requests that wait for others to the same service to end";
    writer.gauge("mesher_service_requests_waiting", help, |family| {
        each(&mut |labels, slots| family.value(&labels, gauge(slots.waiting())))
    })?;
    let help = "Requests that have waited for others to the same service to end";
    writer.counter("mesher_service_requests_queued", help, |family| {
        each(&mut |labels, slots| family.count(&labels, slots.queued()))
    })
}

fn breakers(writer: &mut Writer<'_>, asked: &Asked, now: Duration) -> fmt::Result {
    let each = |put: &mut dyn FnMut(Named<'_>, &Breaker) -> fmt::Result| {
        asked.services.iter().try_for_each(|service| {
            let labels = [("service_name", &*service.key.name), ("app", &*service.key.scope)];
            put(labels, &service.breaker)
        })
    };
    let help = "1: the breaker refuses, or has one request on trial";
    writer.gauge("mesher_breaker_open", help, |family| {
        each(&mut |labels, breaker| {
            family.value(&labels, i64::from(breaker.state(now) != BreakerState::Closed))
        })
    })?;
    let help = "How often a breaker became open, half open or closed";
    writer.counter("mesher_breaker_turns", help, |family| {
        each(&mut |[name, app], breaker| {
            let states = [
                ("open", BreakerState::Open),
                ("half_open", BreakerState::HalfOpen),
                ("closed", BreakerState::Closed),
            ];
            states.into_iter().try_for_each(|(word, state)| {
                some(family, &[name, app, ("to", word)], breaker.turns(state))
            })
        })
    })
}
