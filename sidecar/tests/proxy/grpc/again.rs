//! Calls that are made again because somebody has named their status.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use h2::Reason;
use mesh::{GrpcStatus, GrpcStatuses, Protocol, Retries};

use super::{call, start, status};
use crate::h2_app::App;
use crate::h2_client::Client;
use crate::world::{service_of, settings};

/// How an application fails the first calls that it gets.
#[derive(Debug, Clone, Copy)]
enum Fails {
    /// With a status and no more.
    With(&'static str),
    /// With a status behind a message.
    Late(&'static str),
    /// Without an answer: the stream is reset.
    Reset,
    /// Not at all, and there is no answer either.
    Silent,
}

fn named(words: &[&str]) -> GrpcStatuses {
    words.iter().filter_map(|word| GrpcStatus::of_word(word)).collect()
}

/// What a client is told, and how often the application was asked.
async fn asked(retries: Retries, times: usize, fails: Fails) -> (String, usize) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let app = App::each(move |call| {
        let counted = Arc::clone(&counted);
        async move {
            let fine = counted.fetch_add(1, Ordering::SeqCst) >= times;
            match fails {
                _ if fine => {
                    let mut echoing = call.begin();
                    while let Some(data) = echoing.next().await {
                        echoing.say(data).await;
                    }
                    echoing.end("0");
                }
                Fails::With(status) => call.only(status),
                Fails::Late(status) => {
                    let mut answering = call.begin();
                    answering.say("half").await;
                    answering.end(status);
                }
                Fails::Reset => call.reset(Reason::INTERNAL_ERROR),
                Fails::Silent => std::future::pending().await,
            }
        }
    })
    .await;
    let mut settings = settings("ServiceA");
    settings.governance.consumer.retries = retries;
    let (_proxy, address) = start(settings, vec![service_of(Protocol::Grpc, "b", &[app.address])]);
    let mut client = Client::connect(address).await;
    let answer = client.request(call("http://b/s/m"), "hello").await;
    let (code, word) = status(&answer);
    let told = match (code, word) {
        (Some("0"), _) => answer.text(),
        (code, word) => format!("{} {}", code.unwrap_or("none"), word.unwrap_or_default()),
    };
    (told.trim().to_owned(), asked.load(Ordering::SeqCst))
}

#[tokio::test]
async fn what_is_named_is_tried_again_and_nothing_else() {
    let with = |words: &[&str]| Retries { same: 2, calls: named(words), ..Retries::default() };
    for (retries, times, fails, told, count) in [
        (with(&["unavailable"]), 2, Fails::With("14"), "hello", 3),
        (with(&["unavailable"]), 3, Fails::With("14"), "14", 3),
        (with(&["unavailable"]), 1, Fails::With("8"), "8", 1),
        (with(&["cancelled", "resource-exhausted"]), 1, Fails::With("8"), "hello", 2),
        (with(&[]), 1, Fails::With("14"), "14", 1),
        // The client has seen something of it.
        (with(&["unavailable"]), 1, Fails::Late("14"), "14", 1),
        (with(&["internal"]), 1, Fails::Reset, "hello", 2),
        (with(&["unavailable"]), 1, Fails::Reset, "13 upstream_reset", 1),
    ] {
        let found = asked(retries.clone(), times, fails).await;
        assert_eq!(found, (told.to_owned(), count), "{fails:?} {retries:?}");
    }
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_over_its_deadline() {
    let slow = |words: &[&str]| Retries {
        same: 1,
        calls: named(words),
        try_timeout: Some(Duration::from_millis(300)),
        ..Retries::default()
    };
    let late = slow(&["deadline-exceeded"]);
    assert_eq!(asked(late, 1, Fails::Silent).await, ("hello".to_owned(), 2));
    let other = slow(&["unavailable"]);
    assert_eq!(asked(other, 1, Fails::Silent).await, ("4 timeout".to_owned(), 1));
}
