//! Requests that are tried again because somebody asked for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use discovery::Fixed;
use mesh::{Backoff, BudgetTerms, Retries};
use sidecar::settings::Settings;

use crate::app::App;
use crate::world::{Client, service, settings, start};

/// Fails so often with a status, and is well then. Counts what it is asked.
async fn failing(times: usize, status: u16) -> (App, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let app = App::each(move |mut peer, _| {
        let counted = Arc::clone(&counted);
        async move {
            while let Some(request) = peer.request().await {
                if counted.fetch_add(1, Ordering::SeqCst) < times {
                    let head = format!("HTTP/1.1 {status} No\r\ncontent-length: 4\r\n\r\nfail");
                    peer.send(head).await;
                } else {
                    peer.answer(request.lines().last().unwrap_or_default()).await;
                }
            }
        }
    })
    .await;
    (app, asked)
}

fn retrying(retries: Retries) -> Settings {
    let mut settings = settings("ServiceA");
    settings.governance.consumer.retries = retries;
    settings.governance.consumer.failing = vec![500, 503];
    settings
}

#[tokio::test]
async fn a_status_that_counts_as_a_failure_is_tried_again() {
    for (retries, method, failures, status, asked) in [
        (Retries { same: 2, ..Retries::default() }, "GET", 2, 200, 3),
        (Retries { same: 1, ..Retries::default() }, "GET", 2, 503, 2),
        (Retries { same: 2, ..Retries::default() }, "POST", 2, 503, 1),
        (Retries { same: 2, any_method: true, ..Retries::default() }, "POST", 2, 200, 3),
        (Retries::default(), "GET", 1, 503, 1),
    ] {
        let (app, counted) = failing(failures, 503).await;
        let source = Fixed::new([service("ServiceB", &[app.address])]);
        let (_proxy, address) = start(retrying(retries.clone()), Arc::new(source));
        let mut client = Client::connect(address).await;
        let answer = client.request(method, "http://ServiceB/", "", "body").await;
        let found = (answer.status, counted.load(Ordering::SeqCst));
        assert_eq!(found, (status, asked), "{method} {retries:?}");
        if status == 200 {
            assert_eq!(answer.body, "body", "the body comes again");
        } else {
            assert_eq!(answer.body, "fail", "the last answer is the client's");
        }
    }
}

#[tokio::test]
async fn another_instance_is_tried() {
    let (bad, asked) = failing(usize::MAX, 500).await;
    let good = App::saying("good").await;
    let retries = Retries {
        next: 1,
        backoff: Backoff::Constant(Duration::from_millis(1)),
        ..Retries::default()
    };
    let source = Fixed::new([service("ServiceB", &[bad.address, good.address])]);
    let (proxy, address) = start(retrying(retries), Arc::new(source));
    let mut client = Client::connect(address).await;
    for _ in 0..8 {
        assert_eq!(client.get("http://ServiceB/").await.body, "good");
    }
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked > 0);
    let mut admin = Client::connect(proxy.addresses().admin[0]).await;
    let metrics = admin.get("/metrics").await.body;
    let counted = format!("side=\"consumer\",reason=\"status\"}} {asked}");
    assert!(metrics.contains(&counted), "{counted} is not in {metrics}");
}

#[tokio::test]
async fn a_budget_bounds_what_a_service_has_to_bear() {
    let (app, asked) = failing(usize::MAX, 503).await;
    let budget = BudgetTerms { percent: 0, least: 0 };
    let retries = Retries { same: 5, budget, ..Retries::default() };
    let source = Fixed::new([service("ServiceB", &[app.address])]);
    let (_proxy, address) = start(retrying(retries), Arc::new(source));
    let mut client = Client::connect(address).await;
    for _ in 0..3 {
        assert_eq!(client.get("http://ServiceB/").await.status, 503);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3, "nothing more than what was asked");
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_given_up_for_another() {
    let slow =
        App::each(|mut peer, _| async move { while peer.request().await.is_some() {} }).await;
    let good = App::saying("good").await;
    let retries =
        Retries { next: 1, try_timeout: Some(Duration::from_secs(3)), ..Retries::default() };
    let mut settings = retrying(retries);
    settings.governance.consumer.timeout = Some(Duration::from_mins(1));
    let source = Fixed::new([service("ServiceB", &[slow.address, good.address])]);
    let (_proxy, address) = start(settings, Arc::new(source));
    let mut client = Client::connect(address).await;
    for _ in 0..2 {
        assert_eq!(client.get("http://ServiceB/").await.body, "good");
    }
}

#[tokio::test]
async fn a_service_has_a_timeout_of_its_own() {
    let slow =
        App::each(|mut peer, _| async move { while peer.request().await.is_some() {} }).await;
    let mut settings = settings("ServiceA");
    let mut terms = settings.governance.consumer.clone();
    terms.timeout = Some(Duration::from_millis(50));
    settings.governance.services.insert("ServiceB".to_owned(), terms);
    let source = Fixed::new([service("ServiceB", &[slow.address])]);
    let (_proxy, address) = start(settings, Arc::new(source));
    let answer = Client::connect(address).await.get("http://ServiceB/").await;
    assert_eq!((answer.status, answer.error()), (504, Some("timeout")));
}

#[tokio::test]
async fn a_failing_status_opens_the_breaker() {
    let (app, _) = failing(usize::MAX, 500).await;
    let mut settings = retrying(Retries::default());
    settings.governance.consumer.breaker.enabled = true;
    settings.governance.consumer.breaker.volume = 3;
    let source = Fixed::new([service("ServiceB", &[app.address])]);
    let (_proxy, address) = start(settings, Arc::new(source));
    let mut client = Client::connect(address).await;
    for _ in 0..3 {
        assert_eq!(client.get("http://ServiceB/").await.status, 500);
    }
    assert_eq!(client.get("http://ServiceB/").await.error(), Some("circuit_open"));
}
