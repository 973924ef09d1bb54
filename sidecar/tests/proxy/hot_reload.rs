//! Everything that governs requests changes under load: none fails, and none is sent half by the old
//! terms and half by the new.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use discovery::Fixed;
use mesh::balance::{Outliers, Stickiness, Strategy, SuccessRate};
use mesh::route::{Condition, Mirror, MirrorTo, RequestMatch, Rule, Subset, Target, Test};
use mesh::virtual_host::Share;
use mesh::{
    Backoff, BreakerScope, BreakerTerms, Endpoint, Fault, Instance, InstanceId, Protocol, Rate,
    Retries, Service, ServiceKey, Status, Tags,
};
use sidecar::settings::{Balancing, Fallback, Governance, LimitGroup, Mark, Settings, Terms, Zone};
use tokio::time::timeout;

use crate::app::App;
use crate::world::{Client, PATIENCE, settings, start};

fn instance(version: &str, address: SocketAddr) -> Instance {
    let endpoint = Endpoint { protocol: Protocol::Rest, address, tls: false, service_port: None };
    Instance {
        id: InstanceId(version.into()),
        version: version.parse().expect("a version"),
        status: Status::Up,
        endpoints: vec![endpoint],
        tags: Tags::from([("version".into(), version.into())]),
    }
}

fn subset(version: &str) -> Subset {
    Subset::of_tags(Tags::from([("version".into(), version.into())]))
}

/// Requests go to `version`, by `strategy`; whatever else there is has a value for `first`, and
/// another for the other, and refuses nothing. Every field is named, so that none is forgotten.
fn governance(first: bool, version: &str, strategy: Strategy) -> Governance {
    let number = if first { 1 } else { 2 };
    let rate = Rate { per_second: 5_000_000 + number, burst: 5_000_000 };
    let path = Condition { test: Test::Begins("/".into()), any_case: first };
    let about = RequestMatch { path: Some(path), ..RequestMatch::default() };
    let success_rate = SuccessRate { deviation: 9_000 + number, ..SuccessRate::default() };
    let terms = Terms {
        breaker: BreakerTerms {
            scope: if first { BreakerScope::Service } else { BreakerScope::Instance },
            enabled: true,
            volume: 1_000_000 + number,
            ..BreakerTerms::default()
        },
        balancing: Balancing {
            strategy,
            outliers: Outliers { errors: 1_000 + number, success_rate, ..Outliers::default() },
            panic_percent: number.try_into().expect("it is small"),
            slow_start: Duration::from_millis(number.into()),
        },
        retries: Retries {
            next: number,
            backoff: Backoff::Constant(Duration::from_millis(number.into())),
            ..Retries::default()
        },
        failing: vec![if first { 500 } else { 503 }],
        timeout: Some(PATIENCE * number),
        connect: Some(PATIENCE * number),
        rate: Some(rate),
        concurrency: Some(1_000 + number),
        fault: Fault { delay: Some((1_000, Duration::from_millis(number.into()))), abort: None },
        fallback: Fallback { empty: first, forced: false },
    };
    let rule = Rule {
        matches: vec![about.clone()],
        targets: vec![Target { weight: 100, subset: subset(version) }],
        mirrors: vec![Mirror {
            to: MirrorTo::Subset(subset("1.0")),
            share: Share::of_million(10_000 * number),
        }],
    };
    let group = LimitGroup { name: String::new(), matches: vec![about], inverted: first, rate };
    let mark = Mark {
        name: if first { "one" } else { "other" }.to_owned(),
        matches: group.matches.clone(),
    };
    Governance {
        rules: [("ServiceB".to_owned(), vec![rule])].into(),
        services: [("ServiceB".to_owned(), terms.clone())].into(),
        provider: terms.clone(),
        consumer: terms,
        callers: [("front".to_owned(), rate)].into(),
        consumer_groups: vec![group.clone()],
        provider_groups: vec![group],
        consumer_marks: vec![mark.clone()],
        provider_marks: vec![mark],
        close_to: first.then(|| Zone { region: "north".to_owned(), zone: "n1".to_owned() }),
    }
}

fn changed(mut settings: Settings, first: bool) -> Settings {
    let sticky = Strategy::SessionStickiness(Stickiness::default());
    settings.governance = if first {
        governance(first, "1.0", Strategy::RoundRobin)
    } else {
        governance(first, "2.0", sticky)
    };
    settings.limits.in_flight = first.then_some(10_000);
    settings.limits.queue = if first { 10 } else { 20 };
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_or_goes_half_by_other_terms() {
    let (one, two) = (App::saying("one").await, App::saying("two").await);
    let instances = [instance("1.0", one.address), instance("2.0", two.address)];
    let service = Service::new(ServiceKey::new("default", "ServiceB"), instances);
    let mut settings = settings("ServiceA");
    settings.workers = std::num::NonZeroUsize::new(2);
    let settings = changed(settings, true);
    let (proxy, address) = start(settings, Arc::new(Fixed::new([service])));
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                let mut seen = [0, 0];
                while !done.load(Ordering::Relaxed) || seen.contains(&0) {
                    let answer = client.request("POST", "http://ServiceB/", "", "body").await;
                    assert_eq!((answer.status, answer.error()), (200, None), "{answer:?}");
                    let cookie = answer.header("set-cookie").is_some();
                    match (answer.body.as_str(), cookie) {
                        ("one", false) => seen[0] += 1,
                        ("two", true) => seen[1] += 1,
                        (who, cookie) => panic!("{who}, and a cookie: {cookie}"),
                    }
                }
                seen
            })
        })
        .collect();
    for change in 0..300 {
        let settings = changed(proxy.settings(), change % 2 == 1);
        assert_eq!(proxy.reconfigure(settings), [""; 0], "nothing waits for a restart");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    done.store(true, Ordering::Relaxed);
    // Those that have met only one of both meet the other.
    let change = tokio::spawn(async move {
        for change in 0.. {
            proxy.reconfigure(changed(proxy.settings(), change % 2 == 1));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    for client in clients {
        let seen = timeout(PATIENCE, client).await.expect("in time").expect("no request failed");
        assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    }
    change.abort();
}
