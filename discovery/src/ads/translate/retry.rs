//! Retries.

use std::time::Duration;

use envoy_types::pb::envoy::config::route::v3::RetryPolicy as Wire;
use mesh::virtual_host::{RetryOn, RetryPolicy};

use super::{Invalid, Unsupported, span};

/// Envoy's own base interval, and how much longer the longest is than the base.
const BASE: Duration = Duration::from_millis(25);
const LONGEST: u32 = 10;
const PREVIOUS_HOSTS: &str = "envoy.retry_host_predicates.previous_hosts";

pub(super) fn policy(wire: &Wire, unsupported: &mut Unsupported) -> Result<RetryPolicy, Invalid> {
    let mut on = Vec::new();
    for word in wire.retry_on.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match RetryOn::of_word(word) {
            Some(known) => on.push(known),
            None => unsupported.note(format!("retry_policy.retry_on.{word}")),
        }
    }
    unsupported.note_if(wire.retry_priority.is_some(), "retry_policy.retry_priority");
    unsupported.note_if(!wire.retriable_headers.is_empty(), "retry_policy.retriable_headers");
    let request_headers = !wire.retriable_request_headers.is_empty();
    unsupported.note_if(request_headers, "retry_policy.retriable_request_headers");
    let rate_limited = wire.rate_limited_retry_back_off.is_some();
    unsupported.note_if(rate_limited, "retry_policy.rate_limited_retry_back_off");
    let idle = wire.per_try_idle_timeout.is_some();
    unsupported.note_if(idle, "retry_policy.per_try_idle_timeout");
    let others_first =
        wire.retry_host_predicate.iter().any(|predicate| predicate.name == PREVIOUS_HOSTS);
    for other in wire.retry_host_predicate.iter().filter(|it| it.name != PREVIOUS_HOSTS) {
        unsupported.note(format!("retry_policy.retry_host_predicate.{}", other.name));
    }
    let statuses = wire.retriable_status_codes.iter().map(|status| {
        let known = u16::try_from(*status).ok().filter(|status| (100..600).contains(status));
        known.ok_or_else(|| {
            Invalid::new("retriable_status_codes", format!("{status} is no status of HTTP"))
        })
    });
    let back_off = wire.retry_back_off.as_ref();
    let interval = |name: &str, value| span(&format!("retry_back_off.{name}"), value);
    let base = interval("base_interval", back_off.and_then(|it| it.base_interval.as_ref()))?;
    let base = base.unwrap_or(BASE);
    let most = interval("max_interval", back_off.and_then(|it| it.max_interval.as_ref()))?;
    Ok(RetryPolicy {
        on,
        retries: wire.num_retries.map_or(1, |retries| retries.value),
        per_try_timeout: span("per_try_timeout", wire.per_try_timeout.as_ref())?
            .filter(|time| !time.is_zero()),
        statuses: statuses.collect::<Result<_, _>>()?,
        base_interval: base,
        max_interval: most.unwrap_or_else(|| base.saturating_mul(LONGEST)).max(base),
        others_first,
    })
}
