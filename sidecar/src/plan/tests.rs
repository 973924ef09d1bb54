//! The two promises of the plan, and what a route is made of.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use discovery::{Fixed, Source};
use mesh::{
    BreakerState, BreakerTerms, Endpoint, Instance, InstanceId, Permit, Protocol, Service,
    ServiceKey, Status, Tags,
};

use super::{Lookup, Plans};
use crate::clock::Clock;

fn endpoint(port: u16, service_port: Option<u16>) -> Endpoint {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    Endpoint { protocol: Protocol::Rest, address, tls: false, service_port }
}

fn service(name: &str, ports: &[u16]) -> Service {
    let instances = ports.iter().map(|port| Instance {
        id: InstanceId(format!("i{port}").into()),
        version: "1.0".parse().unwrap(),
        status: Status::Up,
        endpoints: vec![endpoint(*port, None)],
        tags: Tags::new(),
    });
    Service::new(ServiceKey::new("default", name), instances)
}

/// Plans that follow `source`, after its first snapshot was taken over.
async fn following(source: &Arc<Fixed>, first: &str) -> Arc<Plans> {
    let source = Arc::clone(source) as Arc<dyn Source>;
    let plans = Plans::new(source, "default", Clock::start(), 1);
    tokio::spawn(Arc::clone(&plans).follow());
    assert!(matches!(plans.find(first).await, Lookup::Service(_)));
    plans
}

async fn endpoints(plans: &Plans, name: &str, wanted: usize) {
    let mut swapped = plans.swapped.subscribe();
    let has = || {
        let service = plans.known(name).expect("the service is known");
        service.default_route(Protocol::Rest, None).endpoints.len() == wanted
    };
    swapped.wait_for(|()| has()).await.unwrap();
}

#[tokio::test]
async fn a_breaker_that_was_open_before_a_push_is_open_after_it() {
    let source = Arc::new(Fixed::new([service("b", &[1])]));
    let plans = following(&source, "b").await;
    let terms = BreakerTerms { enabled: true, volume: 1, ..BreakerTerms::default() };
    let before = plans.known("b").unwrap();
    let now = Duration::from_secs(1);
    before.state.breaker.record(&terms, now, Permit::Pass, false);
    assert_eq!(before.state.breaker.state(now), BreakerState::Open);

    source.change(|snapshot| snapshot.put(service("b", &[1, 2])));
    endpoints(&plans, "b", 2).await;
    let after = plans.known("b").unwrap();
    assert_eq!(after.state.breaker.state(now), BreakerState::Open);
    assert_eq!(after.state.breaker.admit(&terms, || now), Permit::Refused);
    let route =
        |service: &Arc<super::ServicePlan>| Arc::clone(service.default_route(Protocol::Rest, None));
    let same = Arc::ptr_eq(&route(&before).endpoints[0], &route(&after).endpoints[0]);
    assert!(same, "an endpoint that stayed keeps its pool and its eviction");
}

#[tokio::test]
async fn a_change_of_one_service_of_5000_compiles_one_plan() {
    let source = Arc::new(Fixed::new((0..5_000).map(|i| service(&format!("s{i}"), &[1]))));
    let plans = following(&source, "s0").await;
    assert_eq!(plans.compiled(), 5_000);
    let untouched = plans.known("s1").unwrap();

    source.change(|snapshot| snapshot.put(service("s7", &[1, 2])));
    endpoints(&plans, "s7", 2).await;
    assert_eq!(plans.compiled(), 5_001);
    assert!(Arc::ptr_eq(&untouched, &plans.known("s1").unwrap()));
}

#[tokio::test]
async fn a_withdrawn_service_stays_in_the_mesh_and_may_come_back() {
    let source = Arc::new(Fixed::new([service("b", &[1])]));
    let plans = following(&source, "b").await;
    source.change(|snapshot| snapshot.remove(&ServiceKey::new("default", "b")));
    let mut swapped = plans.swapped.subscribe();
    swapped.wait_for(|()| plans.known("b").is_none()).await.unwrap();
    match plans.find("b").await {
        Lookup::Service(gone) => {
            assert!(
                gone.withdrawn && gone.default_route(Protocol::Rest, None).endpoints.is_empty()
            );
        }
        other => panic!("a name that was a service is none any more: {other:?}"),
    }
    assert!(matches!(plans.find("never").await, Lookup::Unknown));

    source.change(|snapshot| snapshot.put(service("b", &[1])));
    swapped.wait_for(|()| plans.known("b").is_some()).await.unwrap();
}

#[tokio::test]
async fn ports_with_endpoints_of_their_own_are_routes_of_their_own() {
    let instance = Instance {
        id: InstanceId("i".into()),
        version: "1.0".parse().unwrap(),
        status: Status::Up,
        endpoints: vec![endpoint(9080, Some(80)), endpoint(9081, Some(81))],
        tags: Tags::new(),
    };
    let service = Service::new(ServiceKey::new("default", "b"), [instance]);
    let plans = following(&Arc::new(Fixed::new([service])), "b").await;
    let plan = plans.known("b").unwrap();
    for (asked, expected) in [(Some(81), Some(9081)), (None, Some(9080)), (Some(82), None)] {
        let route = plan.default_route(Protocol::Rest, asked);
        let found = route.endpoints.first().map(|endpoint| endpoint.id.address.clone());
        let address = |port| super::Address::Known(SocketAddr::from(([127, 0, 0, 1], port)));
        assert_eq!(found, expected.map(address), "asked for {asked:?}");
    }
}
