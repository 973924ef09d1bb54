//! What is counted: every request once, where it belongs, and in a bounded number of series.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hyper::Request;
use mesh::Protocol;
use sidecar::Proxy;
use sidecar::settings::Settings;
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::world::{
    Client, PATIENCE, consumer, mesh_of_two, nobody, service, service_of, settings,
};
use crate::{h2_app, h2_client};

/// Every whole number that `/metrics` says, by its name with labels.
async fn series(proxy: &Proxy) -> BTreeMap<String, u64> {
    let mut admin = Client::connect(proxy.addresses().admin[0]).await;
    let text = admin.get("/metrics").await.body;
    let series = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        Some((name.to_owned(), value.parse().ok()?))
    });
    series.collect()
}

/// Waits until all of these have their values: the end of a response is seen by its client first.
async fn becomes(proxy: &Proxy, wanted: &[(&str, u64)]) -> BTreeMap<String, u64> {
    let looked = async {
        loop {
            let found = series(proxy).await;
            if wanted.iter().all(|(name, value)| found.get(*name) == Some(value)) {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    if let Ok(found) = timeout(PATIENCE, looked).await {
        return found;
    }
    let found = series(proxy).await;
    let instead: Vec<_> = wanted.iter().map(|(name, _)| (name, found.get(*name))).collect();
    panic!("{wanted:?}, but {instead:?} in {found:#?}")
}

/// The sum of all series whose names begin and go on so.
fn sum(series: &BTreeMap<String, u64>, name: &str, labels: &str) -> u64 {
    let fits = |found: &&String| found.starts_with(&format!("{name}{{")) && found.contains(labels);
    series.iter().filter(|(found, _)| fits(found)).map(|(_, value)| value).sum()
}

#[tokio::test]
async fn every_request_is_counted_once_and_where_it_belongs() {
    let app = App::saying("four").await;
    let status = App::each(|mut peer, _| async move {
        while let Some(request) = peer.request().await {
            let code = request.split(['/', ' ']).nth(2).unwrap_or_default().to_owned();
            peer.send(format!("HTTP/1.1 {code} X\r\ncontent-length: 0\r\n\r\n")).await;
        }
    })
    .await;
    let services = [
        service("b", &[app.address]),
        service("gone", &[nobody()]),
        service("status", &[status.address]),
    ];
    let (proxy, address) = consumer(services);
    let mut client = Client::connect(address).await;
    for _ in 0..5 {
        let answer = client.request("POST", "http://b/", "", "sevenit").await;
        assert_eq!(answer.status, 200);
    }
    for (count, url, code) in [
        (3, "http://gone/", 502),
        (2, "http://nobody/", 502),
        (1, "http://u:p@b/", 400),
        (4, "http://status/404", 404),
        (2, "http://status/499", 499),
        (1, "http://status/503", 503),
        (1, "http://status/302", 302),
    ] {
        for _ in 0..count {
            assert_eq!(client.get(url).await.status, code, "{url}");
        }
    }
    let found = becomes(
        &proxy,
        &[
            (r#"requests_total{service_name="b",app="default",version="0.0.1"}"#, 5),
            (r#"successes_total{service_name="b",app="default",version="0.0.1"}"#, 5),
            (r#"failures_total{service_name="b",app="default",version="0.0.1"}"#, 0),
            (r#"request_latency_seconds_count{service_name="b",app="default",version="0.0.1"}"#, 5),
            (r#"mesher_request_body_bytes_total{service_name="b",app="default",side="consumer"}"#, 35),
            (r#"mesher_response_body_bytes_total{service_name="b",app="default",side="consumer"}"#, 20),
            (r#"mesher_request_duration_seconds_count{service_name="b",app="default",side="consumer"}"#, 5),
            (r#"mesher_upstream_connect_seconds_count{service_name="b",app="default",side="consumer"}"#, 1),
            (r#"mesher_upstream_connections{service_name="b",app="default",side="consumer"}"#, 1),
            (r#"mesher_requests_in_flight{service_name="b",app="default",side="consumer"}"#, 0),
            (r#"mesher_responses_total{service_name="b",app="default",side="consumer",code="200",class="2xx"}"#, 5),
            (r#"requests_total{service_name="gone",app="default",version="0.0.1"}"#, 3),
            (r#"mesher_refusals_total{service_name="gone",app="default",side="consumer",reason="connect_refused"}"#, 3),
            (r#"mesher_refusals_total{service_name="unknown",app="",side="consumer",reason="no_instance"}"#, 2),
            (r#"mesher_refusals_total{service_name="unknown",app="",side="consumer",reason="bad_uri"}"#, 1),
            (r#"status_4xx{service_name="status",app="default",version="0.0.1"}"#, 6),
            (r#"status_5xx{service_name="status",app="default",version="0.0.1"}"#, 1),
            (r#"failures_total{service_name="status",app="default",version="0.0.1"}"#, 7),
            (r#"successes_total{service_name="status",app="default",version="0.0.1"}"#, 0),
            (r#"mesher_responses_total{service_name="status",app="default",side="consumer",code="404",class="4xx"}"#, 4),
            (r#"mesher_responses_total{service_name="status",app="default",side="consumer",code="4xx",class="4xx"}"#, 2),
            (r#"Consumer_attempts{hostname="",self="ServiceA",target="gone",appID="default",version="0.0.1"}"#, 3),
            (r#"mesher_connections{side="consumer",protocol="rest",tls="false"}"#, 1),
        ],
    )
    .await;
    // Nothing twice, nothing else.
    assert_eq!(sum(&found, "requests_total", ""), 19);
    assert_eq!(sum(&found, "mesher_responses_total", ""), 19);
    assert_eq!(sum(&found, "mesher_refusals_total", ""), 6);
    assert_eq!(sum(&found, "mesher_broken_off_total", ""), 0);
    assert_eq!(sum(&found, "mesher_response_head_seconds_count", ""), 19);
    let bucket = |le| sum(&found, "request_latency_seconds_bucket", &format!("le=\"{le}\""));
    assert_eq!((bucket("60.0"), bucket("+Inf")), (19, 19));
}

#[tokio::test]
async fn each_side_counts_for_itself() {
    let app = App::saying("four").await;
    let (provider, consumer, address) = mesh_of_two(app.address.port());
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("http://ServiceB/").await.status, 200);
    assert_eq!(client.get("http://ServiceB:1/").await.status, 403);
    let name = |side| {
        let labels = format!(r#"{{service_name="ServiceB",app="default",side="{side}""#);
        [
            format!(r#"mesher_responses_total{labels},code="200",class="2xx"}}"#),
            format!(r#"mesher_responses_total{labels},code="403",class="4xx"}}"#),
            format!(r#"mesher_refusals_total{labels},reason="port_denied"}}"#),
        ]
    };
    let [ok, denied, _] = &name("consumer");
    let found = becomes(&consumer, &[(ok, 1), (denied, 1)]).await;
    assert_eq!(sum(&found, "mesher_refusals_total", ""), 0, "it only passed that on");
    let [ok, denied, refused] = &name("provider");
    becomes(&provider, &[(ok, 1), (denied, 1), (refused, 1)]).await;
}

#[tokio::test]
async fn a_call_is_counted_by_its_own_status() {
    let app = h2_app::App::each(|call| async move {
        match call.request.uri().path() {
            "/late" => {
                let mut answering = call.begin();
                answering.say("first").await;
                answering.is_reset().await;
            }
            path => {
                let status = path.trim_start_matches('/').to_owned();
                call.begin().end(&status);
            }
        }
    })
    .await;
    let services = [
        service_of(Protocol::Grpc, "b", &[app.address]),
        service_of(Protocol::Grpc, "gone", &[nobody()]),
    ];
    let (proxy, address) = consumer(services);
    let call = |url: &str| Request::post(url).header("content-type", "application/grpc");
    let mut client = h2_client::Client::connect(address).await;
    for (count, url) in [(3, "http://b/0"), (2, "http://b/5"), (1, "http://gone/")] {
        for _ in 0..count {
            assert_eq!(client.request(call(url), "").await.status, 200);
        }
    }
    let late = call("http://b/late").header("grpc-timeout", "300m");
    assert_eq!(client.request(late, "").await.trailers["grpc-status"], "4");
    let mut stream = client.start(call("http://b/late"), true).await;
    stream.head().await.expect("a head");
    let busy = r#"mesher_requests_in_flight{service_name="b",app="default",side="consumer"}"#;
    becomes(&proxy, &[(busy, 1)]).await;
    drop(stream);
    let labels = r#"service_name="b",app="default",side="consumer""#;
    let of = |status| format!(r#"mesher_grpc_calls_total{{{labels},grpc_status="{status}"}}"#);
    let found = becomes(
        &proxy,
        &[
            (&of("OK"), 3),
            (&of("NOT_FOUND"), 2),
            (&of("DEADLINE_EXCEEDED"), 1),
            (&of("CANCELLED"), 1),
            (&of("UNAVAILABLE").replace("\"b\"", "\"gone\""), 1),
            (&format!(r#"mesher_refusals_total{{{labels},reason="timeout"}}"#), 1),
            (&format!(r#"mesher_broken_off_total{{{labels},by="client"}}"#), 1),
            (r#"requests_total{service_name="b",app="default",version="0.0.1"}"#, 7),
            (r#"successes_total{service_name="b",app="default",version="0.0.1"}"#, 3),
            (r#"failures_total{service_name="b",app="default",version="0.0.1"}"#, 4),
            (busy, 0),
        ],
    )
    .await;
    assert_eq!(sum(&found, "mesher_grpc_calls_total", ""), 8);
}

#[tokio::test]
async fn what_breaks_off_is_counted_by_who_broke_it_off() {
    let app = App::each(|mut peer, _| async move {
        while let Some(request) = peer.request().await {
            if request.starts_with("GET /half") {
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await;
                return;
            }
            // Nothing, or the beginning of an answer that has no end.
            if request.starts_with("GET /endless") {
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await;
            }
        }
    })
    .await;
    let (proxy, address) = consumer([service("b", &[app.address])]);
    let mut client = Client::connect(address).await;
    client.send("GET http://b/half HTTP/1.1\r\nhost: b\r\n\r\n").await;
    assert!(client.is_reset().await);
    let mut client = Client::connect(address).await;
    client.send("GET http://b/endless HTTP/1.1\r\nhost: b\r\n\r\n").await;
    client.until(b"abc").await;
    drop(client);
    let busy = r#"mesher_requests_in_flight{service_name="b",app="default",side="consumer"}"#;
    let by = |by| {
        format!(
            r#"mesher_broken_off_total{{service_name="b",app="default",side="consumer",by="{by}"}}"#
        )
    };
    becomes(&proxy, &[(&by("client"), 1), (busy, 0)]).await;
    let mut client = Client::connect(address).await;
    client.send("GET http://b/silent HTTP/1.1\r\nhost: b\r\n\r\n").await;
    becomes(&proxy, &[(busy, 1)]).await;
    drop(client);
    becomes(
        &proxy,
        &[
            (&by("instance"), 1),
            (&by("client"), 1),
            (&by("abandoned"), 1),
            (r#"requests_total{service_name="b",app="default",version="0.0.1"}"#, 3),
            (r#"failures_total{service_name="b",app="default",version="0.0.1"}"#, 1),
            (busy, 0),
        ],
    )
    .await;
}

#[tokio::test]
async fn resends_are_counted_by_their_reason() {
    let app = App::saying("four").await;
    let (proxy, address) = consumer([service("b", &[nobody(), app.address])]);
    let mut client = Client::connect(address).await;
    for _ in 0..2 {
        assert_eq!(client.get("http://b/").await.status, 200);
    }
    let resent =
        r#"mesher_resends_total{service_name="b",app="default",side="consumer",reason="connect"}"#;
    let found = becomes(&proxy, &[(resent, 1)]).await;
    assert_eq!(sum(&found, "mesher_instance_attempts_total", ""), 3);
    assert_eq!(sum(&found, "mesher_instance_failures_total", ""), 1);
    assert_eq!(sum(&found, "mesher_evictions_total", ""), 1);
    // What is sent once more takes a connection of its own.
    let connections = sum(&found, "mesher_instance_connections", "");
    assert_eq!(sum(&found, "mesher_upstream_connections", ""), connections);
}

/// Whatever names a client thinks of, and however many services there are.
#[tokio::test]
async fn the_number_of_series_is_bounded() {
    const SERVICES: usize = 400;
    let app = App::saying("four").await;
    let services = (0..SERVICES).map(|n| service(&format!("s{n}"), &[app.address]));
    let mut settings = Settings { ..settings("ServiceA") };
    settings.passthrough = mesh::Passthrough::External;
    let (proxy, address) =
        crate::world::start(settings, std::sync::Arc::new(discovery::Fixed::new(services)));
    let mut client = Client::connect(address).await;
    let mut all = Vec::new();
    for round in 0..2 {
        for n in 0..SERVICES {
            assert_eq!(client.get(&format!("http://s{n}/")).await.status, 200);
            let flood = format!("http://no-such-service-{round}-{n}/");
            assert_eq!(client.get(&flood).await.status, 502);
        }
        // Addresses are outside of the mesh, and nobody is there.
        for n in 1..=20 {
            client.get(&format!("http://127.9.{round}.{n}:1/")).await;
        }
        let found = series(&proxy).await;
        let names: BTreeSet<_> = found
            .keys()
            .filter_map(|name| name.strip_prefix("requests_total{service_name=\""))
            .filter_map(|rest| rest.split('"').next().map(str::to_owned))
            .collect();
        assert!(names.len() <= 257, "{} names", names.len());
        for shared in ["overflow", "unknown", "passthrough"] {
            assert!(names.contains(shared), "{shared} is not in {names:?}");
        }
        let count = SERVICES * 2 * (round + 1) + 20 * (round + 1);
        assert_eq!(sum(&found, "requests_total", ""), count as u64, "none is lost for that");
        all.push(found.into_keys().collect::<BTreeSet<_>>());
    }
    let new: Vec<_> = all[1].difference(&all[0]).collect();
    assert!(new.is_empty(), "the second flood brought {new:?}");
}

#[tokio::test]
async fn both_formats_are_given_to_who_asks_for_them() {
    let (proxy, address) = consumer([]);
    assert_eq!(Client::connect(address).await.get("http://b/").await.status, 502);
    let mut admin = Client::connect(proxy.addresses().admin[0]).await;
    let plain = admin.get("/metrics").await;
    let open = admin.request("GET", "/metrics", "accept: application/openmetrics-text\r\n", "");
    let open = open.await;
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type"), Some(open_metrics));
    assert!(plain.body.contains("# TYPE requests_total counter\n"), "{}", plain.body);
    assert!(open.body.contains("# TYPE requests counter\n"), "{}", open.body);
    assert!(open.body.ends_with("# EOF\n") && !plain.body.contains("# EOF"));
}
