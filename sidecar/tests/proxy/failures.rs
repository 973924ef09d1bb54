//! What goes wrong on the way, and what the client sees of it.

use std::sync::Arc;
use std::time::Duration;

use discovery::{Answer, Demand, Fixed, Source, State};
use mesh::{ServiceKey, Snapshot};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::app::App;
use crate::world::{Client, PATIENCE, consumer, nobody, service, settings, start};

#[tokio::test]
async fn a_response_that_breaks_off_does_not_look_whole() {
    for head in ["content-length: 9\r\n", "transfer-encoding: chunked\r\n", ""] {
        let seen = Arc::new(Notify::new());
        let reset_after = Arc::clone(&seen);
        let app = App::each(move |mut peer, _| {
            let seen = Arc::clone(&reset_after);
            async move {
                peer.request().await;
                let chunk = if head.starts_with("transfer") { "3\r\nabc\r\n" } else { "abc" };
                peer.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n{chunk}")).await;
                seen.notified().await;
                peer.reset();
            }
        })
        .await;
        let (_proxy, address) = consumer([service("ServiceB", &[app.address])]);
        let mut client = Client::connect(address).await;
        client.send("GET http://ServiceB/ HTTP/1.1\r\nhost: ServiceB\r\n\r\n").await;
        client.until(b"abc").await;
        seen.notify_one();
        assert!(client.is_reset().await, "{head:?}");
    }
}

/// An application that answers the first request of a connection, and closes at the next.
async fn forgetful() -> App {
    App::each(|mut peer, number| async move {
        peer.request().await;
        peer.answer(&format!("connection {number}")).await;
        peer.head().await;
    })
    .await
}

#[tokio::test]
async fn a_stale_connection_costs_an_idempotent_request_nothing() {
    let app = forgetful().await;
    let (_proxy, address) = consumer([service("ServiceB", &[app.address])]);
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("http://ServiceB/").await.body, "connection 0");
    assert_eq!(client.get("http://ServiceB/").await.body, "connection 1");
    let put = client.request("PUT", "http://ServiceB/", "", "twice is once").await;
    assert_eq!(put.body, "connection 2");
}

#[tokio::test]
async fn what_may_have_been_processed_is_not_sent_again() {
    let app = forgetful().await;
    let (_proxy, address) = consumer([service("ServiceB", &[app.address])]);
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("http://ServiceB/").await.body, "connection 0");
    let answer = client.request("POST", "http://ServiceB/", "", "once").await;
    assert_eq!((answer.status, answer.error()), (502, Some("upstream_reset")), "{answer:?}");
    assert_eq!(app.connections(), 1);
}

#[tokio::test]
async fn a_post_does_not_meet_a_connection_that_was_closed() {
    let closed = Arc::new(Notify::new());
    let tell = Arc::clone(&closed);
    let app = App::each(move |mut peer, number| {
        let tell = Arc::clone(&tell);
        async move {
            peer.request().await;
            peer.answer(&format!("connection {number}")).await;
            if number == 0 {
                drop(peer);
                tell.notify_one();
            } else {
                peer.head().await;
            }
        }
    })
    .await;
    let (_proxy, address) = consumer([service("ServiceB", &[app.address])]);
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("http://ServiceB/").await.body, "connection 0");
    closed.notified().await;
    let answer = client.request("POST", "http://ServiceB/", "", "body").await;
    assert_eq!(answer.body, "connection 1", "{answer:?}");
}

#[tokio::test]
async fn an_instance_that_does_not_listen_is_passed_over() {
    let app = App::echo().await;
    let (_proxy, address) = consumer([service("ServiceB", &[nobody(), app.address])]);
    let mut client = Client::connect(address).await;
    for i in 0..10 {
        let body = format!("body {i}");
        let answer = client.request("POST", "http://ServiceB/", "", &body).await;
        assert!(answer.status == 200 && answer.body.ends_with(&body), "{answer:?}");
    }
}

#[tokio::test]
async fn a_peer_that_declines_is_passed_over_and_believed() {
    let declining = App::each(|mut peer, _| async move {
        while peer.request().await.is_some() {
            let head = "HTTP/1.1 502 Bad Gateway\r\nx-mesher-error: local_refused\r\n";
            peer.send(format!("{head}content-length: 4\r\n\r\ngone")).await;
        }
    })
    .await;
    let app = App::echo().await;
    let services =
        [service("Both", &[declining.address, app.address]), service("Gone", &[declining.address])];
    let (_proxy, address) = consumer(services);
    let mut client = Client::connect(address).await;
    for _ in 0..6 {
        let answer = client.request("POST", "http://Both/", "", "body").await;
        assert!(answer.status == 200 && answer.body.ends_with("body"), "{answer:?}");
    }
    let answer = client.get("http://Gone/").await;
    assert_eq!((answer.status, answer.error()), (502, Some("local_refused")), "{answer:?}");
    assert_eq!(answer.body, "gone", "its answer is the answer");
}

#[tokio::test]
async fn a_body_that_was_held_is_sent_again_whole_and_a_long_one_is_not() {
    let declining = App::each(|mut peer, _| async move {
        while peer.request().await.is_some() {
            let head = "HTTP/1.1 502 Bad Gateway\r\nx-mesher-error: draining\r\n";
            peer.send(format!("{head}content-length: 0\r\n\r\n")).await;
        }
    })
    .await;
    let app = App::echo().await;
    let services = [service("ServiceB", &[declining.address, app.address])];
    let (_proxy, address) = consumer(services);
    let mut client = Client::connect(address).await;
    for (length, held) in [(60_000, true), (70_000, false)] {
        let body = "x".repeat(length);
        let mut statuses = Vec::new();
        for _ in 0..2 {
            let answer = client.request("POST", "http://ServiceB/", "", &body).await;
            if answer.status == 200 {
                assert!(answer.body.ends_with(&format!("\r\n\r\n{body}")), "it came whole");
            }
            statuses.push(answer.status);
        }
        statuses.sort_unstable();
        assert_eq!(statuses, if held { [200, 200] } else { [200, 502] }, "{length} bytes");
    }
}

#[tokio::test]
async fn no_answer_in_time() {
    let app = App::each(|mut peer, _| async move {
        peer.request().await;
        peer.request().await;
    })
    .await;
    let mut settings = settings("ServiceA");
    settings.limits.request_timeout = Duration::from_millis(100);
    let source = Arc::new(Fixed::new([service("ServiceB", &[app.address])]));
    let (_proxy, address) = start(settings, source);
    let answer = Client::connect(address).await.get("http://ServiceB/").await;
    assert_eq!((answer.status, answer.error()), (504, Some("timeout")), "{answer:?}");
}

#[tokio::test]
async fn a_body_that_is_too_long() {
    let app = App::echo().await;
    let mut settings = settings("ServiceA");
    settings.limits.body_bytes = Some(10);
    let source = Arc::new(Fixed::new([service("ServiceB", &[app.address])]));
    let (_proxy, address) = start(settings, source);
    let post = "POST http://ServiceB/ HTTP/1.1\r\nhost: ServiceB\r\n";
    for (rest, status) in [
        ("content-length: 10\r\n\r\n0123456789", 200),
        ("content-length: 11\r\n\r\n0123456789a", 413),
        ("transfer-encoding: chunked\r\n\r\n6\r\n012345\r\n6\r\n678901\r\n0\r\n\r\n", 413),
    ] {
        let mut client = Client::connect(address).await;
        client.send(format!("{post}{rest}")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "{rest} {answer:?}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_request_with_it() {
    let (began, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (Arc::clone(&began), Arc::clone(&ended));
    let app = App::each(move |mut peer, _| {
        let (began, ended) = (Arc::clone(&told.0), Arc::clone(&told.1));
        async move {
            peer.request().await;
            began.notify_one();
            assert_eq!(peer.request().await, None, "the proxy closes");
            ended.notify_one();
        }
    })
    .await;
    let (_proxy, address) = consumer([service("ServiceB", &[app.address])]);
    let mut client = Client::connect(address).await;
    client.send("GET http://ServiceB/ HTTP/1.1\r\nhost: ServiceB\r\n\r\n").await;
    began.notified().await;
    drop(client);
    timeout(PATIENCE, ended.notified()).await.expect("the instance hears of it");
}

#[tokio::test]
async fn an_open_breaker_refuses_and_a_probe_closes_it() {
    let gone = nobody();
    let mut settings = settings("ServiceA");
    settings.governance.consumer.breaker.enabled = true;
    settings.governance.consumer.breaker.volume = 3;
    settings.governance.consumer.breaker.sleep = Duration::from_millis(100);
    let source = Arc::new(Fixed::new([service("ServiceB", &[gone])]));
    let (_proxy, address) = start(settings, Arc::clone(&source) as Arc<dyn Source>);
    let mut client = Client::connect(address).await;
    for _ in 0..3 {
        assert_eq!(client.get("http://ServiceB/").await.error(), Some("connect_refused"));
    }
    let refused = client.get("http://ServiceB/").await;
    assert_eq!((refused.status, refused.error()), (503, Some("circuit_open")), "{refused:?}");
    assert!(refused.body.contains("is isolated because of error: circuit open"));

    let app = App::saying("back").await;
    source.change(|snapshot| snapshot.put(service("ServiceB", &[app.address])));
    let back = async { while client.get("http://ServiceB/").await.status != 200 {} };
    timeout(PATIENCE, back).await.expect("the probe closes it");
}

#[tokio::test]
async fn nobody_knows_whether_there_is_such_a_service() {
    /// A source that cannot be reached.
    struct Down(Fixed);
    impl Source for Down {
        fn demand(&self, _: &ServiceKey) -> Demand {
            Demand::answered(Answer::Unavailable)
        }
        fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
            self.0.snapshots()
        }
        fn state(&self) -> watch::Receiver<State> {
            self.0.state()
        }
    }
    let app = App::saying("known from before").await;
    let source = Arc::new(Down(Fixed::new([service("ServiceB", &[app.address])])));
    let (proxy, address) = start(settings("ServiceA"), source);
    let mut client = Client::connect(address).await;
    let known = async { while client.get("http://ServiceB/").await.status != 200 {} };
    timeout(PATIENCE, known).await.expect("the first snapshot is taken over");
    let answer = client.get("http://other.example/").await;
    assert_eq!((answer.status, answer.error()), (503, Some("discovery_unavailable")));
    drop(proxy);
}

#[tokio::test]
async fn a_request_that_comes_back_goes_no_further() {
    // An instance that is the consumer side of the very proxy, as in a wrong registration.
    let source = Arc::new(Fixed::new([]));
    let (_one, here) = start(settings("ServiceA"), Arc::clone(&source) as Arc<dyn Source>);
    source.change(|snapshot| snapshot.put(service("ServiceB", &[here])));
    let answer = Client::connect(here).await.get("http://ServiceB/").await;
    assert_eq!((answer.status, answer.error()), (508, Some("loop")), "{answer:?}");

    // By way of another proxy.
    let (_two, there) = consumer([service("ServiceC", &[here])]);
    source.change(|snapshot| snapshot.put(service("ServiceC", &[there])));
    let answer = Client::connect(here).await.get("http://ServiceC/").await;
    assert_eq!((answer.status, answer.error()), (508, Some("loop")), "{answer:?}");
}
