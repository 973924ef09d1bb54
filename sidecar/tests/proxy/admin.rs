//! Who may see and do what on the admin port.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use discovery::{Demand, Fixed, Source, State};
use mesh::{ServiceKey, Snapshot};
use sidecar::{Phase, Proxy};
use tokio::sync::watch;

use crate::world::{Client, nobody, provider_settings};

/// What answers everybody, and what loopback alone.
const OPEN: [&str; 4] = ["/healthz", "/readyz", "/metrics", "/v1/mesher/metrics"];
const GUARDED: [(&str, &str); 3] =
    [("GET", "/v1/mesher/health"), ("GET", "/v1/mesher/version"), ("POST", "/drain")];

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
