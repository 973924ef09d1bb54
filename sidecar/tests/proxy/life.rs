//! The end of a proxy, and what it outlives.

use std::sync::Arc;
use std::time::Duration;

use discovery::Fixed;
use mesh::Passthrough;
use sidecar::settings::Settings;
use sidecar::{Phase, Proxy};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::app::App;
use crate::world::{Client, PATIENCE, consumer, provider_settings, service, settings, start};

#[tokio::test]
async fn a_draining_proxy_serves_and_asks_its_clients_to_leave() {
    let app = App::saying("b").await;
    let settings = provider_settings("ServiceB", app.address.port());
    let proxy = Proxy::start(settings, Arc::new(Fixed::new([]))).expect("a proxy");
    let provider = proxy.addresses().provider[0];
    let admin = proxy.addresses().admin[0];
    let mut kept = Client::connect(provider).await;
    assert_eq!(kept.get("/").await.header("connection"), None);
    let mut probe = Client::connect(admin).await;
    assert_eq!(probe.get("/readyz").await.status, 200);

    proxy.lifecycle().enter(Phase::Draining);
    assert_eq!(probe.get("/readyz").await.status, 503);
    assert_eq!(probe.get("/healthz").await.status, 200, "it is alive");
    for mut client in [kept, Client::connect(provider).await] {
        let answer = client.get("/").await;
        assert_eq!((answer.body.as_str(), answer.header("connection")), ("b", Some("close")));
        assert!(client.rest().await.is_empty(), "and it closes");
    }
    proxy.shutdown().await;
}

#[tokio::test]
async fn a_draining_proxy_trusts_no_kept_connection_with_what_cannot_be_sent_twice() {
    let app = App::echo().await;
    let settings = provider_settings("ServiceB", app.address.port());
    let proxy = Proxy::start(settings, Arc::new(Fixed::new([]))).expect("a proxy");
    let provider = proxy.addresses().provider[0];
    let mut client = Client::connect(provider).await;
    for _ in 0..2 {
        assert_eq!(client.request("POST", "/", "", "body").await.status, 200);
    }
    assert_eq!(app.connections(), 1);
    proxy.lifecycle().enter(Phase::Draining);
    // The application may end at any moment, and with it the connections that it keeps.
    for (method, connections) in [("GET", 1), ("POST", 2), ("POST", 3)] {
        let mut client = Client::connect(provider).await;
        assert_eq!(client.request(method, "/", "", "").await.status, 200);
        assert_eq!(app.connections(), connections, "{method}");
    }
}

#[tokio::test]
async fn what_is_in_flight_is_answered_and_what_is_idle_is_closed() {
    let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (Arc::clone(&began), Arc::clone(&go_on));
    let app = App::each(move |mut peer, _| {
        let (began, go_on) = (Arc::clone(&told.0), Arc::clone(&told.1));
        async move {
            let request = peer.request().await.unwrap_or_default();
            if request.starts_with("GET /slow") {
                began.notify_one();
                go_on.notified().await;
            }
            peer.answer("done").await;
            peer.request().await;
        }
    })
    .await;
    let (proxy, address) = consumer([service("b", &[app.address])]);
    let mut idle = Client::connect(address).await;
    assert_eq!(idle.get("http://b/fast").await.body, "done");
    let mut silent = Client::connect(address).await;
    let mut slow = Client::connect(address).await;
    slow.send("GET http://b/slow HTTP/1.1\r\nhost: b\r\n\r\n").await;
    began.notified().await;

    let ended = tokio::spawn(proxy.shutdown());
    assert!(idle.rest().await.is_empty());
    assert!(silent.rest().await.is_empty());
    let refused = async { while tokio::net::TcpStream::connect(address).await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("nobody listens any more");
    assert!(!ended.is_finished(), "it waits for what is in flight");
    go_on.notify_one();
    let answer = slow.answer().await;
    assert_eq!((answer.body.as_str(), answer.header("connection")), ("done", Some("close")));
    timeout(PATIENCE, ended).await.expect("it ends").expect("without a panic");
}

#[tokio::test]
async fn the_deadline_ends_what_does_not_end() {
    let app = App::each(|mut peer, _| async move {
        peer.request().await;
        peer.request().await;
    })
    .await;
    let mut settings = settings("ServiceA");
    settings.limits.drain_timeout = Duration::from_millis(100);
    let source = Arc::new(Fixed::new([service("b", &[app.address])]));
    let (proxy, address) = start(settings, source);
    let mut client = Client::connect(address).await;
    client.send("GET http://b/ HTTP/1.1\r\nhost: b\r\n\r\n").await;
    timeout(PATIENCE, proxy.shutdown()).await.expect("it ends");
    client.is_reset().await;
}

#[tokio::test]
async fn who_waits_in_the_queue_when_it_closes_is_served() {
    // One connection at a time: the others wait in the system's queue.
    let app = App::saying("b").await;
    let mut settings = settings("ServiceA");
    settings.limits.connections = 1;
    let source = Arc::new(Fixed::new([service("b", &[app.address])]));
    let (proxy, address) = start(settings, source);
    let mut first = Client::connect(address).await;
    assert_eq!(first.get("http://b/").await.body, "b");
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let mut client = Client::connect(address).await;
        client.send("GET http://b/ HTTP/1.1\r\nhost: b\r\n\r\n").await;
        waiting.push(client);
    }
    let ended = tokio::spawn(proxy.shutdown());
    for client in &mut waiting {
        assert_eq!(client.answer().await.body, "b");
    }
    timeout(PATIENCE, ended).await.expect("it ends").expect("without a panic");
}

/// A provider that is as busy as it may be, so that the next connection waits in the system's
/// queue; whoever gets the permit ends that.
async fn busy() -> (Proxy, Client, Arc<Notify>, App) {
    let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (Arc::clone(&began), Arc::clone(&go_on));
    let app = App::each(move |mut peer, _| {
        let (began, go_on) = (Arc::clone(&told.0), Arc::clone(&told.1));
        async move {
            while let Some(request) = peer.request().await {
                if request.starts_with("GET /slow") {
                    began.notify_one();
                    go_on.notified().await;
                }
                peer.answer("one").await;
            }
        }
    })
    .await;
    let mut settings = provider_settings("ServiceB", app.address.port());
    settings.limits.connections = 1;
    let proxy = Proxy::start(settings, Arc::new(Fixed::new([]))).expect("a provider");
    let mut slow = Client::connect(proxy.addresses().provider[0]).await;
    slow.send("GET /slow HTTP/1.1\r\nhost: ServiceB\r\n\r\n").await;
    began.notified().await;
    (proxy, slow, go_on, app)
}

#[tokio::test]
async fn a_closing_provider_sends_its_peers_elsewhere_and_serves_who_knows_nobody_else() {
    let (proxy, mut slow, go_on, _app) = busy().await;
    let provider = proxy.addresses().provider[0];
    let body = "x".repeat(60_000);
    let mut waiting = Vec::new();
    for lines in ["x-mesher-via: 1\r\n", ""] {
        let mut client = Client::connect(provider).await;
        let head =
            format!("POST / HTTP/1.1\r\nhost: ServiceB\r\n{lines}content-length: 60000\r\n\r\n");
        client.send(head + &body).await;
        waiting.push(client);
    }
    let ended = tokio::spawn(proxy.shutdown());
    let declined = waiting[0].answer().await;
    assert_eq!((declined.status, declined.error()), (503, Some("draining")), "{declined:?}");
    assert_eq!(declined.header("connection"), Some("close"));
    assert_eq!(waiting[1].answer().await.body, "one");
    go_on.notify_one();
    assert_eq!(slow.answer().await.body, "one", "what it had is answered");
    timeout(PATIENCE, ended).await.expect("it ends").expect("without a panic");
}

#[tokio::test]
async fn what_a_closing_provider_declines_another_answers() {
    let (closing, mut slow, go_on, _app) = busy().await;
    let app = App::echo().await;
    let settings = provider_settings("ServiceB", app.address.port());
    let other = Proxy::start(settings, Arc::new(Fixed::new([]))).expect("a provider");
    let instances = [closing.addresses().provider[0], other.addresses().provider[0]];
    let (_consumer, address) = consumer([service("ServiceB", &instances)]);
    let body = "x".repeat(60_000);
    // One goes to each; which is first is not said.
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(address).await;
        let head =
            "POST http://ServiceB/ HTTP/1.1\r\nhost: ServiceB\r\ncontent-length: 60000\r\n\r\n";
        client.send(format!("{head}{body}")).await;
        clients.push(client);
    }
    let answered = async {
        while app.connections() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, answered).await.expect("one of them was answered");
    let ended = tokio::spawn(closing.shutdown());
    for client in &mut clients {
        let answer = client.answer().await;
        assert!(answer.status == 200 && answer.body.ends_with(&body), "{answer:?}");
    }
    go_on.notify_one();
    assert_eq!(slow.answer().await.body, "one");
    timeout(PATIENCE, ended).await.expect("it ends").expect("without a panic");
}

#[tokio::test]
async fn a_connection_too_many_takes_the_place_of_an_idle_one() {
    let app = App::saying("b").await;
    let mut settings = settings("ServiceA");
    settings.limits.connections = 4;
    let source = Arc::new(Fixed::new([service("b", &[app.address])]));
    let (_proxy, address) = start(settings, source);
    for _ in 0..20 {
        let mut client = Client::connect(address).await;
        assert_eq!(client.get("http://b/").await.body, "b");
        // It stays open, and idle.
        std::mem::forget(client);
    }
}

#[tokio::test]
async fn health_and_metrics() {
    let app = App::saying("b").await;
    let (proxy, address) = consumer([service("ServiceB", &[app.address])]);
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("http://ServiceB/").await.status, 200);
    let mut admin = Client::connect(proxy.addresses().admin[0]).await;
    let health = admin.get("/v1/mesher/health").await;
    assert!(health.body.contains("\"serviceName\":\"ServiceA\""), "{health:?}");
    assert!(admin.get("/v1/mesher/version").await.body.contains("\"version\""));
    let metrics = admin.get("/metrics").await.body;
    let labels = "{service_name=\"ServiceB\",app=\"default\",version=\"0.0.1\"}";
    for line in [
        format!("requests_total{labels} 1\n"),
        format!("successes_total{labels} 1\n"),
        format!("failures_total{labels} 0\n"),
        format!("status_4xx{labels} 0\n"),
        format!("request_latency_seconds_count{labels} 1\n"),
        "mesher_services_compiled_total 1\n".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line:?} is not in {metrics}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut settings = settings("ServiceA");
    settings.listeners.http = taken.local_addr().ok();
    let error = Proxy::start(settings, Arc::new(Fixed::new([]))).expect_err("it is taken");
    let text = error.to_string();
    let port = taken.local_addr().expect("an address").port();
    assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
    assert!(text.contains("another program has it"), "{text}");
}

#[tokio::test]
async fn settings_are_taken_over_while_it_runs() {
    let outside = App::saying("outside").await;
    let settings = Settings { passthrough: Passthrough::None, ..settings("ServiceA") };
    let (proxy, address) = start(settings.clone(), Arc::new(Fixed::new([])));
    let mut client = Client::connect(address).await;
    let url = format!("http://{}/", outside.address);
    assert_eq!(client.get(&url).await.error(), Some("passthrough_denied"));

    let mut other = Settings { passthrough: Passthrough::External, ..settings };
    "ServiceZ".clone_into(&mut other.identity.service);
    assert_eq!(proxy.reconfigure(other), ["identity"], "others know it by its name");
    assert_eq!(client.get(&url).await.body, "outside");
}
