//! The two promises of the plan, and what a route is made of.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use discovery::{Fixed, Source};
use mesh::balance::SuccessRate;
use mesh::{
    BreakerScope, BreakerState, BreakerTerms, Endpoint, Instance, InstanceId, Permit, Protocol,
    Service, ServiceKey, Status, Tags,
};

use super::{Lookup, Plans};
use crate::clock::Clock;
use crate::settings::Governance;

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
async fn what_was_counted_of_an_instance_survives_a_push_and_other_terms() {
    let source = Arc::new(Fixed::new([service("b", &[1, 2, 3, 4])]));
    let plans = following(&source, "b").await;
    let mut governance = Governance::default();
    governance.consumer.breaker = BreakerTerms {
        scope: BreakerScope::Instance,
        enabled: true,
        volume: 1,
        ..BreakerTerms::default()
    };
    let success_rate = SuccessRate { deviation: 1000, hosts: 3, volume: 4 };
    governance.consumer.balancing.outliers.success_rate = success_rate;
    plans.govern(&governance);
    let route =
        |plans: &Plans| Arc::clone(plans.known("b").unwrap().default_route(Protocol::Rest, None));
    let before = route(&plans);
    assert!(before.breaks_each());
    let now = Duration::from_secs(15);
    before.judge(&before.endpoints[0], now, Permit::Pass, false);
    for (at, endpoint) in before.endpoints.iter().enumerate() {
        for number in 0..4 {
            endpoint.rates.record(SuccessRate::period(now), number >= at);
        }
    }

    source.change(|snapshot| snapshot.put(service("b", &[1, 2, 3, 4, 5])));
    endpoints(&plans, "b", 5).await;
    governance.consumer.breaker.sleep = Duration::from_secs(20);
    plans.govern(&governance);
    let after = route(&plans);
    assert_eq!(after.admit(&after.endpoints[0], || now), Permit::Refused);
    assert_eq!(after.admit(&after.endpoints[4], || now), Permit::Pass);
    assert_eq!(after.state.breaker.turns(BreakerState::Open), 1, "its service counts it");
    assert!(after.below_the_others(now).is_empty(), "the ten seconds are not over");
    let later = now + Duration::from_secs(10);
    let below: Vec<_> = after.below_the_others(later).into_iter().map(|it| it.pool).collect();
    assert_eq!(below, [after.endpoints[3].pool]);
    assert!(after.below_the_others(later).is_empty(), "it was told once");
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
