//! What go-chassis told of its circuit breakers, as far as it is true here: one for each side and
//! count. What is not given, and why: `docs/metrics.md`.

use std::fmt;

use super::counters::Parts;
use super::family::Writer;
use super::services::Asked;
use crate::listener::Side;
use crate::shared::Shared;
use crate::traffic::Reason;

/// The end of a name, what it is, and the count.
type Row = (&'static str, &'static str, fn(&Parts<'_>) -> u64);

const ROWS: [Row; 8] = [
    ("attempts", "Requests", |parts| parts.sum(|part| &part.requests)),
    ("successes", "Of them, those that went well", |parts| parts.sum(|part| &part.successes)),
    ("errors", "Those that did not, whatever the reason", errors),
    ("shortCircuits", "Those that the breaker refused", |parts| {
        refused(parts, Reason::CircuitOpen)
    }),
    ("rejects", "Those that were too many at once", |parts| refused(parts, Reason::Overload)),
    ("timeouts", "Those that were not answered in time", |parts| refused(parts, Reason::Timeout)),
    ("failures", "Those that failed in another way", |parts| {
        let told = [Reason::CircuitOpen, Reason::Overload, Reason::Timeout];
        errors(parts).saturating_sub(told.map(|reason| refused(parts, reason)).iter().sum())
    }),
    ("fallbackSuccesses", "Those that a fallback answered", |parts| {
        parts.sum(|part| &part.fallbacks)
    }),
];

fn errors(parts: &Parts<'_>) -> u64 {
    parts.sum(|part| &part.failures)
}

fn refused(parts: &Parts<'_>, reason: Reason) -> u64 {
    parts.sum(|part| &part.refusals[reason as usize])
}

pub(super) fn write(writer: &mut Writer<'_>, shared: &Shared, asked: &Asked) -> fmt::Result {
    let settings = shared.settings();
    let identity = &settings.identity;
    for (side, prefix) in [(Side::Consumer, "Consumer"), (Side::Provider, "Provider")] {
        for (word, help, count) in ROWS {
            writer.gauge(&format!("{prefix}_{word}"), help, |family| {
                for (target, app, counters) in asked.each(shared.plans.registry()) {
                    let parts = counters.of(side);
                    if !parts.is_empty() {
                        let labels = [
                            ("hostname", identity.host.as_str()),
                            ("self", &identity.service),
                            ("target", target),
                            ("appID", app),
                            ("version", &identity.version),
                        ];
                        family.value(&labels, count(&parts))?;
                    }
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}
