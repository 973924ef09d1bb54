//! From what rules and clusters of a source ask for to the terms that requests are sent on.

use std::time::Duration;

use mesh::balance::HashOn;
use mesh::virtual_host::{Forward, HashKey, RetryOn, RetryPolicy, RouteRule};
use mesh::{Backoff, Cluster, ClusterTerms, Fault, GrpcStatus, GrpcStatuses};

use crate::settings::Terms;

/// For requests that may take as long as they want: none is waited for longer than this.
const UNLIMITED: Duration = Duration::from_hours(24 * 365);

/// The terms of requests of a rule to one of its clusters: where neither says something, those that
/// the settings have.
pub(super) fn of(
    settings: &Terms,
    rule: &RouteRule,
    forward: &Forward,
    cluster: Option<&ClusterTerms>,
) -> Terms {
    let mut terms = settings.clone();
    terms.timeout = match forward.timeout {
        Some(Duration::ZERO) => Some(UNLIMITED),
        Some(limit) => Some(limit),
        None => terms.timeout,
    };
    if let Some(retry) = &forward.retry {
        retries(&mut terms, retry);
    }
    if let Some(fault) = &rule.fault
        && fault.headers.is_empty()
    {
        terms.fault = Fault {
            delay: fault.delay.map(|delay| (delay.share.of_all(), delay.time)),
            abort: fault.abort.map(|abort| (abort.share.of_all(), abort.status)),
        };
    }
    if let Some(cluster) = cluster {
        balancing(&mut terms, cluster, &forward.hash);
    }
    terms
}

/// The terms of requests to a cluster, where no rule of its source is about them.
pub(super) fn of_cluster(mut terms: Terms, cluster: &Cluster) -> Terms {
    balancing(&mut terms, &cluster.terms, &[]);
    terms
}

/// What is certainly not processed is sent again anyway. A policy that asks for more, as for certain
/// statuses, is followed for requests that may be processed twice.
fn retries(terms: &mut Terms, retry: &RetryPolicy) {
    let on = |wanted| retry.on.contains(&wanted);
    let mut failing = Vec::new();
    if on(RetryOn::Statuses) {
        failing.extend(&retry.statuses);
    }
    if on(RetryOn::GatewayError) {
        failing.extend([502, 503, 504]);
    }
    if on(RetryOn::ServerError) {
        failing.extend(500..=599);
    }
    if on(RetryOn::Conflict) {
        failing.push(409);
    }
    let calls = [
        (RetryOn::GrpcCancelled, GrpcStatus::CANCELLED),
        (RetryOn::GrpcDeadlineExceeded, GrpcStatus::DEADLINE_EXCEEDED),
        (RetryOn::GrpcInternal, GrpcStatus::INTERNAL),
        (RetryOn::GrpcResourceExhausted, GrpcStatus::RESOURCE_EXHAUSTED),
        (RetryOn::GrpcUnavailable, GrpcStatus::UNAVAILABLE),
    ];
    let calls: GrpcStatuses =
        calls.into_iter().filter(|(wanted, _)| on(*wanted)).map(|(_, status)| status).collect();
    if failing.is_empty() && calls.is_empty() && !on(RetryOn::Reset) {
        return;
    }
    terms.retries.calls = calls;
    failing.sort_unstable();
    failing.dedup();
    terms.failing = failing;
    terms.retries.next = retry.retries;
    terms.retries.try_timeout = retry.per_try_timeout;
    terms.retries.backoff = Backoff::Exponential(retry.base_interval, retry.max_interval);
}

fn balancing(terms: &mut Terms, cluster: &ClusterTerms, hash: &[HashKey]) {
    let hash = hash.first().map(|key| match key {
        HashKey::Header(name) => HashOn::Header((**name).into()),
        HashKey::Cookie { name, .. } => HashOn::Cookie((**name).into()),
        HashKey::SourceAddress => HashOn::Client,
        HashKey::Query(name) => HashOn::Query((**name).into()),
    });
    terms.balancing.strategy = cluster.balance.of(hash);
    terms.balancing.panic_percent = cluster.panic_percent;
    terms.balancing.slow_start = cluster.slow_start.unwrap_or_default();
    terms.balancing.outliers = cluster.outliers;
    terms.connect = cluster.connect_timeout.or(terms.connect);
    if let Some(requests) = cluster.limits.requests {
        terms.concurrency = Some(requests);
    }
}
