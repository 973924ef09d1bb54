//! All that governs requests is written anew while requests go through, file by file.

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
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
    let _orders = mesh.serve("orders", &[("one", "0.0.1"), ("two", "0.0.1")]).await?;
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

/// As `cp` and editors write that do not rename: the file is empty for a while, and then half there.
/// Either way it is in order, and would send requests to the latest version, which nobody named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_written_in_place_is_never_read_in_between() -> Result<()> {
    let mesh = Mesh::start()?;
    let versions = [("one", "1.0.0"), ("two", "2.0.0"), ("latest", "3.0.0")];
    let _orders = mesh.serve("orders", &versions).await?;
    let rules = |version: &str| {
        ["routeRule:\n", "  orders:\n", "    - route:\n", "        - {tags: {version: VERSION}}\n"]
            .map(|piece| piece.replace("VERSION", version))
    };
    let caller = mesh.sidecar("caller").file("router.yaml", &rules("1.0.0").concat()).start()?;
    let file = mesh.guard().folder().join("conf-caller/router.yaml");
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (mut client, stop) = (Client::new(caller.consumer), Arc::clone(&stop));
        clients.spawn(async move {
            let mut answered = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let reply = client.get("http://orders/", &[]).await?;
                ensure!(reply.status == 200, "{}", reply.text());
                let found = reply.json()?["Instance"].to_string();
                ensure!(found == "\"one\"" || found == "\"two\"", "{found} after {answered}");
                answered += 1;
            }
            Ok(answered)
        });
    }
    for round in 0..12_usize {
        let version = ["2.0.0", "1.0.0"][round % 2];
        tokio::task::block_in_place(|| {
            let mut written = fs::File::create(&file)?;
            for (at, piece) in rules(version).iter().enumerate() {
                // Once at each place, the writer is held up for longer than anybody would wait.
                let held_up = if round % 4 == at { 600 } else { 3 };
                std::thread::sleep(Duration::from_millis(held_up));
                written.write_all(piece.as_bytes())?;
            }
            anyhow::Ok(())
        })?;
        let wanted = format!("version: {version}");
        eventually(&wanted, async || {
            let shown = configuration(caller.admin).await?["values"].to_string();
            let there = shown.contains(&format!("\"{version}\"")) || shown.contains(&wanted);
            Ok(if there { Ok(()) } else { Err(shown) })
        })
        .await?;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        ensure!(client?? > 0, "a client without an answer");
    }
    Ok(())
}
