//! What can be seen of services and connections on the admin port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use discovery::Fixed;
use mesh::{Endpoint, Instance, InstanceId, Protocol, Service, ServiceKey, Status, Tags};
use serde_json::{Value, json};
use sidecar::Proxy;
use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::world::{Client, PATIENCE, nobody, service, settings, start};

async fn get(proxy: &Proxy, path: &str) -> Value {
    let mut client = Client::connect(proxy.addresses().admin[0]).await;
    let answer = client.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
}

/// Asks until it is so.
async fn until(proxy: &Proxy, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = get(proxy, path).await;
        if wanted(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "{path}: {found}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn instance(id: &str, version: &str, status: Status, address: SocketAddr) -> Instance {
    Instance {
        id: InstanceId(id.into()),
        version: version.parse().expect("a version"),
        status,
        endpoints: vec![Endpoint {
            protocol: Protocol::Rest,
            address,
            tls: false,
            service_port: None,
        }],
        tags: Tags::new(),
    }
}

#[tokio::test]
async fn a_service_with_its_instances_and_what_was_counted() {
    let app = App::echo().await;
    let key = ServiceKey::new("default", "orders");
    let instances = [
        instance("a", "2.0", Status::Up, app.address),
        instance("b", "2.0", Status::Down, nobody()),
        instance("c", "1.0", Status::Up, nobody()),
    ];
    let source = Fixed::new([Service::new(key, instances), service("stock", &[])]);
    let (proxy, address) = start(settings("caller"), Arc::new(source));
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("http://orders/").await.status, 200);
    assert_eq!(client.get("http://stock/").await.status, 502);

    let all = get(&proxy, "/v1/mesher/services").await;
    assert_eq!(all["totals"]["services"], 2);
    assert_eq!(all["totals"]["instances"], 3);
    assert_eq!(all["totals"]["endpoints"], 1);
    assert_eq!(all["totals"]["trouble"], 1);
    assert_eq!(all["matched"], 2);
    assert_eq!(all["truncated"], false);
    assert_eq!(all["stale"], false);
    assert!(all.get("application").is_none(), "it is a client only: {all}");
    let [orders, stock] = &all["services"].as_array().expect("a list")[..] else {
        panic!("two: {all}")
    };
    assert_eq!(
        (&orders["key"], &stock["key"]),
        (&json!("default/orders"), &json!("default/stock"))
    );
    assert_eq!(stock["trouble"], "no_instance");
    assert!(orders.get("trouble").is_none(), "{orders}");
    assert_eq!(orders["versions"], json!(["2.0.0", "1.0.0"]));
    assert_eq!(orders["latestVersion"], "2.0.0");
    assert_eq!(orders["used"], true);
    assert_eq!(orders["counters"]["requests"], 1);
    assert_eq!(orders["counters"]["failures"], 0);
    assert_eq!(orders["connections"], 1);
    assert_eq!(orders["inFlight"], 0);
    assert_eq!(orders["breaker"]["state"], "off");
    assert_eq!(
        orders["routes"],
        json!([{"protocol": "rest", "subset": "version:latest", "endpoints": 1, "usable": 1}])
    );
    let shown = |at: usize| &orders["instances"][at];
    assert_eq!(shown(0)["endpoints"][0]["address"], app.address.to_string());
    for (at, id, status, routed, connections) in
        [(0, "a", "UP", true, 1), (1, "b", "DOWN", false, 0), (2, "c", "UP", false, 0)]
    {
        let (instance, endpoint) = (shown(at), &shown(at)["endpoints"][0]);
        assert_eq!((&instance["id"], &instance["status"]), (&json!(id), &json!(status)));
        assert_eq!(endpoint["routed"], routed, "{id}");
        assert_eq!(endpoint["connections"], connections, "{id}");
    }

    let one = get(&proxy, "/v1/mesher/services/default/orders").await;
    assert_eq!(one["instances"], orders["instances"]);
    let workers = until(&proxy, "/v1/mesher/connections", |found| {
        found["total"]["clientsIdle"] == 1 && found["total"]["upstreamIdle"] == 1
    });
    let workers = workers.await;
    assert_eq!(workers["workers"].as_array().map(Vec::len), Some(1));
    assert_eq!(workers["total"]["clients"], 1);
    assert_eq!(workers["total"]["tunnels"], 0);
    drop(client);
    until(&proxy, "/v1/mesher/connections", |found| found["total"]["clients"] == 0).await;
}

#[tokio::test]
async fn an_instance_that_takes_no_connection_is_seen_to_be_evicted() {
    let source = Fixed::new([service("orders", &[nobody()])]);
    let (proxy, address) = start(settings("caller"), Arc::new(source));
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("http://orders/").await.status, 502);
    let all = get(&proxy, "/v1/mesher/services?only=trouble").await;
    let orders = &all["services"][0];
    assert_eq!(orders["trouble"], "evicted");
    assert_eq!((&orders["evictedCount"], &orders["routes"][0]["usable"]), (&json!(1), &json!(0)));
    let left = orders["instances"][0]["endpoints"][0]["evictedForSeconds"].as_f64();
    assert!(left.is_some_and(|left| left > 0.0 && left <= 1.0), "{orders}");
    // Its time is over by itself.
    until(&proxy, "/v1/mesher/services?only=trouble", |found| found["matched"] == 0).await;
}

#[tokio::test]
async fn of_many_services_a_page_holds_those_that_are_asked_for() {
    let names = (0..2500).map(|number| format!("s{number:04}"));
    let source = Fixed::new(names.map(|name| service(&name, &[])));
    let (proxy, _) = start(settings("caller"), Arc::new(source));
    let all = until(&proxy, "/v1/mesher/services", |found| found["totals"]["services"] == 2500);
    let all = all.await;
    assert_eq!(all["services"].as_array().map(Vec::len), Some(100));
    assert_eq!((&all["matched"], &all["truncated"]), (&json!(2500), &json!(true)));

    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/mesher/services?limit=1000&instances=0{after}");
        let page = get(&proxy, &path).await;
        let keys = page["services"].as_array().expect("a list").iter();
        seen.extend(keys.map(|service| service["name"].as_str().unwrap_or_default().to_owned()));
        let Some(next) = page["nextAfter"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert!(seen.is_sorted() && seen.len() == 2500, "{}", seen.len());

    let found = get(&proxy, "/v1/mesher/services?search=S01&limit=3").await;
    assert_eq!((&found["matched"], &found["truncated"]), (&json!(100), &json!(true)));
    assert_eq!(found["services"][0]["key"], "default/s0100");
    assert_eq!(get(&proxy, "/v1/mesher/services?only=used").await["matched"], 0);
    let mut client = Client::connect(proxy.addresses().admin[0]).await;
    for path in ["/v1/mesher/services?limit=0", "/v1/mesher/services?find=x"] {
        assert_eq!(client.get(path).await.status, 400, "{path}");
    }
    assert_eq!(client.get("/v1/mesher/services/default/nobody").await.status, 404);
}
