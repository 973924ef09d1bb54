//! Who may see and do what on the admin port.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use discovery::{Demand, Fixed, Source, State};
use mesh::{ServiceKey, Snapshot};
use sidecar::{Phase, Proxy};
use tokio::sync::watch;

use crate::world::{Answer, Client, nobody, provider_settings};

/// What answers everybody, and what loopback alone.
const OPEN: [&str; 4] = ["/healthz", "/readyz", "/metrics", "/v1/mesher/metrics"];
const GUARDED: [(&str, &str); 8] = [
    ("GET", "/v1/mesher/health"),
    ("GET", "/v1/mesher/version"),
    ("GET", "/v1/mesher/status"),
    ("GET", "/v1/mesher/services"),
    ("GET", "/v1/mesher/connections"),
    ("GET", "/v1/mesher/discovery"),
    ("GET", "/v1/mesher/config"),
    ("POST", "/drain"),
];

fn proxy(enabled: bool, public: bool) -> Proxy {
    let mut settings = provider_settings("ServiceB", nobody().port());
    settings.admin.enabled = enabled;
    settings.admin.public = public;
    Proxy::start(settings, Arc::new(Fixed::new([]))).expect("a proxy")
}

#[tokio::test]
async fn health_and_metrics_answer_everybody_and_the_rest_loopback() {
    for enabled in [false, true] {
        let proxy = proxy(enabled, false);
        let [loopback, pod] = proxy.addresses().admin[..] else { panic!("two addresses") };
        assert_eq!(loopback.ip(), std::net::Ipv4Addr::LOCALHOST);
        for (address, guarded) in [(pod, 404), (loopback, 200)] {
            let mut client = Client::connect(address).await;
            for path in OPEN {
                assert_eq!(client.get(path).await.status, 200, "{address} {path}");
            }
            assert_eq!(client.get("/drain").await.status, if guarded == 200 { 405 } else { 404 });
            for (method, path) in GUARDED {
                let status = client.request(method, path, "", "").await.status;
                assert_eq!(status, guarded, "{address} {path}");
                let draining = proxy.lifecycle().phase() == Phase::Draining;
                assert_eq!(draining, path == "/drain" && guarded == 200, "{address} {path}");
            }
        }
    }
}

#[tokio::test]
async fn an_address_that_was_named_for_it_answers_all_to_everybody() {
    let proxy = proxy(true, true);
    let mut client = Client::connect(proxy.addresses().admin[1]).await;
    for (method, path) in GUARDED {
        assert_eq!(client.request(method, path, "", "").await.status, 200, "{path}");
    }
    assert_eq!(proxy.lifecycle().phase(), Phase::Draining);
}

#[tokio::test]
async fn a_source_that_does_not_answer_is_to_be_seen_and_nobody_is_less_ready_for_it() {
    /// A source that has not answered for a while.
    struct Silent(Fixed);
    impl Source for Silent {
        fn demand(&self, key: &ServiceKey) -> Demand {
            self.0.demand(key)
        }
        fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
            self.0.snapshots()
        }
        fn state(&self) -> watch::Receiver<State> {
            let since = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
            watch::channel(State::Stale { since, error: "no answer".to_owned() }).1
        }
    }
    let settings = provider_settings("ServiceB", nobody().port());
    let proxy = Proxy::start(settings, Arc::new(Silent(Fixed::new([])))).expect("a proxy");
    let mut client = Client::connect(proxy.addresses().admin[1]).await;
    assert_eq!(client.get("/readyz").await.status, 200);
    let metrics = client.get("/metrics").await.body;
    let line = "mesher_discovery_stale_since_timestamp_seconds 1700000000.0\n";
    assert!(metrics.contains(line), "{metrics}");
}

/// Asks on loopback, with these header lines.
async fn ask(proxy: &Proxy, method: &str, path: &str, lines: &str) -> Answer {
    let mut client = Client::connect(proxy.addresses().admin[0]).await;
    client.request(method, path, lines, "").await
}

#[tokio::test]
async fn whoever_asks_for_something_else_is_told_what_there_is() {
    let proxy = proxy(true, false);
    let missing = ask(&proxy, "GET", "/metric", "").await;
    assert_eq!(missing.status, 404);
    let lines = || missing.body.lines().filter(|line| line.contains("  /"));
    assert!(lines().count() > 10, "{}", missing.body);
    for line in lines() {
        let mut words = line.split_whitespace();
        let (Some(method), Some(path)) = (words.next(), words.next()) else { panic!("{line}") };
        if method != "POST" {
            let found = ask(&proxy, method, path, "").await;
            // Where something is to be filled in, there is nothing of that name.
            let expected = if path.contains('{') { 404 } else { 200 };
            assert_eq!(found.status, expected, "{line}: {}", found.body);
            assert!(!found.body.starts_with("there is no /"), "{line}");
        }
        let other = if method == "POST" { "GET" } else { "POST" };
        let wrong = ask(&proxy, other, path, "").await;
        assert_eq!(wrong.status, 405, "{line}");
        assert!(
            wrong.header("allow").is_some_and(|allow| allow.contains(method)),
            "{}",
            wrong.head
        );
        assert!(wrong.body.contains(method), "{}", wrong.body);
    }
    let json = ask(&proxy, "GET", "/metric", "accept: application/json\r\n").await;
    assert_eq!((json.status, json.header("content-type")), (404, Some("application/json")));

    // Who may not see it all is told where that is.
    let mut outside = Client::connect(proxy.addresses().admin[1]).await;
    for path in ["/", "/debug", "/v1/mesher/config"] {
        let answer = outside.get(path).await;
        assert!(answer.body.contains("/healthz"), "{path}: {}", answer.body);
        assert!(!answer.body.contains("/drain"), "{path}: {}", answer.body);
        assert!(answer.body.contains("port-forward"), "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn browsers_get_the_page_and_what_it_may_do() {
    let proxy = proxy(false, false);
    let page = ask(&proxy, "GET", "/", "accept: text/html,*/*;q=0.8\r\n").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.body.starts_with("<!doctype html>"), "{}", page.body);
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let list = ask(&proxy, "GET", "/", "accept: */*\r\n").await;
    assert!(list.body.starts_with("mesher "), "{}", list.body);
}

/// DNS rebinding, and forms or scripts of other pages.
#[tokio::test]
async fn no_other_web_site_reads_or_drains() {
    let proxy = proxy(true, false);
    let here = proxy.addresses().admin[0];
    for (method, host, lines, status) in [
        ("GET", "evil.example".to_owned(), "", 403),
        ("POST", "evil.example".to_owned(), "", 403),
        ("POST", here.to_string(), "origin: http://evil.example\r\n", 403),
        ("POST", here.to_string(), "sec-fetch-site: same-site\r\n", 403),
        ("GET", here.to_string(), "sec-fetch-site: cross-site\r\n", 403),
        ("GET", format!("localhost:{}", here.port()), "sec-fetch-site: same-origin\r\n", 200),
    ] {
        let path = if method == "POST" { "/drain" } else { "/v1/mesher/config" };
        let mut client = Client::connect(here).await;
        let length = if method == "POST" { "content-length: 0\r\n" } else { "" };
        client
            .send(format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{lines}{length}\r\n"))
            .await;
        assert_eq!(client.answer().await.status, status, "{method} {host} {lines}");
        assert_eq!(proxy.lifecycle().phase(), Phase::Serving, "{method} {host} {lines}");
    }
}
