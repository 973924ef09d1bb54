//! All that governs requests is written anew while requests go through, file by file.

use std::fs;

use anyhow::Result;
use e2e::mesh::{Client, Load, Mesh, eventually};
use serde_json::Value;

/// Each file as it is first and as it is then: no key has the same value in both, and none refuses
/// anything.
const FILES: [(&str, &str, &str); 6] = [
    (
        "load_balancing.yaml",
        "cse:\n  loadbalance:\n    strategy: {name: RoundRobin}\n    serverListFilters: zoneaware\n    retryEnabled: true\n    retryOnNext: 1\n    retryOnSame: 1\n    retryTimeoutMs: 20000\n    retryBudgetPercent: 20\n    backoff: {kind: constant, minMs: 1, maxMs: 2}\n    outlier: {consecutiveErrors: 50, consecutiveGatewayErrors: 50, ejectionSeconds: 1, maxEjectionPercent: 10, successRateDeviation: 9000, successRateHosts: 5, successRateVolume: 100}\n    panicPercent: 10\n    slowStartSeconds: 1\n    orders: {strategy: {name: LeastLoaded}}\n",
        "cse:\n  loadbalance:\n    strategy: {name: Random}\n    retryEnabled: false\n    retryOnNext: 2\n    retryOnSame: 0\n    retryTimeoutMs: 30000\n    retryBudgetPercent: 30\n    backoff: {kind: exponential, minMs: 2, maxMs: 4}\n    outlier: {consecutiveErrors: 60, consecutiveGatewayErrors: 60, ejectionSeconds: 2, maxEjectionPercent: 20, successRateDeviation: 8000, successRateHosts: 6, successRateVolume: 200}\n    panicPercent: 20\n    slowStartSeconds: 2\n    orders: {strategy: {name: SessionStickiness}, SessionStickinessRule: {sessionTimeoutInSeconds: 9, successiveFailedTimes: 3}}\n",
    ),
    (
        "circuit_breaker.yaml",
        "cse:\n  isolation: {Consumer: {timeoutInMilliseconds: 20000, maxConcurrentRequests: 1000, orders: {timeoutInMilliseconds: 30000}}}\n  circuitBreaker:\n    scope: service\n    Consumer: {enabled: true, requestVolumeThreshold: 100, errorThresholdPercentage: 50, sleepWindowInMilliseconds: 1000}\n  fallback: {Consumer: {enabled: true}}\n  fallbackpolicy: {Consumer: {policy: throwexception}}\n",
        "cse:\n  isolation: {Consumer: {timeoutInMilliseconds: 25000, maxConcurrentRequests: 2000, orders: {timeoutInMilliseconds: 35000}}}\n  circuitBreaker:\n    scope: instance\n    Consumer: {enabled: true, forceClosed: true, requestVolumeThreshold: 200, errorThresholdPercentage: 60, sleepWindowInMilliseconds: 2000}\n  fallback: {Consumer: {enabled: false}}\n  fallbackpolicy: {Consumer: {policy: returnnull}}\n",
    ),
    (
        "rate_limiting.yaml",
        "cse:\n  flowcontrol:\n    Consumer: {qps: {limit: {orders: 4000000}}}\n    Provider: {qps: {global: {limit: 4000000}, limit: {front: 4000000}}}\nservicecomb:\n  match:\n    all: |\n      matches: [{apiPath: {contains: /}}]\n  rateLimiting:\n    many: |\n      match: all\n      rate: 4000000\n",
        "cse:\n  flowcontrol:\n    Consumer: {qps: {limit: {orders: 5000000}}}\n    Provider: {qps: {global: {limit: 5000000}, limit: {front: 5000000}}}\nservicecomb:\n  match:\n    all: |\n      matches: [{apiPath: {contains: hello}}]\n  rateLimiting:\n    many: |\n      match: all\n      rate: 5000000\n",
    ),
    (
        "fault.yaml",
        "cse.governance.Consumer._global.policy.fault.protocols.rest.delay: {percent: 1, fixedDelay: 1}\n",
        "cse.governance.Consumer._global.policy.fault.protocols.rest.delay: {percent: 2, fixedDelay: 2}\n",
    ),
    (
        "router.yaml",
        "routeRule:\n  orders:\n    - precedence: 2\n      match: {refer: nobody}\n      route: [{tags: {version: 9.9}}]\n    - precedence: 1\n      route: [{tags: {version: latest}, weight: 40}, {tags: {version: 0.0.0+}, weight: 60}]\n      mirror: {tags: {version: latest}, percent: 1}\nsourceTemplate:\n  nobody: {httpHeaders: {x-nobody: {exact: a}}}\n",
        "routeRule:\n  orders:\n    - precedence: 3\n      route: [{tags: {version: latest}, weight: 100}]\n      mirror: {service: orders, percent: 2}\nsourceTemplate:\n  nobody: {httpHeaders: {x-nobody: {exact: b}}}\n",
    ),
    (
        "mesher.yaml",
        "mesher: {passthrough: all, limits: {inFlight: 1000, queue: 10, queueTimeout: 1s, idleUpstream: 100}}\n",
        "mesher: {passthrough: none, limits: {inFlight: 2000, queue: 20, queueTimeout: 2s, idleUpstream: 200}}\n",
    ),
];

async fn configuration(admin: std::net::SocketAddr) -> Result<Value> {
    Client::once(admin, "GET", "/v1/mesher/config", "").await?.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_changes_under_load_and_no_request_fails() -> Result<()> {
    let mesh = Mesh::start()?;
    let mut instances = Vec::new();
    for name in ["one", "two"] {
        let application = mesh.mockserver(name, &[])?;
        let proxy = mesh.sidecar(name).serving("orders", application.port).start()?;
        instances.push((application, proxy));
    }
    mesh.registry.wait_for("orders", &["UP"; 2]).await?;
    let chassis = "region: {name: dc, region: north, availableZone: n1}\ncse: {handler: {chain: {Consumer: {outgoing: 'router,ratelimiter-consumer,bizkeeper-consumer,fault-inject,rate-limiter,loadbalance,transport'}}}}\n";
    let mut caller = mesh.sidecar("caller").file("chassis.yaml", chassis);
    for (name, first, _) in FILES {
        caller = caller.file(name, first);
    }
    let caller = caller.start()?;
    let folder = mesh.guard().folder().join("conf-caller");
    let begun = configuration(caller.admin).await?;
    assert_eq!(begun["errors"], Value::Array(Vec::new()), "{begun:#}");
    let load = Load::start(caller.consumer, "http://orders/hello", 4);
    load.more(50).await?;
    for round in 0..2 {
        for (name, first, other) in FILES {
            let text = if round == 0 { other } else { first };
            let before = configuration(caller.admin).await?["values"].clone();
            // As an editor writes it: whole, or not at all.
            fs::write(folder.join("next"), text)?;
            fs::rename(folder.join("next"), folder.join(name))?;
            eventually(name, async || {
                let now = configuration(caller.admin).await?;
                assert_eq!(now["errors"], Value::Array(Vec::new()), "{name}: {now:#}");
                assert_eq!(now["restartNeeded"], Value::Array(Vec::new()), "{name}: {now:#}");
                let changed = now["values"] != before;
                Ok(if changed { Ok(()) } else { Err("it is as before".to_owned()) })
            })
            .await?;
            load.more(30).await?;
        }
    }
    let tally = load.finish().await;
    assert_eq!(tally.failures, [""; 0], "of {}", tally.answered);
    Ok(())
}
