//! Where rules of a source lead.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use discovery::{Fixed, Source};
use mesh::route::{Asked, Condition, Test};
use mesh::virtual_host::{Action, HeaderMatch, HeaderTest, Request, Respond, RouteRule};
use mesh::{
    Cluster, ClusterTerms, Endpoint, Instance, InstanceId, Locality, Member, Port, Protocol,
    Routing, Service, ServiceKey, Status, Tags, Version,
};

use crate::clock::Clock;
use crate::plan::{Address, Lookup, Plans, Route, ServicePlan, Told};

/// A GET of `/`, with one header.
struct Get(&'static str);

impl Asked for Get {
    fn method(&self) -> &'static str {
        "GET"
    }

    fn path(&self) -> &'static str {
        "/"
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        (name == "user").then_some(self.0.as_bytes())
    }
}

impl Request for Get {
    fn authority(&self) -> &'static str {
        "b:80"
    }

    fn query(&self) -> Option<&str> {
        None
    }

    fn joined(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.header(name).map(Cow::Borrowed)
    }
}

fn key() -> ServiceKey {
    ServiceKey::new("shop", "b.shop.svc.cluster.local")
}

/// A member at a port, with status, weight and priority.
fn member(protocol: Protocol, port: u16, status: Status, weight: u32, priority: u32) -> Member {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let endpoint = Endpoint { protocol, address, tls: false, service_port: Some(80) };
    let instance = Instance {
        id: InstanceId(format!("i{port}").into()),
        version: Version::default(),
        status,
        endpoints: vec![endpoint],
        tags: Tags::new(),
    };
    let locality = Arc::new(Locality::default());
    Member { instance: Arc::new(instance), weight, priority, locality }
}

fn cluster(name: &str, members: Vec<Member>) -> Arc<Cluster> {
    Arc::new(Cluster {
        name: name.into(),
        service: key(),
        label: name.into(),
        port: 80,
        members,
        terms: Arc::new(ClusterTerms::default()),
    })
}

/// Every request goes to these, by weight.
fn shared(weights: &[(&str, u32)]) -> RouteRule {
    let mut rule = RouteRule::everything_to("");
    if let Action::Forward(forward) = &mut rule.action {
        let destination = forward.destinations.remove(0);
        forward.destinations.extend(weights.iter().map(|(cluster, weight)| {
            let mut destination = destination.clone();
            destination.cluster = (*cluster).into();
            destination.weight = *weight;
            destination
        }));
        forward.timeout = Some(Duration::from_secs(2));
    }
    rule
}

async fn plan(rules: Vec<RouteRule>, clusters: Vec<Arc<Cluster>>) -> Arc<ServicePlan> {
    let routing = Routing {
        names: vec!["b".into(), "b.shop".into()],
        ports: vec![Port { number: 80, rules: rules.into() }],
        clusters,
    };
    let source = Arc::new(Fixed::new([Service::routed(key(), routing)]));
    let plans = Plans::new(source as Arc<dyn Source>, "other", Clock::start(), 1);
    tokio::spawn(Arc::clone(&plans).follow());
    let mut swapped = plans.swapped.subscribe();
    swapped.wait_for(|()| plans.known("b").is_some()).await.unwrap();
    assert!(plans.known("b.shop").is_some(), "by each of its names");
    assert!(matches!(plans.find("c").await, Lookup::Unknown));
    plans.known("b").unwrap()
}

/// The ports that requests of a route would go to, in turn.
fn ports(route: &Route) -> Vec<u16> {
    let port = |address: &Address| match address {
        Address::Known(address) => address.port(),
        Address::Name(..) => 0,
    };
    route.endpoints.iter().map(|endpoint| port(&endpoint.id.address)).collect()
}

#[tokio::test]
async fn the_first_rule_that_agrees_decides_and_shares_out() {
    let up = |port| member(Protocol::Rest, port, Status::Up, 1, 0);
    let mut jason = shared(&[("v2", 1)]);
    jason.matches.headers.push(HeaderMatch {
        name: "user".into(),
        test: HeaderTest::Text(Condition { test: Test::Is("jason".into()), any_case: false }),
        invert: false,
        absent_is_empty: false,
    });
    let rules = vec![jason, shared(&[("v1", 25), ("v2", 25), ("v3", 50)])];
    let clusters =
        [("v1", 1), ("v2", 2), ("v3", 3)].map(|(name, port)| cluster(name, vec![up(port)]));
    let plan = plan(rules, clusters.to_vec()).await;
    let mut taken = BTreeMap::new();
    for _ in 0..400 {
        let route = plan.route_of(Protocol::Rest, Some(80), &Get("eve"));
        *taken.entry(ports(route)[0]).or_insert(0) += 1;
        assert_eq!(route.terms.timeout, Some(Duration::from_secs(2)));
    }
    assert_eq!(taken, BTreeMap::from([(1, 100), (2, 100), (3, 200)]));
    assert_eq!(ports(plan.route_of(Protocol::Rest, None, &Get("jason"))), [2]);
    assert!(ports(plan.route_of(Protocol::Rest, Some(81), &Get("jason"))).is_empty());
    assert!(ports(plan.route_of(Protocol::Grpc, None, &Get("jason"))).is_empty(), "no HTTP/2");
}

#[tokio::test]
async fn who_serves_of_the_first_priority_takes_requests_by_weight() {
    let of =
        |port, status, weight, priority| member(Protocol::Rest, port, status, weight, priority);
    let members = vec![
        of(1, Status::Down, 1, 0),
        of(2, Status::Up, 3, 1),
        of(3, Status::Up, 1, 1),
        of(4, Status::Up, 1, 2),
    ];
    let plan = plan(vec![shared(&[("v1", 1)])], vec![cluster("v1", members)]).await;
    let mut found = ports(plan.route_of(Protocol::Rest, None, &Get("")));
    found.sort_unstable();
    assert_eq!(found, [2, 2, 2, 3]);
}

#[tokio::test]
async fn a_rule_may_answer_by_itself_or_lead_nowhere() {
    let mut teapot = shared(&[]);
    teapot.action = Action::Respond(Respond { status: 418, body: Arc::from(*b"stout") });
    let told = plan(vec![teapot], Vec::new()).await;
    let route = told.route_of(Protocol::Rest, None, &Get(""));
    assert!(
        matches!(&route.ruled.as_ref().unwrap().told, Some(Told::Respond(it)) if it.status == 418)
    );

    let nowhere = plan(vec![shared(&[("gone", 1)])], Vec::new()).await;
    let route = nowhere.route_of(Protocol::Rest, None, &Get(""));
    assert!(route.endpoints.is_empty() && route.ruled.as_ref().unwrap().told.is_none());
}
