//! circuit_breaker.yaml, load_balancing.yaml, rate_limiting.yaml, fault.yaml, router.yaml and
//! egress.yaml.

use super::File::{CircuitBreaker, Egress, Fault, LoadBalancing, RateLimiting, Router};
use super::{Key, Kind, key};

const JAVA: &str = "this governance key belongs to java-chassis: use circuit_breaker.yaml, load_balancing.yaml and rate_limiting.yaml";

const STRATEGIES: [&str; 7] = [
    "RoundRobin",
    "Random",
    "SessionStickiness",
    "WeightedResponse",
    "LeastLoaded",
    "RingHash",
    "Maglev",
];
const MILLIS: Kind = Kind::Whole(1, 24 * 3600 * 1000);
const PERCENT: Kind = Kind::Whole(0, 100);
const SECONDS: Kind = Kind::Whole(0, 24 * 3600);
const COUNT: Kind = Kind::Whole(0, u32::MAX as u64);
const INFRA: Kind = Kind::Choice(&["cse", "pilot", "pilotv2"]);

pub(super) static KEYS: &[Key] = &[
    key(
        "servicecomb.loadbalance.**.strategy.name",
        LoadBalancing,
        Kind::Choice(&STRATEGIES),
        "How an instance is chosen.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.strategy.sessionTimeoutInSeconds",
        LoadBalancing,
        COUNT,
        "How long a session sticks.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.retryEnabled",
        LoadBalancing,
        Kind::Flag,
        "Whether failed calls are tried again.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.retryOnNext",
        LoadBalancing,
        COUNT,
        "How many other instances are tried.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.retryOnSame",
        LoadBalancing,
        COUNT,
        "How often the same is tried again.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.serverListFilters",
        LoadBalancing,
        Kind::Words,
        "zoneaware: instances of the own zone first.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.backoff.kind",
        LoadBalancing,
        Kind::Choice(&["constant", "exponential", "jittered", "zero"]),
        "How long between tries.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.backoff.minMs",
        LoadBalancing,
        COUNT,
        "Milliseconds at the least.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.backoff.maxMs",
        LoadBalancing,
        COUNT,
        "Milliseconds at the most.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.SessionStickinessRule.sessionTimeoutInSeconds",
        LoadBalancing,
        COUNT,
        "How long a session sticks.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.SessionStickinessRule.successiveFailedTimes",
        LoadBalancing,
        COUNT,
        "Failures until it sticks to another.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.strategy.hashOn",
        LoadBalancing,
        Kind::Text,
        "What of a request decides, for RingHash and Maglev: header:NAME, cookie:NAME or client.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.retryAnyMethod",
        LoadBalancing,
        Kind::Flag,
        "Whether also those are tried again that may have been processed, and must not be twice.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.retryGrpcStatuses",
        LoadBalancing,
        Kind::Words,
        "Statuses of gRPC after which calls are tried again, whatever they do, as in unavailable.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.retryTimeoutMs",
        LoadBalancing,
        MILLIS,
        "Milliseconds that one try may take.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.retryBudgetPercent",
        LoadBalancing,
        PERCENT,
        "Tries more for each hundred requests; ten a second are free.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.outlier.consecutiveErrors",
        LoadBalancing,
        COUNT,
        "So many 5xx in a row, or no answers, and an instance is left out for a while; 0: never.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.outlier.consecutiveGatewayErrors",
        LoadBalancing,
        COUNT,
        "The same of 502, 503 and 504.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.outlier.ejectionSeconds",
        LoadBalancing,
        SECONDS,
        "For how long, the first time.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.outlier.maxEjectionPercent",
        LoadBalancing,
        PERCENT,
        "The most of a service's instances that are out at once, for whatever reason.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.outlier.successRateDeviation",
        LoadBalancing,
        COUNT,
        "Out is who succeeds less often than the mean less so many thousandths of the standard deviation.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.outlier.successRateHosts",
        LoadBalancing,
        COUNT,
        "With fewer instances that had requests enough, success rates are not compared.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.outlier.successRateVolume",
        LoadBalancing,
        COUNT,
        "Requests enough, in ten seconds.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.panicPercent",
        LoadBalancing,
        PERCENT,
        "Where fewer instances can be used, all of them are.",
    )
    .live(""),
    key(
        "servicecomb.loadbalance.**.slowStartSeconds",
        LoadBalancing,
        SECONDS,
        "How long an instance that has just come takes to get its share.",
    )
    .live(""),
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
    .live(""),
    key("servicecomb.isolation.**.maxConcurrentRequests", CircuitBreaker, COUNT, "Calls at once.")
        .live(""),
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
        "What has a breaker of its own: a service (api and service), or each instance.",
    )
    .live("api"),
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
        "servicecomb.circuitBreaker.Provider.enabled",
        CircuitBreaker,
        Kind::Flag,
        "Whether there is a breaker before the application, with bizkeeper-provider in its chain.",
    )
    .live("false"),
    key(
        "servicecomb.circuitBreaker.Provider.forceOpen",
        CircuitBreaker,
        Kind::Flag,
        "Refuses everything.",
    )
    .live("false"),
    key(
        "servicecomb.circuitBreaker.Provider.forceClosed",
        CircuitBreaker,
        Kind::Flag,
        "Refuses nothing.",
    )
    .live("false"),
    key(
        "servicecomb.circuitBreaker.Provider.sleepWindowInMilliseconds",
        CircuitBreaker,
        MILLIS,
        "How long an open breaker refuses.",
    )
    .live("15000"),
    key(
        "servicecomb.circuitBreaker.Provider.requestVolumeThreshold",
        CircuitBreaker,
        COUNT,
        "With fewer requests in ten seconds it stays closed.",
    )
    .live("20"),
    key(
        "servicecomb.circuitBreaker.Provider.errorThresholdPercentage",
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
    .live(""),
    key(
        "servicecomb.circuitBreaker.**.forceOpen",
        CircuitBreaker,
        Kind::Flag,
        "The same, of one service.",
    )
    .live(""),
    key(
        "servicecomb.circuitBreaker.**.forceClosed",
        CircuitBreaker,
        Kind::Flag,
        "The same, of one service.",
    )
    .live(""),
    key(
        "servicecomb.circuitBreaker.**.sleepWindowInMilliseconds",
        CircuitBreaker,
        MILLIS,
        "The same, of one service.",
    )
    .live(""),
    key(
        "servicecomb.circuitBreaker.**.requestVolumeThreshold",
        CircuitBreaker,
        COUNT,
        "The same, of one service.",
    )
    .live(""),
    key(
        "servicecomb.circuitBreaker.**.errorThresholdPercentage",
        CircuitBreaker,
        PERCENT,
        "The same, of one service.",
    )
    .live(""),
    key(
        "servicecomb.fallback.**.enabled",
        CircuitBreaker,
        Kind::Flag,
        "Whether there is a fallback.",
    )
    .live(""),
    key("servicecomb.fallback.**.force", CircuitBreaker, Kind::Flag, "Whether it always answers.")
        .live(""),
    key(
        "servicecomb.fallback.**.maxConcurrentRequests",
        CircuitBreaker,
        COUNT,
        "Fallbacks cost nothing, so there may be any number.",
    ),
    key(
        "servicecomb.fallbackpolicy.**.policy",
        CircuitBreaker,
        Kind::Choice(&["throwexception", "returnnull"]),
        "What the fallback answers.",
    )
    .live(""),
    key(
        "servicecomb.flowcontrol.**.qps.enabled",
        RateLimiting,
        Kind::Flag,
        "Whether calls are limited.",
    )
    .live(""),
    key(
        "servicecomb.flowcontrol.**.qps.global.limit",
        RateLimiting,
        Kind::Whole(0, u32::MAX as u64),
        "Calls a second.",
    )
    .live(""),
    key(
        "servicecomb.flowcontrol.**.qps.limit.*",
        RateLimiting,
        Kind::Whole(0, u32::MAX as u64),
        "Calls a second, of one service.",
    )
    .live(""),
    key("servicecomb.rateLimiting", RateLimiting, Kind::Tree, "Limits of matched traffic.")
        .live(""),
    key("servicecomb.match", RateLimiting, Kind::Tree, "What requests rules refer to.").live(""),
    key("servicecomb.governance", Fault, Kind::Tree, "Faults and delays of single services.")
        .live(""),
    key("servicecomb.router.infra", Router, INFRA, "Where rules come from: files (cse), or Istio with discovery."),
    key("servicecomb.router.address", Router, Kind::Urls, "Rules of Istio come with discovery."),
    key("servicecomb.routeRule", Router, Kind::Tree, "Which versions of a service are called.").live(""),
    key("servicecomb.sourceTemplate", Router, Kind::Tree, "Callers that rules name.").live(""),
    key("servicecomb.darklaunch", Router, Kind::Tree, "The same, as the console writes them.").live(""),
    key("egress.infra", Egress, INFRA, "Where rules come from: files (cse), or Istio with discovery."),
    key("egress.address", Egress, Kind::Urls, "Rules of Istio come with discovery."),
    key("egressRule", Egress, Kind::Tree, "Hosts outside of the mesh that may be called whatever mesher.passthrough says, on which ports, and where within TLS.").live(""),
    key("servicecomb.retry", CircuitBreaker, Kind::Tree, "Of java-chassis.").gone(JAVA),
    key("servicecomb.bulkhead", CircuitBreaker, Kind::Tree, "Of java-chassis.").gone(JAVA),
    key("servicecomb.instanceIsolation", CircuitBreaker, Kind::Tree, "Of java-chassis.").gone(JAVA),
];
