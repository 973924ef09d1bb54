//! Requests go where rules say.

use std::net::SocketAddr;
use std::sync::Arc;

use discovery::Fixed;
use mesh::route::{Condition, HeaderMatch, RequestMatch, Rule, Subset, Target, Test};
use mesh::{Endpoint, Instance, InstanceId, Protocol, Service, ServiceKey, Status, Tags};
use sidecar::settings::Settings;

use crate::app::App;
use crate::world::{Client, settings, start};

/// `ServiceB` in versions 1.0 and 2.0, at these addresses.
fn service(addresses: [SocketAddr; 2]) -> Service {
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
        tags: Tags::from([("version".into(), version.into())]),
    });
    Service::new(ServiceKey::new("default", "ServiceB"), instances)
}

fn to(version: &str, weight: u32) -> Target {
    let tags = Tags::from([("version".into(), version.into())]);
    Target { weight, subset: Subset::of_tags(tags) }
}

fn ruled(rules: Vec<Rule>) -> Settings {
    let mut settings = settings("ServiceA");
    settings.governance.rules.insert("ServiceB".to_owned(), rules);
    settings
}

#[tokio::test]
async fn by_weight_and_by_header() {
    let (one, two) = (App::saying("one").await, App::saying("two").await);
    let jason = HeaderMatch {
        name: "x-user".into(),
        condition: Condition { test: Test::Is("jason".into()), any_case: false },
        inverted: false,
    };
    let about = RequestMatch { headers: vec![jason], ..RequestMatch::default() };
    let settings = ruled(vec![
        Rule { matches: vec![about], targets: vec![to("1.0", 100)], ..Rule::default() },
        Rule {
            matches: Vec::new(),
            targets: vec![to("1.0", 20), to("2.0", 80)],
            ..Rule::default()
        },
    ]);
    let source = Fixed::new([service([one.address, two.address])]);
    let (_proxy, address) = start(settings, Arc::new(source));
    let mut client = Client::connect(address).await;
    let mut taken = [0, 0];
    for _ in 0..50 {
        match client.get("http://ServiceB/").await.body.as_str() {
            "one" => taken[0] += 1,
            "two" => taken[1] += 1,
            other => panic!("{other}"),
        }
        let line = "x-user: jason\r\n";
        assert_eq!(client.request("GET", "http://ServiceB/", line, "").await.body, "one");
    }
    assert_eq!(taken, [10, 40]);
}

#[tokio::test]
async fn a_version_that_is_nowhere_is_named() {
    let app = App::saying("one").await;
    let settings =
        ruled(vec![Rule { matches: Vec::new(), targets: vec![to("3.0", 100)], ..Rule::default() }]);
    let source = Fixed::new([service([app.address; 2])]);
    let (_proxy, address) = start(settings, Arc::new(source));
    let answer = Client::connect(address).await.get("http://ServiceB/").await;
    assert_eq!((answer.status, answer.error()), (502, Some("no_instance")));
    assert_eq!(answer.body, "lb: No available instance, key: ServiceB(app:default|version:3.0.0)");
}

#[tokio::test]
async fn other_rules_are_in_force_with_the_next_request() {
    let (one, two) = (App::saying("one").await, App::saying("two").await);
    let source = Fixed::new([service([one.address, two.address])]);
    let (proxy, address) = start(settings("ServiceA"), Arc::new(source));
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("http://ServiceB/").await.body, "two", "the latest");
    for (version, said) in [("1.0", "one"), ("2.0", "two"), ("1.0", "one")] {
        let rule = Rule { matches: Vec::new(), targets: vec![to(version, 100)], ..Rule::default() };
        let mut settings = proxy.settings();
        settings.governance.rules.insert("ServiceB".to_owned(), vec![rule]);
        assert!(proxy.reconfigure(settings).is_empty(), "nothing needs a restart");
        assert_eq!(client.get("http://ServiceB/").await.body, said);
    }
    assert_eq!((one.connections(), two.connections()), (1, 1), "pools stay");
}
