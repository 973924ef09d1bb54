//! Copies of requests: who gets them, and that nobody is held up by them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use discovery::Fixed;
use mesh::route::{Mirror, MirrorTo, Rule, Subset, Target};
use mesh::virtual_host::Share;
use mesh::{Endpoint, Instance, InstanceId, Protocol, Service, ServiceKey, Status, Tags};
use sidecar::Proxy;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::world::{Client, PATIENCE, nobody, service, settings, start};

/// Answers whatever comes after a while, if it does, and tells what that was.
async fn hears(answers: bool) -> (App, UnboundedReceiver<String>) {
    let (tell, told) = unbounded_channel();
    let app = App::each(move |mut peer, _| {
        let tell = tell.clone();
        async move {
            while let Some(request) = peer.request().await {
                let _ = tell.send(request);
                if !answers {
                    std::future::pending::<()>().await;
                }
                peer.answer("of the copy").await;
            }
        }
    })
    .await;
    (app, told)
}

/// `ServiceB` in version 1.0, where requests go, and 2.0, which gets copies; and `ServiceC`.
fn mirrored(to: MirrorTo, share: Share, addresses: [SocketAddr; 2]) -> (Proxy, SocketAddr) {
    let tags = |version: &str| Tags::from([("version".into(), version.into())]);
    let instances = addresses.into_iter().zip(["1.0", "2.0"]).map(|(address, version)| Instance {
        id: InstanceId(version.into()),
        version: version.parse().expect("a version"),
        status: Status::Up,
        endpoints: vec![Endpoint {
            protocol: Protocol::Rest,
            address,
            tls: false,
            service_port: None,
        }],
        tags: tags(version),
    });
    let rule = Rule {
        targets: vec![Target { weight: 100, subset: Subset::of_tags(tags("1.0")) }],
        mirrors: vec![Mirror { to, share }],
        ..Rule::default()
    };
    let mut settings = settings("ServiceA");
    settings.governance.rules.insert("ServiceB".to_owned(), vec![rule]);
    let services = [
        Service::new(ServiceKey::new("default", "ServiceB"), instances),
        service("ServiceC", &[addresses[1]]),
    ];
    start(settings, Arc::new(Fixed::new(services)))
}

fn newest() -> MirrorTo {
    MirrorTo::Subset(Subset::default())
}

async fn next(told: &mut UnboundedReceiver<String>) -> String {
    timeout(PATIENCE, told.recv()).await.expect("a copy comes").expect("the application runs")
}

async fn counts(proxy: &Proxy, result: &str, count: usize) {
    let line = format!(
        "mesher_mirrored_requests_total{{service_name=\"ServiceB\",app=\"default\",\
         side=\"consumer\",result=\"{result}\"}} {count}"
    );
    let counted = async {
        loop {
            let mut admin = Client::connect(proxy.addresses().admin[0]).await;
            if admin.get("/metrics").await.body.lines().any(|said| said == line) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, counted).await.unwrap_or_else(|_| panic!("{line}"));
}

#[tokio::test]
async fn a_copy_is_what_was_sent_and_says_so() {
    let of_service = MirrorTo::Service("ServiceC".into());
    for to in [newest(), of_service] {
        let app = App::saying("of the service").await;
        let (copied, mut told) = hears(true).await;
        let (proxy, address) = mirrored(to, Share::ALL, [app.address, copied.address]);
        let mut client = Client::connect(address).await;
        for body in ["", "hello", &"x".repeat(20_000)] {
            let lines = "x-own: 1\r\n";
            let answer = client.request("POST", "http://ServiceB:8080/a?b", lines, body).await;
            assert_eq!((answer.status, answer.body.as_str()), (200, "of the service"));
            let copy = next(&mut told).await;
            assert!(copy.starts_with("POST /a?b HTTP/1.1\r\n"), "{copy}");
            let head = copy.to_ascii_lowercase();
            for line in ["host: serviceb-shadow:8080", "x-mesher-mirror: true", "x-own: 1"] {
                assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {copy}");
            }
            assert!(copy.ends_with(&format!("\r\n\r\n{body}")), "{} bytes", copy.len());
        }
        counts(&proxy, "sent", 3).await;
        assert_eq!(copied.connections(), 1, "one connection serves one after the other");
    }
}

#[tokio::test]
async fn a_body_that_comes_in_chunks_is_copied_whole() {
    let app = App::saying("okay").await;
    let (copied, mut told) = hears(true).await;
    let (_proxy, address) = mirrored(newest(), Share::ALL, [app.address, copied.address]);
    let mut client = Client::connect(address).await;
    client
        .send("POST http://ServiceB/ HTTP/1.1\r\nhost: ServiceB\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    for chunk in ["2\r\nab\r\n", "3\r\ncde\r\n", "0\r\n\r\n"] {
        client.send(chunk).await;
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(client.answer().await.status, 200);
    let copy = next(&mut told).await;
    let body = copy.split_once("\r\n\r\n").expect("a body").1;
    assert_eq!(
        body.split("\r\n").filter(|line| line.starts_with(['a', 'c'])).collect::<String>(),
        "abcde"
    );
}

#[tokio::test]
async fn nobody_is_held_up_by_who_does_not_answer() {
    let app = App::saying("okay").await;
    let (silent, mut told) = hears(false).await;
    let (proxy, address) = mirrored(newest(), Share::ALL, [app.address, silent.address]);
    let mut client = Client::connect(address).await;
    for _ in 0..300 {
        assert_eq!(client.get("http://ServiceB/").await.status, 200);
    }
    next(&mut told).await;
    counts(&proxy, "dropped", 300 - 256).await;
}

#[tokio::test]
async fn what_becomes_of_a_copy_is_nobodys_concern() {
    let app = App::saying("okay").await;
    let (proxy, address) = mirrored(newest(), Share::ALL, [app.address, nobody()]);
    let mut client = Client::connect(address).await;
    for _ in 0..5 {
        let answer = client.get("http://ServiceB/").await;
        assert_eq!((answer.status, answer.error()), (200, None));
    }
    counts(&proxy, "failed", 5).await;
    // One that is longer than what is held of a body has none.
    let answer = client.request("POST", "http://ServiceB/", "", &"x".repeat(100_000)).await;
    assert_eq!(answer.status, 200);
    counts(&proxy, "dropped", 1).await;
}

#[tokio::test]
async fn of_some_requests_there_are_copies() {
    let app = App::saying("okay").await;
    let (copied, mut told) = hears(true).await;
    let share = Share::of_million(500_000);
    let (_proxy, address) = mirrored(newest(), share, [app.address, copied.address]);
    let mut client = Client::connect(address).await;
    for _ in 0..200 {
        client.get("http://ServiceB/").await;
    }
    next(&mut told).await;
    let mut copies = 1;
    while timeout(Duration::from_millis(200), told.recv()).await.is_ok() {
        copies += 1;
    }
    assert!((50..150).contains(&copies), "{copies} of 200");
}
