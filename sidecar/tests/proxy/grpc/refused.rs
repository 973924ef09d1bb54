//! Calls that are not let through.

use std::time::Duration;

use mesh::{Protocol, Rate};
use tokio::time::timeout;

use super::{call, start, status};
use crate::h2_app::App;
use crate::h2_client::Client;
use crate::world::{PATIENCE, service_of, settings};

#[tokio::test]
async fn what_is_more_than_the_limit_exhausts_a_resource() {
    let app = App::echo().await;
    let mut settings = settings("ServiceA");
    settings.governance.consumer.rate = Some(Rate { per_second: 1, burst: 2 });
    let (_proxy, address) = start(settings, vec![service_of(Protocol::Grpc, "b", &[app.address])]);
    let mut client = Client::connect(address).await;
    let mut found = Vec::new();
    for _ in 0..3 {
        let answer = client.request(call("http://b/s/m"), "").await;
        let (code, word) = status(&answer);
        found.push((code.map(str::to_owned), word.map(str::to_owned)));
    }
    let (well, refused) = ("0".to_owned(), ("8".to_owned(), "rate_limited".to_owned()));
    assert_eq!(found[..2], [(Some(well.clone()), None), (Some(well), None)]);
    assert_eq!(found[2], (Some(refused.0), Some(refused.1)), "RESOURCE_EXHAUSTED");
}

#[tokio::test]
async fn what_is_too_much_at_once_is_unavailable() {
    let app = App::each(|call| async move {
        let mut answering = call.begin();
        answering.say("hello").await;
        std::future::pending::<()>().await;
    })
    .await;
    let mut settings = settings("ServiceA");
    settings.governance.consumer.concurrency = Some(1);
    settings.limits.queue_timeout = Duration::from_millis(10);
    let (_proxy, address) = start(settings, vec![service_of(Protocol::Grpc, "b", &[app.address])]);
    let mut client = Client::connect(address).await;
    let mut first = client.start(call("http://b/s/m"), true).await;
    assert_eq!(
        first.head().await.expect("a head").status(),
        200,
        "a stream of messages that goes on"
    );
    let refused = client.request(call("http://b/s/m"), "").await;
    assert_eq!(status(&refused), (Some("14"), Some("overload")));
    drop(first);
    // Its place is free as soon as the proxy has seen that.
    let again = async {
        loop {
            let mut stream = client.start(call("http://b/s/m"), true).await;
            let head = stream.head().await.expect("a head");
            if !head.headers().contains_key("x-mesher-error") {
                return;
            }
        }
    };
    timeout(PATIENCE, again).await.expect("there is room again");
}
