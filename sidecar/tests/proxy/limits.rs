//! Rate limits, requests under way, and faults on purpose.

use std::sync::Arc;
use std::time::Duration;

use discovery::Fixed;
use mesh::route::{Condition, RequestMatch, Test};
use mesh::{Fault, Rate};
use sidecar::Proxy;
use sidecar::settings::{Fallback, LimitGroup, Settings};
use tokio::time::Instant;

use crate::app::App;
use crate::world::{Answer, Client, nobody, provider_settings, service, settings, start};

/// So few that no test takes until there is another.
fn few(burst: u32) -> Rate {
    Rate { per_second: 1, burst }
}

fn consumer(settings: Settings, app: &App) -> (Proxy, std::net::SocketAddr) {
    start(settings, Arc::new(Fixed::new([service("ServiceB", &[app.address])])))
}

/// Of so many requests, the statuses.
async fn statuses(client: &mut Client, url: &str, lines: &str, count: usize) -> Vec<u16> {
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(client.request("GET", url, lines, "").await.status);
    }
    found
}

#[tokio::test]
async fn more_than_the_limit_are_refused() {
    let app = App::saying("okay").await;
    let mut settings = settings("ServiceA");
    settings.governance.consumer.rate = Some(few(3));
    let (proxy, address) = consumer(settings, &app);
    let mut client = Client::connect(address).await;
    let found = statuses(&mut client, "http://ServiceB/", "", 20).await;
    let passed = found.iter().filter(|status| **status == 200).count();
    assert!((3..20).contains(&passed), "{found:?}");
    assert_eq!(found[..3], [200; 3]);
    let refused = client.get("http://ServiceB/").await;
    if refused.status == 429 {
        assert_eq!(refused.error(), Some("rate_limited"));
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!(refused.body, "too many requests");
    }
    let mut admin = Client::connect(proxy.addresses().admin[0]).await;
    let metrics = admin.get("/metrics").await.body;
    let counted = "mesher_refusals_total{service_name=\"ServiceB\",app=\"default\",side=\"consumer\",reason=\"rate_limited\"}";
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn nobody_passes_a_limit_of_none() {
    let app = App::saying("okay").await;
    let mut settings = settings("ServiceA");
    settings.governance.consumer.rate = Some(Rate { per_second: 0, burst: 1 });
    let (_proxy, address) = consumer(settings, &app);
    let answer = Client::connect(address).await.get("http://ServiceB/").await;
    assert_eq!((answer.status, answer.error()), (429, Some("rate_limited")));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.body, "too many requests");
}

#[tokio::test]
async fn callers_with_a_limit_of_their_own_have_no_part_in_the_rest() {
    let app = App::saying("okay").await;
    let mut settings = provider_settings("ServiceB", app.address.port());
    let none = Rate { per_second: 0, burst: 1 };
    settings.governance.callers.insert("ServiceA".to_owned(), none);
    let (proxy, _) = start(settings, Arc::new(Fixed::new([])));
    let mut client = Client::connect(proxy.addresses().provider[0]).await;
    let context = "x-cse-context: {\"x-cse-src-microservice\":\"ServiceA\"}\r\n";
    for (lines, status) in
        [("", 200), ("x-cse-src-microservice: ServiceA\r\n", 429), (context, 429), ("", 200)]
    {
        let answer = client.request("GET", "/", lines, "").await;
        assert_eq!(answer.status, status, "{lines}");
    }
    let mut settings = proxy.settings();
    settings.governance.provider.rate = Some(none);
    settings.governance.callers.insert("ServiceA".to_owned(), few(10));
    proxy.reconfigure(settings);
    for (lines, status) in [("", 429), (context, 200)] {
        assert_eq!(client.request("GET", "/", lines, "").await.status, status, "{lines}");
    }
}

#[tokio::test]
async fn requests_that_look_alike_have_a_limit() {
    let app = App::saying("okay").await;
    let mut settings = settings("ServiceA");
    let test = Test::Contains("some/api".into());
    let path = Some(Condition { test, any_case: false });
    settings.governance.consumer_groups = vec![LimitGroup {
        name: "api".to_owned(),
        matches: vec![RequestMatch { path, ..RequestMatch::default() }],
        inverted: false,
        rate: Rate { per_second: 0, burst: 1 },
    }];
    let (_proxy, address) = consumer(settings, &app);
    let mut client = Client::connect(address).await;
    for (path, status) in [("/", 200), ("/some/api?x", 429), ("/?some/api", 200)] {
        let url = format!("http://ServiceB{path}");
        assert_eq!(client.get(&url).await.status, status, "{path}");
    }
}

/// Two are under way, and a third is not let in until they are answered. What it is told.
async fn a_third_is_refused(settings: Settings) -> Answer {
    let (app, gate) = App::gated().await;
    let (_proxy, address) = consumer(settings, &app);
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(address).await;
        client.send("GET http://ServiceB/ HTTP/1.1\r\nhost: ServiceB\r\n\r\n").await;
        waiting.push(client);
    }
    // The two are under way once the application has them.
    while app.connections() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let refused = Client::connect(address).await.get("http://ServiceB/").await;
    assert_eq!((refused.status, refused.error()), (503, Some("overload")), "{refused:?}");
    gate.add_permits(3);
    for mut client in waiting {
        assert_eq!(client.answer().await.status, 200);
    }
    assert_eq!(Client::connect(address).await.get("http://ServiceB/").await.status, 200);
    refused
}

#[tokio::test]
async fn no_more_are_under_way_than_may_be() {
    let mut settings = settings("ServiceA");
    settings.governance.consumer.concurrency = Some(2);
    let refused = a_third_is_refused(settings).await;
    assert_eq!(refused.body, "API ServiceB is reject because of error: max concurrency");
}

#[tokio::test]
async fn no_more_are_under_way_together_than_may_be() {
    let mut settings = settings("ServiceA");
    settings.limits.in_flight = Some(2);
    let refused = a_third_is_refused(settings).await;
    assert_eq!(refused.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_fallback_answers_for_a_service_that_cannot() {
    let mut settings = settings("ServiceA");
    settings.governance.consumer.fallback = Fallback { empty: true, forced: false };
    let source = Fixed::new([service("ServiceB", &[nobody()])]);
    let (proxy, address) = start(settings, Arc::new(source));
    let mut client = Client::connect(address).await;
    let answer = client.get("http://ServiceB/").await;
    let found = (answer.status, answer.body.as_str(), answer.error());
    assert_eq!(found, (200, "", Some("connect_refused")));
    let answer = client.get("http://Nobody/").await;
    assert_eq!(answer.status, 502, "what is no service has none");
    let mut admin = Client::connect(proxy.addresses().admin[0]).await;
    let metrics = admin.get("/metrics").await.body;
    let counted =
        "mesher_fallbacks_total{service_name=\"ServiceB\",app=\"default\",side=\"consumer\"} 1";
    assert!(metrics.contains(counted), "{metrics}");

    let mut settings = proxy.settings();
    settings.governance.consumer.fallback = Fallback { empty: false, forced: true };
    proxy.reconfigure(settings);
    let answer = client.get("http://ServiceB/").await;
    assert_eq!((answer.status, answer.error()), (503, Some("circuit_open")));
    assert_eq!(answer.body, "API ServiceB is isolated because of error: force fallback");
}

#[tokio::test]
async fn faults_are_made_on_purpose() {
    let app = App::saying("okay").await;
    let mut settings = settings("ServiceA");
    settings.governance.consumer.fault = Fault { delay: None, abort: Some((Fault::WHOLE, 421)) };
    let (proxy, address) = consumer(settings, &app);
    let mut client = Client::connect(address).await;
    let answer = client.get("http://ServiceB/").await;
    assert_eq!((answer.status, answer.error()), (421, Some("fault_injected")));
    assert_eq!(answer.body, "injecting abort");
    assert_eq!(app.connections(), 0, "the service has no part in it");

    let wait = Duration::from_millis(50);
    let mut settings = proxy.settings();
    settings.governance.consumer.fault = Fault { delay: Some((Fault::WHOLE, wait)), abort: None };
    proxy.reconfigure(settings);
    let began = Instant::now();
    assert_eq!(client.get("http://ServiceB/").await.status, 200);
    assert!(began.elapsed() >= wait);
}
