//! circuit_breaker.yaml, load_balancing.yaml, rate_limiting.yaml, fault.yaml, router.yaml and
//! egress.yaml.

use super::File::{CircuitBreaker, Egress, Fault, LoadBalancing, RateLimiting, Router};
use super::{Key, Kind, key};

const BALANCING: &str = "load balancing and retries";
const BREAKING: &str = "breakers of single services, fallback and isolation";
const LIMITING: &str = "rate limits";
const FAULTS: &str = "fault injection";
const ROUTING: &str = "route rules";
const JAVA: &str = "this governance key belongs to java-chassis: use circuit_breaker.yaml, load_balancing.yaml and rate_limiting.yaml";

const MILLIS: Kind = Kind::Whole(1, 24 * 3600 * 1000);
const PERCENT: Kind = Kind::Whole(0, 100);
const COUNT: Kind = Kind::Whole(0, u32::MAX as u64);
const INFRA: Kind = Kind::Choice(&["cse", "pilot", "pilotv2"]);

pub(super) static KEYS: &[Key] = &[
    key(
        "servicecomb.loadbalance.**.strategy.name",
        LoadBalancing,
        Kind::Choice(&["RoundRobin", "Random", "SessionStickiness", "WeightedResponse"]),
        "How an instance is chosen.",
    )
    .later(BALANCING),
    key(
        "servicecomb.loadbalance.**.strategy.sessionTimeoutInSeconds",
        LoadBalancing,
        COUNT,
        "How long a session sticks.",
    )
    .later(BALANCING),
    key(
        "servicecomb.loadbalance.**.retryEnabled",
        LoadBalancing,
        Kind::Flag,
        "Whether failed calls are tried again.",
    )
    .later(BALANCING),
    key(
        "servicecomb.loadbalance.**.retryOnNext",
        LoadBalancing,
        COUNT,
        "How many other instances are tried.",
    )
    .later(BALANCING),
    key(
        "servicecomb.loadbalance.**.retryOnSame",
        LoadBalancing,
        COUNT,
        "How often the same is tried again.",
    )
    .later(BALANCING),
    key(
        "servicecomb.loadbalance.serverListFilters",
        LoadBalancing,
        Kind::Words,
        "zoneaware: instances of the own zone first.",
    )
    .later(BALANCING),
    key(
        "servicecomb.loadbalance.**.backoff.kind",
        LoadBalancing,
        Kind::Choice(&["constant", "exponential", "jittered", "zero"]),
        "How long between tries.",
    )
    .later(BALANCING),
    key(
        "servicecomb.loadbalance.**.backoff.minMs",
        LoadBalancing,
        COUNT,
        "Milliseconds at the least.",
    )
    .later(BALANCING),
    key(
        "servicecomb.loadbalance.**.backoff.maxMs",
        LoadBalancing,
        COUNT,
        "Milliseconds at the most.",
    )
    .later(BALANCING),
    key(
        "servicecomb.loadbalance.**.SessionStickinessRule.sessionTimeoutInSeconds",
        LoadBalancing,
        COUNT,
        "How long a session sticks.",
    )
    .later(BALANCING),
    key(
        "servicecomb.loadbalance.**.SessionStickinessRule.successiveFailedTimes",
        LoadBalancing,
        COUNT,
        "Failures until it sticks to another.",
    )
    .later(BALANCING),
    key(
        "servicecomb.isolation.Consumer.timeoutInMilliseconds",
        CircuitBreaker,
        MILLIS,
        "See mesher.limits.requestTimeout.",
    )
    .live(""),
    key(
        "servicecomb.isolation.**.timeoutInMilliseconds",
        CircuitBreaker,
        MILLIS,
        "The same, of one service.",
    )
    .later(BREAKING),
    key("servicecomb.isolation.**.maxConcurrentRequests", CircuitBreaker, COUNT, "Calls at once.")
        .later(BREAKING),
    key(
        "servicecomb.isolation.**.timeout.enabled",
        CircuitBreaker,
        Kind::Flag,
        "Calls always have a deadline.",
    ),
    key(
        "servicecomb.circuitBreaker.scope",
        CircuitBreaker,
        Kind::Choice(&["api", "service", "instance", "instance-api"]),
        "What has a breaker of its own.",
    )
    .later(BREAKING),
    key(
        "servicecomb.circuitBreaker.Consumer.enabled",
        CircuitBreaker,
        Kind::Flag,
        "Whether breakers open.",
    )
    .live("false"),
    key(
        "servicecomb.circuitBreaker.Consumer.forceOpen",
        CircuitBreaker,
        Kind::Flag,
        "Refuses everything.",
    )
    .live("false"),
    key(
        "servicecomb.circuitBreaker.Consumer.forceClosed",
        CircuitBreaker,
        Kind::Flag,
        "Refuses nothing.",
    )
    .live("false"),
    key(
        "servicecomb.circuitBreaker.Consumer.sleepWindowInMilliseconds",
        CircuitBreaker,
        MILLIS,
        "How long an open breaker refuses.",
    )
    .live("15000"),
    key(
        "servicecomb.circuitBreaker.Consumer.requestVolumeThreshold",
        CircuitBreaker,
        COUNT,
        "With fewer calls in ten seconds it stays closed.",
    )
    .live("20"),
    key(
        "servicecomb.circuitBreaker.Consumer.errorThresholdPercentage",
        CircuitBreaker,
        PERCENT,
        "The share of failures at which it opens.",
    )
    .live("50"),
    key(
        "servicecomb.circuitBreaker.**.enabled",
        CircuitBreaker,
        Kind::Flag,
        "The same, of one service.",
    )
    .later(BREAKING),
    key(
        "servicecomb.circuitBreaker.**.forceOpen",
        CircuitBreaker,
        Kind::Flag,
        "The same, of one service.",
    )
    .later(BREAKING),
    key(
        "servicecomb.circuitBreaker.**.forceClosed",
        CircuitBreaker,
        Kind::Flag,
        "The same, of one service.",
    )
    .later(BREAKING),
    key(
        "servicecomb.circuitBreaker.**.sleepWindowInMilliseconds",
        CircuitBreaker,
        MILLIS,
        "The same, of one service.",
    )
    .later(BREAKING),
    key(
        "servicecomb.circuitBreaker.**.requestVolumeThreshold",
        CircuitBreaker,
        COUNT,
        "The same, of one service.",
    )
    .later(BREAKING),
    key(
        "servicecomb.circuitBreaker.**.errorThresholdPercentage",
        CircuitBreaker,
        PERCENT,
        "The same, of one service.",
    )
    .later(BREAKING),
    key(
        "servicecomb.fallback.**.enabled",
        CircuitBreaker,
        Kind::Flag,
        "Whether there is a fallback.",
    )
    .later(BREAKING),
    key("servicecomb.fallback.**.force", CircuitBreaker, Kind::Flag, "Whether it always answers.")
        .later(BREAKING),
    key(
        "servicecomb.fallback.**.maxConcurrentRequests",
        CircuitBreaker,
        COUNT,
        "Fallbacks at once.",
    )
    .later(BREAKING),
    key(
        "servicecomb.fallbackpolicy.**.policy",
        CircuitBreaker,
        Kind::Choice(&["throwexception", "returnnull"]),
        "What the fallback answers.",
    )
    .later(BREAKING),
    key(
        "servicecomb.flowcontrol.**.qps.enabled",
        RateLimiting,
        Kind::Flag,
        "Whether calls are limited.",
    )
    .later(LIMITING),
    key(
        "servicecomb.flowcontrol.**.qps.global.limit",
        RateLimiting,
        Kind::Whole(0, u32::MAX as u64),
        "Calls a second.",
    )
    .later(LIMITING),
    key(
        "servicecomb.flowcontrol.**.qps.limit.*",
        RateLimiting,
        Kind::Whole(0, u32::MAX as u64),
        "Calls a second, of one service.",
    )
    .later(LIMITING),
    key("servicecomb.rateLimiting", RateLimiting, Kind::Tree, "Limits of matched traffic.")
        .later(LIMITING),
    key("servicecomb.match", RateLimiting, Kind::Tree, "What traffic is called.").later(LIMITING),
    key("servicecomb.governance", Fault, Kind::Tree, "Faults and delays of single services.")
        .later(FAULTS),
    key("servicecomb.router.infra", Router, INFRA, "Where rules come from.").later(ROUTING),
    key("servicecomb.router.address", Router, Kind::Urls, "Rules of Istio come with discovery."),
    key("servicecomb.routeRule", Router, Kind::Tree, "Which versions of a service are called.")
        .later(ROUTING),
    key("servicecomb.sourceTemplate", Router, Kind::Tree, "Callers that rules name.")
        .later(ROUTING),
    key("servicecomb.darklaunch", Router, Kind::Tree, "The same, as the console writes them.")
        .later(ROUTING),
    key("egress.infra", Egress, INFRA, "Where rules come from: files (cse), or Istio with discovery."),
    key("egress.address", Egress, Kind::Urls, "Rules of Istio come with discovery."),
    key("egressRule", Egress, Kind::Tree, "Hosts outside of the mesh that may be called whatever mesher.passthrough says, and on which ports.").live(""),
    key("servicecomb.retry", CircuitBreaker, Kind::Tree, "Of java-chassis.").gone(JAVA),
    key("servicecomb.bulkhead", CircuitBreaker, Kind::Tree, "Of java-chassis.").gone(JAVA),
    key("servicecomb.instanceIsolation", CircuitBreaker, Kind::Tree, "Of java-chassis.").gone(JAVA),
];
