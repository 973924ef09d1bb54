//! Breakers of single instances.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use discovery::Fixed;
use mesh::{BreakerScope, BreakerTerms};
use serde_json::Value;
use sidecar::Proxy;
use tokio::time::timeout;

use crate::app::App;
use crate::world::{Client, PATIENCE, service, settings, start};

/// Fails as long as it is not well, and counts what it is asked.
async fn failing(well: &Arc<AtomicBool>, asked: &Arc<AtomicUsize>) -> App {
    let (well, asked) = (Arc::clone(well), Arc::clone(asked));
    App::each(move |mut peer, _| {
        let (well, asked) = (Arc::clone(&well), Arc::clone(&asked));
        async move {
            while peer.request().await.is_some() {
                asked.fetch_add(1, Ordering::SeqCst);
                if well.load(Ordering::SeqCst) {
                    peer.answer("again").await;
                } else {
                    peer.send("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").await;
                }
            }
        }
    })
    .await
}

/// Each instance has a breaker, which opens after five failures.
fn proxy(apps: &[&App], sleep: Duration) -> (Proxy, std::net::SocketAddr) {
    let mut settings = settings("ServiceA");
    settings.governance.consumer.failing = vec![503];
    settings.governance.consumer.breaker = BreakerTerms {
        scope: BreakerScope::Instance,
        enabled: true,
        volume: 5,
        sleep,
        ..BreakerTerms::default()
    };
    let addresses: Vec<_> = apps.iter().map(|app| app.address).collect();
    start(settings, Arc::new(Fixed::new([service("ServiceB", &addresses)])))
}

async fn shown(proxy: &Proxy) -> Value {
    let mut admin = Client::connect(proxy.addresses().admin[0]).await;
    let body = admin.get("/v1/mesher/services/default/ServiceB").await.body;
    serde_json::from_str(&body).expect("the service as JSON")
}

#[tokio::test]
async fn one_that_fails_is_not_asked_and_the_others_are() {
    let (well, asked) = (Arc::default(), Arc::default());
    let bad = failing(&well, &asked).await;
    let good = App::saying("good").await;
    let (proxy, address) = proxy(&[&bad, &good], Duration::from_hours(1));
    let mut client = Client::connect(address).await;
    let mut failures = 0;
    for _ in 0..30 {
        failures += usize::from(client.get("http://ServiceB/").await.status != 200);
    }
    assert_eq!((failures, asked.load(Ordering::SeqCst)), (5, 5), "then its breaker opens");
    let service = shown(&proxy).await;
    assert_eq!(service["breaker"]["scope"], "instance");
    assert_eq!(service["breaker"]["state"], "half_open", "{service:#}");
    assert_eq!(service["breaker"]["openInstances"], 1);
    assert_eq!(service["trouble"], "circuit_open");
    let all = service["instances"].as_array().expect("instances");
    let of = |app: &App| {
        let here = |one: &&Value| one["endpoints"][0]["address"] == app.address.to_string();
        all.iter().find(here).expect("the instance")["endpoints"][0]["breaker"].clone()
    };
    assert_eq!((of(&bad), of(&good)), ("open".into(), Value::Null));
    let mut admin = Client::connect(proxy.addresses().admin[0]).await;
    let metrics = admin.get("/metrics").await.body;
    let open = metrics.lines().filter(|line| line.starts_with("mesher_instance_breaker_open{"));
    let open: Vec<_> = open.map(|line| line.ends_with(" 1")).collect();
    assert_eq!(open.iter().filter(|open| **open).count(), 1, "{metrics}");
    assert!(metrics.contains(",to=\"open\"} 1"), "{metrics}");
}

#[tokio::test]
async fn when_all_are_open_nobody_is_asked() {
    let (well, asked) = (Arc::default(), Arc::default());
    let (one, two) = (failing(&well, &asked).await, failing(&well, &asked).await);
    let (proxy, address) = proxy(&[&one, &two], Duration::from_hours(1));
    let mut client = Client::connect(address).await;
    for _ in 0..10 {
        assert_eq!(client.get("http://ServiceB/").await.error(), None);
    }
    let refused = client.get("http://ServiceB/").await;
    assert_eq!((refused.status, refused.error()), (503, Some("circuit_open")));
    assert_eq!(asked.load(Ordering::SeqCst), 10);
    assert_eq!(shown(&proxy).await["breaker"]["state"], "open");
}

#[tokio::test]
async fn one_that_is_well_again_is_asked_again() {
    let (well, asked) = (Arc::<AtomicBool>::default(), Arc::default());
    let bad = failing(&well, &asked).await;
    let good = App::saying("good").await;
    let (proxy, address) = proxy(&[&bad, &good], Duration::from_millis(50));
    let mut client = Client::connect(address).await;
    for _ in 0..10 {
        client.get("http://ServiceB/").await;
    }
    well.store(true, Ordering::SeqCst);
    let back = async { while client.get("http://ServiceB/").await.body != "again" {} };
    timeout(PATIENCE, back).await.expect("it is tried once its sleep is over");
    let closed = async { while shown(&proxy).await["breaker"]["state"] != "closed" {} };
    timeout(PATIENCE, closed).await.expect("what went well closes it");
}
