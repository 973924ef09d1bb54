//! The connections that calls share: how many there are, when they end, and what a call notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use h2::Reason;
use mesh::Protocol;
use sidecar::Phase;
use sidecar::settings::Limits;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{call, consumer, provider, start, status};
use crate::h2_app::App;
use crate::h2_client::Client;
use crate::world::{PATIENCE, service_of, settings};

/// More than all windows and buffers on the way have room for, and far less than is sent.
const HELD: usize = 16 << 20;

#[tokio::test]
async fn a_connection_that_dies_takes_its_calls_with_it_and_no_others() {
    let app = App::each(|call| async move {
        if call.connection > 0 {
            return call.only("0");
        }
        let mut answering = call.begin();
        answering.say("first").await;
        answering.next().await;
        answering.next().await;
    })
    .await;
    let (_consumer, address) = consumer(&[app.address]);
    let mut client = Client::connect(address).await;
    let mut begun = client.start(call("http://b/s/begun"), false).await;
    begun.head().await.expect("a head");
    app.abort();
    let answer = begun.answer().await;
    assert_eq!(status(&answer), (Some("14"), Some("upstream_reset")), "{answer:?}");
    let answer = client.request(call("http://b/s/m"), "hello").await;
    assert_eq!(status(&answer), (Some("0"), None), "{answer:?}");
}

#[tokio::test]
async fn as_many_streams_as_the_instance_allows() {
    let go_on = Arc::new(tokio::sync::Semaphore::new(0));
    let wait = Arc::clone(&go_on);
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(10);
    let app = App::with(builder, move |call| {
        let wait = Arc::clone(&wait);
        async move {
            let _permit = wait.acquire().await;
            call.only("0");
        }
    })
    .await;
    let (_consumer, address) = consumer(&[app.address]);
    let mut client = Client::connect(address).await;
    let first = client.start(call("http://b/s/m"), true).await;
    let mut streams = vec![first];
    for _ in 0..200 {
        streams.push(client.start(call("http://b/s/m"), true).await);
    }
    go_on.add_permits(1);
    for stream in streams {
        assert_eq!(status(&stream.answer().await), (Some("0"), None));
    }
    assert!(app.most_at_once() <= 10, "{} at once", app.most_at_once());
    assert!(app.connections() <= 8, "{} connections", app.connections());
}

#[tokio::test]
async fn nothing_is_sent_before_the_instance_said_how_much_it_takes() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("an address");
    let mut settings = settings("ServiceA");
    settings.limits.connect_timeout = Duration::from_millis(100);
    let addresses = [silent.local_addr().expect("bound")];
    let (_consumer, address) = start(settings, vec![service_of(Protocol::Grpc, "b", &addresses)]);
    let mut client = Client::connect(address).await;
    let answer = client.request(call("http://b/s/m"), "hello").await;
    assert_eq!(status(&answer), (Some("14"), Some("connect_timeout")), "{answer:?}");
}

#[tokio::test]
async fn what_was_not_looked_at_is_sent_once_more() {
    // The first is refused each time; a peer of ours that drains says so in a word.
    for how in ["refused", "draining"] {
        let app = App::each(move |mut call| async move {
            if call.number > 0 {
                let mut echoing = call.begin();
                while let Some(data) = echoing.next().await {
                    echoing.say(data).await;
                }
                return echoing.end("0");
            }
            if how == "refused" {
                return call.reset(Reason::REFUSED_STREAM);
            }
            let head = hyper::Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", "14")
                .header("x-mesher-error", "draining");
            let _ = call.respond.send_response(head.body(()).expect("a head"), true);
        })
        .await;
        let other = App::echo().await;
        let (_consumer, address) = consumer(&[app.address, other.address]);
        let mut client = Client::connect(address).await;
        for _ in 0..4 {
            let answer = client.request(call("http://b/s/m"), "hello").await;
            assert_eq!(status(&answer), (Some("0"), None), "{how} {answer:?}");
            assert_eq!(answer.text(), "hello");
        }
    }
}

#[tokio::test]
async fn a_goaway_is_followed() {
    let app = App::echo().await;
    let (_consumer, address) = consumer(&[app.address]);
    let mut client = Client::connect(address).await;
    for _ in 0..5 {
        let answers = (0..20).map(|_| client.clone()).map(|mut client| async move {
            for _ in 0..10 {
                let answer = client.request(call("http://b/s/m"), "hello").await;
                assert_eq!(status(&answer), (Some("0"), None), "{answer:?}");
            }
        });
        let all = futures::future::join_all(answers);
        app.say_goodbye();
        all.await;
    }
    assert!(app.connections() > 1, "it was followed");
    let answer = client.request(call("http://b/s/m"), "hello").await;
    assert_eq!(status(&answer), (Some("0"), None));
}

#[tokio::test]
async fn a_shared_connection_that_nobody_uses_ends() {
    let app = App::echo().await;
    let mut settings = settings("ServiceA");
    let idle_timeout = Duration::from_millis(100);
    settings.limits = Limits { idle_timeout, ..Limits::default() };
    let (_consumer, address) =
        start(settings, vec![service_of(Protocol::Grpc, "b", &[app.address])]);
    let again = async {
        while app.connections() < 2 {
            let mut client = Client::connect(address).await;
            let answer = client.request(call("http://b/s/m"), "hello").await;
            assert_eq!(status(&answer), (Some("0"), None));
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    };
    timeout(PATIENCE, again).await.expect("it ends, and the next call gets another");
}

#[tokio::test]
async fn a_draining_provider_finishes_its_calls() {
    let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (Arc::clone(&began), Arc::clone(&go_on));
    let app = App::each(move |call| {
        let (began, go_on) = (Arc::clone(&told.0), Arc::clone(&told.1));
        async move {
            began.notify_one();
            let answering = call.begin();
            go_on.notified().await;
            answering.end("0");
        }
    })
    .await;
    let (provider, instance) = provider(app.address.port());
    let (_consumer, address) = consumer(&[instance]);
    let mut client = Client::connect(address).await;
    let under_way = client.start(call("http://b/s/m"), true).await;
    began.notified().await;
    provider.lifecycle().enter(Phase::Draining);
    let ended = tokio::spawn(provider.shutdown());
    tokio::task::yield_now().await;
    go_on.notify_one();
    let answer = under_way.answer().await;
    assert_eq!(status(&answer), (Some("0"), None), "{answer:?}");
    timeout(PATIENCE, ended).await.expect("it ends").expect("without a panic");
}

#[tokio::test]
async fn no_call_fails_while_an_instance_goes() {
    let (one, two) = (App::echo().await, App::echo().await);
    let (leaving, first) = provider(one.address.port());
    let (_staying, second) = provider(two.address.port());
    let (_consumer, address) = consumer(&[first, second]);
    let gone = Arc::new(AtomicBool::new(false));
    let calls = (0..16).map(|_| {
        let gone = Arc::clone(&gone);
        async move {
            let mut client = Client::connect(address).await;
            let mut after = 0;
            // And some more, when all know that it has gone.
            while after < 20 {
                let answer = client.request(call("http://b/s/m"), "hello").await;
                assert_eq!(status(&answer), (Some("0"), None), "{answer:?}");
                after += usize::from(gone.load(Ordering::SeqCst));
            }
        }
    });
    let goes = async {
        let mut client = Client::connect(address).await;
        for _ in 0..100 {
            client.request(call("http://b/s/m"), "hello").await;
        }
        leaving.lifecycle().enter(Phase::Draining);
        for _ in 0..100 {
            client.request(call("http://b/s/m"), "hello").await;
        }
        timeout(PATIENCE, leaving.shutdown()).await.expect("it ends");
        gone.store(true, Ordering::SeqCst);
    };
    tokio::join!(futures::future::join_all(calls), goes);
}

#[tokio::test]
async fn what_nobody_reads_is_not_asked_for() {
    let said = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&said);
    let app = App::each(move |call| {
        let said = Arc::clone(&counted);
        async move {
            let mut answering = call.begin();
            // Reads nothing, and says more than anybody would keep.
            for _ in 0..4 * HELD / (64 << 10) {
                answering.say(vec![0; 64 << 10]).await;
                said.fetch_add(64 << 10, Ordering::SeqCst);
            }
        }
    })
    .await;
    let (_provider, instance) = provider(app.address.port());
    let (_consumer, address) = consumer(&[instance]);
    let mut client = Client::connect(address).await;
    let mut stream = client.start(call("http://b/s/m"), false).await;
    stream.head().await.expect("a head");
    let sent = AtomicUsize::new(0);
    let upload = async {
        for _ in 0..4 * HELD / (64 << 10) {
            stream.say(vec![0; 64 << 10]).await;
            sent.fetch_add(64 << 10, Ordering::SeqCst);
        }
    };
    assert!(timeout(Duration::from_secs(3), upload).await.is_err(), "all of it was taken");
    let (said, sent) = (said.load(Ordering::SeqCst), sent.load(Ordering::SeqCst));
    assert!(said < HELD, "{said} bytes were taken from the application");
    assert!(sent < HELD, "{sent} bytes were taken from the client");
    assert!(said > 0 && sent > 0, "something was");
}
