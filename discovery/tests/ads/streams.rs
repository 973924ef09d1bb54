//! What is said on streams, and what is made of what is heard.

use discovery::ads::{Ads, Kind, Variant};
use discovery::{Answer, Source, State};
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use tokio::time::timeout;
use tonic::Status;

use super::control_plane::{
    ControlPlane, Delta, SOON, answer, broken_cluster, cluster, cluster_name, endpoints, ports,
    reviews, routes, until,
};

/// The first two requests of a delta stream, in order: clusters, and routes.
async fn first_words(stream: &mut Delta) {
    let clusters = stream.hear().await;
    assert_eq!(clusters.type_url, Kind::Clusters.type_url());
    let node = clusters.node.expect("the first request says who asks");
    assert_eq!(node.id, "sidecar~10.0.0.9~web-0.shop~shop.svc.cluster.local");
    assert!(clusters.resource_names_subscribe.is_empty() && clusters.response_nonce.is_empty());
    let routes = stream.hear().await;
    assert_eq!(routes.type_url, Kind::Routes.type_url());
    assert!(routes.node.is_none(), "once is enough");
    assert_eq!(routes.resource_names_subscribe, ["http_proxy"]);
}

/// Hears requests until there is one of this kind.
async fn hear(stream: &mut Delta, kind: Kind) -> DeltaDiscoveryRequest {
    loop {
        let heard = stream.hear().await;
        if heard.type_url == kind.type_url() {
            return heard;
        }
    }
}

/// Tells the client of one version of `reviews`, in responses 1 to 3.
async fn knows_one(istiod: &mut ControlPlane, client: &Ads) -> Delta {
    let asked = client.demand(&reviews());
    let mut stream = istiod.delta().await;
    stream.send(Kind::Clusters, "1", vec![cluster("v1")], &[]);
    stream.send(Kind::Routes, "2", vec![routes(&[("v1", 1)])], &[]);
    hear(&mut stream, Kind::Endpoints).await;
    stream.send(Kind::Endpoints, "3", vec![endpoints("v1", &[1])], &[]);
    assert_eq!(asked.within(SOON).await, Answer::Known);
    stream
}

#[tokio::test]
async fn a_service_is_there_when_all_of_it_is() {
    let mut istiod = ControlPlane::start(true).await;
    let client = istiod.client();
    let asked = client.demand(&reviews());
    let mut stream = istiod.delta().await;
    first_words(&mut stream).await;

    stream.send(Kind::Clusters, "n1", vec![cluster("v1"), cluster("v2")], &[]);
    let said = hear(&mut stream, Kind::Clusters).await;
    assert_eq!((said.response_nonce.as_str(), said.error_detail), ("n1", None));
    stream.send(Kind::Routes, "n2", vec![routes(&[("v1", 1), ("v2", 3)])], &[]);
    assert_eq!(hear(&mut stream, Kind::Routes).await.response_nonce, "n2");

    // Only now, and only for what somebody wants, endpoints are asked for.
    let said = hear(&mut stream, Kind::Endpoints).await;
    assert_eq!(said.resource_names_subscribe, [cluster_name("v1"), cluster_name("v2")]);
    assert!(said.response_nonce.is_empty(), "names are asked for without a nonce");
    stream.send(Kind::Endpoints, "n3", vec![endpoints("v1", &[1])], &[]);
    assert_eq!(hear(&mut stream, Kind::Endpoints).await.response_nonce, "n3");
    assert!(client.snapshots().borrow().get(&reviews()).is_none(), "half of it is not used");
    stream.send(Kind::Endpoints, "n4", vec![endpoints("v2", &[2, 3])], &[]);
    assert_eq!(asked.within(SOON).await, Answer::Known);
    let snapshot = client.snapshots().borrow().clone();
    let service = snapshot.get(&reviews());
    assert_eq!(ports(service, "v1"), Some(vec![1]));
    assert_eq!(ports(service, "v2"), Some(vec![2, 3]));

    assert_eq!(answer(&client, "reviews").await, Answer::Known);
    assert_eq!(answer(&client, "REVIEWS.shop").await, Answer::Known, "hosts have no case");
    assert_eq!(answer(&client, "ratings").await, Answer::Unknown);
    let report = client.report();
    assert_eq!((report.variant, report.clusters), (Variant::Delta, 2));
    let (_, clusters) = &report.subscriptions[0];
    assert_eq!((clusters.version.as_str(), clusters.refusals), ("version of n1", 0));
}

#[tokio::test]
async fn the_old_rules_hold_until_the_new_ones_can() {
    let mut istiod = ControlPlane::start(true).await;
    let client = istiod.client();
    let mut stream = knows_one(&mut istiod, &client).await;

    // v1 goes, v2 comes: in the order of istiod, the routes are last.
    stream.send(Kind::Clusters, "4", vec![cluster("v2")], &[&cluster_name("v1")]);
    stream.send(Kind::Endpoints, "5", vec![endpoints("v1", &[])], &[]);
    stream.send(Kind::Routes, "6", vec![routes(&[("v2", 1)])], &[]);
    loop {
        let said = hear(&mut stream, Kind::Endpoints).await;
        if said.resource_names_subscribe == [cluster_name("v2")] {
            break;
        }
    }
    let snapshot = client.snapshots().borrow().clone();
    assert_eq!(ports(snapshot.get(&reviews()), "v1"), Some(vec![1]), "still in use");
    stream.send(Kind::Endpoints, "7", vec![endpoints("v2", &[2])], &[]);
    until(&client, |service| ports(service, "v2") == Some(vec![2])).await;
    let snapshot = client.snapshots().borrow().clone();
    assert_eq!(ports(snapshot.get(&reviews()), "v1"), None);

    // An empty assignment means that there is nobody.
    stream.send(Kind::Endpoints, "8", vec![endpoints("v2", &[])], &[]);
    until(&client, |service| ports(service, "v2") == Some(vec![])).await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_the_rest_is_in_force() {
    let mut istiod = ControlPlane::start(true).await;
    let client = istiod.client();
    let asked = client.demand(&reviews());
    let mut stream = istiod.delta().await;
    first_words(&mut stream).await;
    stream.send(Kind::Clusters, "1", vec![broken_cluster("v2"), cluster("v1")], &[]);
    let said = hear(&mut stream, Kind::Clusters).await;
    let detail = said.error_detail.expect("a NACK");
    assert_eq!(said.response_nonce, "1");
    assert!(detail.message.contains(&cluster_name("v2")), "{}", detail.message);
    assert!(detail.message.contains("lb_policy: 99 is not known"), "{}", detail.message);
    stream.send(Kind::Routes, "2", vec![routes(&[("v1", 1)])], &[]);
    hear(&mut stream, Kind::Endpoints).await;
    stream.send(Kind::Endpoints, "3", vec![endpoints("v1", &[1])], &[]);
    assert_eq!(asked.within(SOON).await, Answer::Known);
    let (_, clusters) = client.report().subscriptions[0].clone();
    assert_eq!((clusters.responses, clusters.refusals), (1, 1));
    assert!(clusters.refused_for.unwrap().contains("lb_policy"));

    // One that was good before stays as it was.
    stream.send(Kind::Clusters, "4", vec![broken_cluster("v1")], &[]);
    assert!(hear(&mut stream, Kind::Clusters).await.error_detail.is_some());
    let snapshot = client.snapshots().borrow().clone();
    assert_eq!(ports(snapshot.get(&reviews()), "v1"), Some(vec![1]));
    // And the next response is looked at by itself.
    stream.send(Kind::Clusters, "5", vec![cluster("v1")], &[]);
    assert!(hear(&mut stream, Kind::Clusters).await.error_detail.is_none());
}

#[tokio::test]
async fn a_stream_that_ends_is_followed_by_another_with_all_that_is_wanted() {
    let mut istiod = ControlPlane::start(true).await;
    let client = istiod.client();
    let stream = knows_one(&mut istiod, &client).await;

    stream.say.unbounded_send(Err(Status::unavailable("max_age"))).unwrap();
    let mut states = client.state();
    let stale = states.wait_for(|state| matches!(state, State::Stale { .. }));
    timeout(SOON, stale).await.unwrap().unwrap();
    let mut stream = istiod.delta().await;
    let clusters = stream.hear().await;
    assert!(clusters.node.is_some());
    assert_eq!(clusters.initial_resource_versions[&cluster_name("v1")], "");
    let said = hear(&mut stream, Kind::Endpoints).await;
    assert_eq!(said.resource_names_subscribe, [cluster_name("v1")]);
    let snapshot = client.snapshots().borrow().clone();
    assert_eq!(ports(snapshot.get(&reviews()), "v1"), Some(vec![1]), "what was known is used");
    stream.send(Kind::Clusters, "1", vec![cluster("v1")], &[]);
    stream.send(Kind::Endpoints, "2", vec![endpoints("v1", &[2])], &[]);
    until(&client, |service| ports(service, "v1") == Some(vec![2])).await;
    let connected = states.wait_for(|state| *state == State::Connected);
    timeout(SOON, connected).await.unwrap().unwrap();
}

#[tokio::test]
async fn state_of_the_world_is_spoken_where_delta_is_not() {
    let mut istiod = ControlPlane::start(false).await;
    let client = istiod.client();
    let asked = client.demand(&reviews());
    let mut stream = istiod.whole().await;
    let first = stream.hear().await;
    assert!(first.node.is_some() && first.resource_names.is_empty());
    assert_eq!(stream.hear().await.resource_names, ["http_proxy"]);
    stream.send(Kind::Clusters, "1", vec![cluster("v1"), cluster("v2")]);
    let said = stream.hear().await;
    assert_eq!((said.response_nonce.as_str(), said.version_info.as_str()), ("1", "version of 1"));
    stream.send(Kind::Routes, "2", vec![routes(&[("v1", 1), ("v2", 1)])]);
    assert_eq!(stream.hear().await.resource_names, ["http_proxy"]);
    assert_eq!(stream.hear().await.resource_names, [cluster_name("v1"), cluster_name("v2")]);
    let both = vec![endpoints("v1", &[1]), endpoints("v2", &[2])];
    stream.send(Kind::Endpoints, "3", both);
    assert_eq!(asked.within(SOON).await, Answer::Known);
    let said = stream.hear().await;
    assert_eq!(said.response_nonce, "3");
    assert_eq!(said.resource_names.len(), 2, "all names, whenever something is said of them");

    // Of endpoints, only what changed comes: what is missing is not gone.
    stream.send(Kind::Endpoints, "4", vec![endpoints("v2", &[3])]);
    until(&client, |service| ports(service, "v2") == Some(vec![3])).await;
    let snapshot = client.snapshots().borrow().clone();
    assert_eq!(ports(snapshot.get(&reviews()), "v1"), Some(vec![1]));
    // Of clusters, all come: what is missing is gone, as soon as no rule speaks of it.
    stream.send(Kind::Clusters, "5", vec![cluster("v2")]);
    stream.send(Kind::Routes, "6", vec![routes(&[("v2", 1)])]);
    until(&client, |service| ports(service, "v1").is_none()).await;
    assert_eq!(client.report().clusters, 1);
    // A refusal says which version is in force.
    stream.send(Kind::Clusters, "7", vec![broken_cluster("v2")]);
    loop {
        let said = stream.hear().await;
        if said.response_nonce == "7" {
            assert_eq!(said.version_info, "version of 5");
            assert!(said.error_detail.is_some());
            break;
        }
    }
}

#[tokio::test]
async fn nobody_waits_for_a_control_plane_that_is_not_there() {
    let istiod = ControlPlane::start(true).await;
    let address = istiod.address;
    drop(istiod);
    let options = discovery::ads::Options {
        address: address.to_string(),
        security: None,
        node: discovery::ads::Node::default(),
    };
    let client = Ads::start(options, &discovery::ads::Metrics::default()).unwrap();
    assert_eq!(answer(&client, "reviews").await, Answer::Unavailable);
    let mut states = client.state();
    let stale = states.wait_for(|state| matches!(state, State::Stale { .. }));
    timeout(SOON, stale).await.unwrap().unwrap();
    assert_eq!(answer(&client, "reviews").await, Answer::Unavailable);

    let mut istiod = ControlPlane::start_at(address, true).await;
    let stream = istiod.delta().await;
    stream.send(Kind::Clusters, "1", vec![cluster("v1")], &[]);
    stream.send(Kind::Routes, "2", vec![routes(&[("v1", 1)])], &[]);
    stream.send(Kind::Endpoints, "3", vec![endpoints("v1", &[1])], &[]);
    let connected = states.wait_for(|state| *state == State::Connected);
    timeout(SOON, connected).await.unwrap().unwrap();
}
