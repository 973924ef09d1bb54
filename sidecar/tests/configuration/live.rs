//! Every key of governance has its effect while `mesher` runs: another value makes other terms, and
//! nothing of it waits for a restart.

use sidecar::settings::Settings;

use crate::support::World;

/// A key below `servicecomb.` (or as it is), and two values of it.
type Row = (&'static str, &'static str, &'static str);

/// What has to be so for some keys to matter.
const AROUND: [Row; 17] = [
    ("handler.chain.Consumer.outgoing", CONSUMER, ""),
    ("handler.chain.Provider.incoming", PROVIDER, ""),
    ("region.region", "north", ""),
    ("region.availableZone", "n1", ""),
    ("loadbalance.retryEnabled", "true", ""),
    ("loadbalance.retryOnNext", "3", ""),
    ("loadbalance.sticky.strategy.name", "SessionStickiness", ""),
    ("loadbalance.sessions.strategy.name", "SessionStickiness", ""),
    ("loadbalance.hashed.strategy.name", "RingHash", ""),
    ("loadbalance.hashed.strategy.hashOn", "client", ""),
    ("circuitBreaker.Consumer.enabled", "true", ""),
    ("governance.Consumer._global.policy.fault.protocols.rest.abort.httpStatus", "503", ""),
    ("governance.Consumer._global.policy.fault.protocols.rest.delay.fixedDelay", "5", ""),
    ("flowcontrol.Consumer.qps.limit.b", "9", ""),
    ("fallbackpolicy.Consumer.policy", "returnnull", ""),
    ("match.api", "matches: [{apiPath: {contains: api}}]", ""),
    ("sourceTemplate.us", "{httpHeaders: {a: {exact: b}}}", ""),
];
const CONSUMER: &str = "router,ratelimiter-consumer,bizkeeper-consumer,fault-inject,rate-limiter,loadbalance,transport";
const PROVIDER: &str = "ratelimiter-provider,bizkeeper-provider,rate-limiter,transport";

const ROWS: [Row; 72] = [
    ("loadbalance.strategy.name", "Random", "RoundRobin"),
    ("loadbalance.b.strategy.name", "LeastLoaded", "Random"),
    ("loadbalance.sticky.strategy.sessionTimeoutInSeconds", "9", "8"),
    ("loadbalance.sessions.SessionStickinessRule.sessionTimeoutInSeconds", "9", "8"),
    ("loadbalance.sessions.SessionStickinessRule.successiveFailedTimes", "9", "8"),
    ("loadbalance.hashed.strategy.hashOn", "header:a", "cookie:a"),
    ("loadbalance.serverListFilters", "zoneaware", ""),
    ("loadbalance.retryEnabled", "false", "true"),
    ("loadbalance.retryOnNext", "1", "2"),
    ("loadbalance.b.retryOnNext", "1", "2"),
    ("loadbalance.retryOnSame", "1", "2"),
    ("loadbalance.retryAnyMethod", "true", "false"),
    ("loadbalance.retryTimeoutMs", "1", "2"),
    ("loadbalance.retryBudgetPercent", "1", "2"),
    ("loadbalance.backoff.kind", "zero", "constant"),
    ("loadbalance.backoff.minMs", "10", "20"),
    ("loadbalance.backoff.maxMs", "10", "20"),
    ("loadbalance.outlier.consecutiveErrors", "1", "2"),
    ("loadbalance.outlier.consecutiveGatewayErrors", "1", "2"),
    ("loadbalance.outlier.ejectionSeconds", "1", "2"),
    ("loadbalance.outlier.maxEjectionPercent", "1", "2"),
    ("loadbalance.outlier.successRateDeviation", "1", "2"),
    ("loadbalance.outlier.successRateHosts", "1", "2"),
    ("loadbalance.outlier.successRateVolume", "1", "2"),
    ("loadbalance.panicPercent", "1", "2"),
    ("loadbalance.slowStartSeconds", "1", "2"),
    ("isolation.Consumer.timeoutInMilliseconds", "1000", "2000"),
    ("isolation.Consumer.b.timeoutInMilliseconds", "1000", "2000"),
    ("isolation.Consumer.maxConcurrentRequests", "1", "2"),
    ("isolation.Consumer.b.maxConcurrentRequests", "1", "2"),
    ("isolation.Provider.maxConcurrentRequests", "1", "2"),
    ("circuitBreaker.scope", "instance", "service"),
    ("circuitBreaker.Consumer.enabled", "true", "false"),
    ("circuitBreaker.Consumer.forceOpen", "true", "false"),
    ("circuitBreaker.Consumer.forceClosed", "true", "false"),
    ("circuitBreaker.Consumer.sleepWindowInMilliseconds", "1", "2"),
    ("circuitBreaker.Consumer.requestVolumeThreshold", "1", "2"),
    ("circuitBreaker.Consumer.errorThresholdPercentage", "1", "2"),
    ("circuitBreaker.Provider.enabled", "true", "false"),
    ("circuitBreaker.Provider.forceOpen", "true", "false"),
    ("circuitBreaker.Provider.forceClosed", "true", "false"),
    ("circuitBreaker.Provider.sleepWindowInMilliseconds", "1", "2"),
    ("circuitBreaker.Provider.requestVolumeThreshold", "1", "2"),
    ("circuitBreaker.Provider.errorThresholdPercentage", "1", "2"),
    ("circuitBreaker.Consumer.b.enabled", "false", "true"),
    ("circuitBreaker.Consumer.b.forceOpen", "true", "false"),
    ("circuitBreaker.Consumer.b.forceClosed", "true", "false"),
    ("circuitBreaker.Consumer.b.sleepWindowInMilliseconds", "1", "2"),
    ("circuitBreaker.Consumer.b.requestVolumeThreshold", "1", "2"),
    ("circuitBreaker.Consumer.b.errorThresholdPercentage", "1", "2"),
    ("fallback.Consumer.enabled", "true", "false"),
    ("flowcontrol.Consumer.qps.enabled", "true", "false"),
    ("fallback.Consumer.force", "true", "false"),
    ("fallbackpolicy.Consumer.policy", "returnnull", "throwexception"),
    ("fallbackpolicy.Consumer.b.policy", "returnnull", "throwexception"),
    ("flowcontrol.Consumer.qps.limit.b", "1", "2"),
    ("flowcontrol.Provider.qps.global.limit", "1", "2"),
    ("flowcontrol.Provider.qps.limit.front", "1", "2"),
    ("rateLimiting.few", "{match: api, rate: 1}", "{match: api, rate: 2}"),
    ("governance.Consumer.b.policy.fault.protocols.rest.abort.percent", "1", "2"),
    ("governance.Consumer._global.policy.fault.protocols.rest.abort.percent", "1", "2"),
    ("governance.Consumer._global.policy.fault.protocols.rest.delay.percent", "1", "2"),
    ("routeRule.b", "[{route: [{tags: {version: 1.0}}]}]", "[{route: [{tags: {version: 2.0}}]}]"),
    ("routeRule.b", "[{match: {refer: us}}]", "[{match: {refer: api}}]"),
    ("routeRule.b", "[{mirror: {service: c}}]", "[{mirror: {service: d}}]"),
    ("darklaunch.policy.c", DARK, ""),
    ("transport.failure.rest", "http_500", "http_501"),
    ("mesher.limits.inFlight", "1", "2"),
    ("mesher.limits.queue", "1", "2"),
    ("mesher.limits.queueTimeout", "1s", "2s"),
    ("mesher.limits.requestTimeout", "1s", "2s"),
    ("mesher.passthrough", "all", "none"),
];
const DARK: &str = "{\"policyType\": \"RATE\", \"ruleItems\": [{\"groupCondition\": \"version=1.0\", \"policyCondition\": \"50\"}]}";

/// The settings where `key` has a value, with all that has to be around it.
fn with(key: &str, value: &str) -> Settings {
    let full = |key: &str| {
        if key.starts_with("mesher.") { key.to_owned() } else { format!("servicecomb.{key}") }
    };
    let around = AROUND.iter().filter(|(around, ..)| *around != key);
    let world = around.fold(World::new(), |world, (key, value, _)| world.flag(&full(key), value));
    let world = if value.is_empty() { world } else { world.flag(&full(key), value) };
    let problems = world.problems();
    let errors = problems.iter().filter(|problem| problem.starts_with("error"));
    assert_eq!(errors.count(), 0, "{key}: {value}: {problems:#?}");
    world.settings()
}

#[test]
fn another_value_of_any_key_is_taken_over() {
    for (key, one, other) in ROWS {
        let (one, other) = (with(key, one), with(key, other));
        let same = one.governance == other.governance
            && one.limits == other.limits
            && one.passthrough == other.passthrough;
        assert!(!same, "{key} has no effect");
        let (taken, kept) = other.clone().taken_over(&one);
        assert_eq!(kept, [""; 0], "{key} waits for a restart");
        assert!(taken.governance == other.governance && taken.limits == other.limits, "{key}");
    }
}
