//! More than may be under way: who waits, who is refused, and how they are told.

use std::sync::Arc;
use std::time::Duration;

use discovery::Fixed;
use sidecar::Proxy;
use sidecar::settings::Settings;
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::world::{Client, PATIENCE, service, settings, start};

/// One request at once, of all or of a service, and others wait for as long.
fn one_at_once(of_all: bool, patience: Duration) -> Settings {
    let mut settings = settings("ServiceA");
    settings.workers = std::num::NonZeroUsize::new(2);
    settings.limits.queue_timeout = patience;
    if of_all {
        settings.limits.in_flight = Some(1);
    } else {
        settings.governance.consumer.concurrency = Some(1);
    }
    settings
}

async fn says(proxy: &Proxy, line: &str) {
    let said = async {
        loop {
            let mut admin = Client::connect(proxy.addresses().admin[0]).await;
            if admin.get("/metrics").await.body.lines().any(|said| said == line) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, said).await.unwrap_or_else(|_| panic!("{line}"));
}

#[tokio::test]
async fn who_finds_no_room_waits_for_it() {
    let of_service = "{service_name=\"ServiceB\",app=\"default\"}";
    for (of_all, prefix, labels) in
        [(true, "mesher", "{side=\"consumer\"}"), (false, "mesher_service", of_service)]
    {
        let (app, gate) = App::gated().await;
        let source = Arc::new(Fixed::new([service("ServiceB", &[app.address])]));
        let (proxy, address) = start(one_at_once(of_all, PATIENCE), source);
        let mut clients = Vec::new();
        // Their connections are on both threads.
        for _ in 0..6 {
            let mut client = Client::connect(address).await;
            client.send("GET http://ServiceB/ HTTP/1.1\r\nhost: ServiceB\r\n\r\n").await;
            clients.push(client);
        }
        says(&proxy, &format!("{prefix}_requests_waiting{labels} 5")).await;
        while app.connections() == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(app.connections(), 1, "the others have not come so far");
        gate.add_permits(6);
        for client in &mut clients {
            assert_eq!(client.answer().await.status, 200);
        }
        says(&proxy, &format!("{prefix}_requests_waiting{labels} 0")).await;
        says(&proxy, &format!("{prefix}_requests_queued_total{labels} 5")).await;
    }
}

#[tokio::test]
async fn a_queue_is_short_and_so_is_the_wait() {
    let (app, gate) = App::gated().await;
    let source = Arc::new(Fixed::new([service("ServiceB", &[app.address])]));
    let (proxy, address) = start(one_at_once(true, Duration::from_millis(10)), source);
    let mut first = Client::connect(address).await;
    first.send("GET http://ServiceB/ HTTP/1.1\r\nhost: ServiceB\r\n\r\n").await;
    while app.connections() < 1 {
        sleep(Duration::from_millis(5)).await;
    }
    let refused = Client::connect(address).await.get("http://ServiceB/").await;
    assert_eq!((refused.status, refused.error()), (503, Some("overload")), "it took too long");
    assert_eq!(refused.header("retry-after"), Some("1"));

    let mut settings = proxy.settings();
    settings.limits.queue = 0;
    settings.limits.queue_timeout = PATIENCE * 10;
    proxy.reconfigure(settings);
    let refused = Client::connect(address).await.get("http://ServiceB/").await;
    assert_eq!((refused.status, refused.error()), (503, Some("overload")), "there is no queue");

    // Another bound counts from the next request on.
    let mut settings = proxy.settings();
    settings.limits.in_flight = Some(2);
    proxy.reconfigure(settings);
    gate.add_permits(2);
    assert_eq!(Client::connect(address).await.get("http://ServiceB/").await.status, 200);
    assert_eq!(first.answer().await.status, 200);
}

#[tokio::test]
async fn a_client_that_goes_away_gives_up_its_place() {
    let (app, gate) = App::gated().await;
    let source = Arc::new(Fixed::new([service("ServiceB", &[app.address])]));
    let (proxy, address) = start(one_at_once(true, PATIENCE), source);
    let mut clients = Vec::new();
    for waiting in 0..3 {
        let mut client = Client::connect(address).await;
        client.send("GET http://ServiceB/ HTTP/1.1\r\nhost: ServiceB\r\n\r\n").await;
        clients.push(client);
        says(&proxy, &format!("mesher_requests_waiting{{side=\"consumer\"}} {waiting}")).await;
    }
    // The one under way, and one that waits.
    drop(clients.drain(..2));
    // Some for those that had been sent on before their clients were seen to be gone.
    gate.add_permits(10);
    assert_eq!(clients[0].answer().await.status, 200);
    assert_eq!(Client::connect(address).await.get("http://ServiceB/").await.status, 200);
}
