//! load_balancing.yaml, circuit_breaker.yaml, rate_limiting.yaml and fault.yaml.

use std::time::Duration;

use mesh::balance::{HashOn, Outliers, Stickiness, Strategy, SuccessRate};
use mesh::{Backoff, BreakerScope, Fault, GrpcStatus, Rate};
use sidecar::settings::{Fallback, Governance, Terms, Zone};

use crate::support::{World, assert_among};

fn governance(world: &World) -> Governance {
    assert_eq!(world.problems(), [""; 0]);
    world.settings().governance
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_service_has_what_is_said_of_it_and_the_rest_of_all() {
    let world = World::new().file(
        "conf/load_balancing.yaml",
        "cse:\n\
         \x20 loadbalance:\n\
         \x20   strategy: {name: Random}\n\
         \x20   retryEnabled: true\n\
         \x20   retryOnNext: 2\n\
         \x20   backoff: {kind: constant, minMs: 200, maxMs: 400}\n\
         \x20   slow: {backoff: {kind: exponential}, retryOnSame: 1, retryAnyMethod: true, retryGrpcStatuses: [unavailable, 8]}\n\
         \x20   a.b: {strategy: {name: weightedresponse}, retryEnabled: false}\n\
         \x20   sticky:\n\
         \x20     strategy: {name: SessionStickiness}\n\
         \x20     SessionStickinessRule: {sessionTimeoutInSeconds: 9, successiveFailedTimes: 2}\n\
         \x20   hashed: {strategy: {name: Maglev, hashOn: 'header:X-User'}}\n\
         \x20   ring: {strategy: {name: RingHash, hashOn: client}, slowStartSeconds: 7, panicPercent: 50}\n\
         \x20   bad: {outlier: {consecutiveErrors: 5, ejectionSeconds: 3, maxEjectionPercent: 40, successRateDeviation: 1900, successRateHosts: 3}}\n",
    );
    let governance = governance(&world);
    let all = &governance.consumer;
    assert_eq!(all.balancing.strategy, Strategy::Random);
    assert_eq!((all.retries.next, all.retries.same), (2, 0));
    assert_eq!(all.retries.backoff, Backoff::Constant(millis(200)));
    let of = |name: &str| &governance.services[name];
    let slow = of("slow");
    assert_eq!((slow.retries.next, slow.retries.same, slow.retries.any_method), (2, 1, true));
    assert_eq!(slow.retries.backoff, Backoff::Exponential(millis(200), millis(400)));
    let calls = [GrpcStatus::UNAVAILABLE, GrpcStatus::RESOURCE_EXHAUSTED].into_iter().collect();
    assert_eq!(slow.retries.calls, calls);
    assert_eq!(slow.balancing.strategy, Strategy::Random);
    assert_eq!(of("a.b").balancing.strategy, Strategy::WeightedResponse);
    assert!(!of("a.b").retries.is_on());
    let stickiness = Stickiness { timeout: Duration::from_secs(9), failures: 2 };
    assert_eq!(of("sticky").balancing.strategy, Strategy::SessionStickiness(stickiness));
    let on_user = Strategy::Maglev(HashOn::Header("x-user".into()));
    assert_eq!(of("hashed").balancing.strategy, on_user);
    let ring = &of("ring").balancing;
    assert_eq!(ring.strategy, Strategy::RingHash(HashOn::Client));
    assert_eq!((ring.slow_start, ring.panic_percent), (Duration::from_secs(7), 50));
    let outliers = Outliers {
        errors: 5,
        first: Duration::from_secs(3),
        most_percent: 40,
        success_rate: SuccessRate { deviation: 1900, hosts: 3, volume: 100 },
        ..Outliers::default()
    };
    assert_eq!(of("bad").balancing.outliers, outliers);
    assert_eq!(governance.services.len(), 6);
}

#[test]
fn breakers_limits_and_timeouts_of_single_services() {
    let world = World::new()
        .file(
            "conf/circuit_breaker.yaml",
            "cse:\n\
             \x20 isolation: {Consumer: {b: {timeoutInMilliseconds: 1500, maxConcurrentRequests: 100}}}\n\
             \x20 circuitBreaker: {Consumer: {requestVolumeThreshold: 7, b: {enabled: true}}}\n\
             \x20 circuitBreaker.scope: instance\n\
             \x20 fallback: {Consumer: {c: {force: true}, d: {enabled: false}}}\n\
             \x20 fallbackpolicy: {Consumer: {policy: returnnull, b: {policy: throwexception}}}\n\
             \x20 transport: {failure: {rest: 'http_500, http_502'}}\n",
        )
        .file(
            "conf/rate_limiting.yaml",
            "cse:\n\
             \x20 flowcontrol:\n\
             \x20   Consumer: {qps: {limit: {b: 100, c: 0}}}\n\
             \x20   Provider: {qps: {global: {limit: 50}, limit: {front: 4}}}\n\
             servicecomb:\n\
             \x20 match: {api: {matches: [{apiPath: {contains: api}}]}}\n\
             \x20 rateLimiting:\n\
             \x20   some: |\n\
             \x20     match: api\n\
             \x20     rate: 10\n\
             \x20     burst: 1\n\
             \x20   others: 'match: none\n\n      rate: 20'\n",
        );
    let governance = governance(&world);
    let b = &governance.services["b"];
    assert_eq!(b.timeout, Some(millis(1500)));
    assert_eq!(b.concurrency, Some(100));
    assert!(b.breaker.enabled && !governance.consumer.breaker.enabled);
    assert_eq!((b.breaker.volume, b.breaker.scope), (7, BreakerScope::Instance));
    assert_eq!(governance.provider.breaker.scope, BreakerScope::Service);
    assert!(b.fails(502) && !b.fails(503));
    assert_eq!(b.rate, Some(Rate { per_second: 100, burst: 20 }));
    let fallback = |name: &str| {
        let Fallback { empty, forced } = governance.services[name].fallback;
        (empty, forced)
    };
    assert_eq!(["b", "c", "d"].map(fallback), [(false, false), (true, true), (false, false)]);
    assert!(governance.consumer.fallback.empty);
    assert_eq!(governance.services["c"].rate, Some(Rate { per_second: 0, burst: 10 }));
    assert_eq!(governance.provider.rate, Some(Rate { per_second: 50, burst: 10 }));
    assert_eq!(governance.callers["front"], Rate { per_second: 4, burst: 10 });
    assert!(governance.consumer_groups.is_empty(), "its handler is in the provider's chain alone");
    let groups: Vec<_> = governance
        .provider_groups
        .iter()
        .map(|group| (group.name.as_str(), group.matches.len(), group.inverted, group.rate))
        .collect();
    let expected = [
        ("others", 1, true, Rate { per_second: 20, burst: 4 }),
        ("some", 1, false, Rate { per_second: 10, burst: 1 }),
    ];
    assert_eq!(groups, expected);
}

#[test]
fn faults_of_all_and_of_one() {
    let world = World::new().file(
        "conf/fault.yaml",
        "cse:\n\
         \x20 governance:\n\
         \x20   Consumer:\n\
         \x20     _global: {policy: {fault: {protocols: {rest: {delay: {percent: 10, fixedDelay: 5}}}}}}\n\
         \x20     b: {policy: {fault: {protocols: {rest: {abort: {percent: 100, httpStatus: 421}}}}}}\n",
    );
    let governance = governance(&world);
    let delay = Some((100_000, millis(5)));
    assert_eq!(governance.consumer.fault, Fault { delay, abort: None });
    let abort = Some((1_000_000, 421));
    assert_eq!(governance.services["b"].fault, Fault { delay, abort });
}

#[test]
fn what_is_close_is_known_by_the_region() {
    let filters = "cse: {loadbalance: {serverListFilters: zoneaware}}\n";
    let region = "region: {name: dc, region: north, availableZone: n1}\n";
    let world = World::new().file("conf/load_balancing.yaml", filters);
    assert!(world.problems()[0].contains("has no effect: region.region"), "{:?}", world.problems());
    let world = world.file("conf/chassis.yaml", region);
    let zone = Zone { region: "north".to_owned(), zone: "n1".to_owned() };
    assert_eq!(governance(&world).close_to, Some(zone));
    let world = world.file("conf/chassis.yaml", "region: {region: north pole}\n");
    let warning = "warning: conf/chassis.yaml:1: region.region: is not told to others";
    assert!(world.problems()[0].starts_with(warning), "{:?}", world.problems());
}

#[test]
fn what_is_wrong_has_its_place() {
    let world = World::new()
        .file(
            "conf/load_balancing.yaml",
            "cse:\n\
             \x20 loadbalance:\n\
             \x20   a: {strategy: {name: Maglev}}\n\
             \x20   b: {strategy: {name: RingHash, hashOn: colour}}\n\
             \x20   c: {strategy: {name: Fastest}}\n",
        )
        .file(
            "conf/fault.yaml",
            "cse.governance.Consumer._global.policy.fault.protocols.rest:\n\
             \x20 delay: {percent: 101, fixedDelay: 5}\n\
             \x20 abort: {percent: 1, httpStatus: 100}\n",
        )
        .file(
            "conf/rate_limiting.yaml",
            "servicecomb:\n\
             \x20 rateLimiting:\n\
             \x20   a: |\n\
             \x20     match: nothing\n\
             \x20     rate: 1\n\
             \x20   b: |\n\
             \x20     rate: 1\n",
        )
        .file("conf/chassis.yaml", "cse: {transport: {failure: {rest: '500'}}}\n");
    let problems = world.problems();
    assert_among(
        &problems,
        &[
            "error: conf/load_balancing.yaml:3: cse.loadbalance.a.strategy.name: strategy.hashOn has to say",
            "error: conf/load_balancing.yaml:4: cse.loadbalance.b.strategy.hashOn: strategy.hashOn has to say",
            "error: conf/load_balancing.yaml:5: cse.loadbalance.c.strategy.name: \"Fastest\" is not allowed",
            "error: conf/fault.yaml:2: cse.governance.Consumer._global.policy.fault.protocols.rest.delay.percent: \"101\"",
            "error: conf/fault.yaml:3: cse.governance.Consumer._global.policy.fault.protocols.rest.abort.httpStatus: \"100\"",
            "error: conf/rate_limiting.yaml:4: servicecomb.rateLimiting.a: match: \"nothing\" is not allowed",
            "error: conf/rate_limiting.yaml:7: servicecomb.rateLimiting.b: match and rate are needed",
            "error: conf/chassis.yaml:1: cse.transport.failure.rest: \"500\" is not allowed here: write http_500",
        ],
    );
    assert_eq!(problems.len(), 8, "{problems:#?}");
}

#[test]
fn nothing_is_governed_without_a_word() {
    assert_eq!(governance(&World::new()), Governance::default());
    let world = World::new()
        .file(
            "conf/fault.yaml",
            "cse.governance.Consumer.b.policy.fault.protocols.rest.abort: {percent: 1, httpStatus: 500}\n",
        )
        .variable("OUTGOING_HANDLER", "router,loadbalance,transport");
    assert_eq!(world.settings().governance.services["b"], Terms::default());
    assert!(world.problems()[0].contains("fault-inject is not in handler.chain.Consumer.outgoing"));
}

#[test]
fn what_is_marked_once_is_told_to_others() {
    let matches = "servicecomb:\n  match:\n    writes: |\n      matches:\n        - {method: [POST], trafficMarkPolicy: once}\n        - {method: [PUT], trafficMarkPolicy: perService}\n    reads: |\n      matches: [{method: [GET]}]\n";
    let world = World::new().file("conf/rate_limiting.yaml", matches);
    assert_eq!(world.problems(), [""; 0]);
    let found = governance(&world);
    for marks in [&found.consumer_marks, &found.provider_marks] {
        assert_eq!(marks.len(), 1, "{marks:?}");
        assert_eq!((marks[0].name.as_str(), marks[0].matches.len()), ("writes", 1));
        assert_eq!(marks[0].matches[0].mark.as_deref(), Some("writes"));
    }
    let chain =
        "servicecomb: {handler: {chain: {Consumer: {outgoing: 'router,loadbalance,transport'}}}}\n";
    let without = governance(&world.file("conf/chassis.yaml", chain));
    assert!(without.consumer_marks.is_empty() && !without.provider_marks.is_empty());
    let wrong = "servicecomb: {match: {a: {matches: [{trafficMarkPolicy: always}]}}}\n";
    let wrong = World::new().file("conf/rate_limiting.yaml", wrong).problems();
    assert!(wrong[0].contains("write once or perService"), "{wrong:?}");
}
