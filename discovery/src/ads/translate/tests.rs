//! What istiod really sends, as it was recorded; and what must not be taken.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
use envoy_types::pb::google::protobuf::{Any, Duration as Span};
use mesh::virtual_host::{
    Action, Forward, HashKey, HeaderChange, PathRewrite, RetryOn, RouteRule, Share, Write,
};
use mesh::{Balance, Protocol, Security, Status};
use prost::Message;

use super::{Address, ClusterSpec, Found, Outside, Resource, RouteTable, VirtualHost};

/// Every resource of a recorded response.
fn resources(case: &str, file: &str) -> Vec<Any> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/istiod").join(case).join(file);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if case.ends_with("delta") {
        let response = DeltaDiscoveryResponse::decode(bytes.as_slice()).unwrap();
        response.resources.into_iter().filter_map(|it| it.resource).collect()
    } else {
        DiscoveryResponse::decode(bytes.as_slice()).unwrap().resources
    }
}

fn read(case: &str, file: &str) -> Vec<Resource> {
    let read = |any: &Any| Resource::read(&any.type_url, &any.value).unwrap();
    resources(case, file).iter().map(read).collect()
}

fn cluster(case: &str, name: &str) -> ClusterSpec {
    let found = read(case, "cds-00.pb").into_iter().find_map(|resource| match resource {
        Resource::Cluster(cluster) if *cluster.name == *name => Some(cluster),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{case} has no {name}"))
}

fn routes(case: &str, name: &str) -> RouteTable {
    let found = read(case, "rds-00.pb").into_iter().find_map(|resource| match resource {
        Resource::Routes(routes) if *routes.name == *name => Some(routes),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{case} has no {name}"))
}

fn host(table: &RouteTable, name: &str, port: u16) -> Arc<VirtualHost> {
    let host = table.hosts.iter().find(|host| *host.host == *name && host.port == Some(port));
    Arc::clone(host.unwrap())
}

fn rule<'a>(host: &'a VirtualHost, name: &str) -> &'a RouteRule {
    host.rules.iter().find(|rule| *rule.name == *name).unwrap()
}

fn forward(rule: &RouteRule) -> &Forward {
    match &rule.action {
        Action::Forward(forward) => forward,
        other => panic!("{other:?}"),
    }
}

const REVIEWS: &str = "reviews.default.svc.cluster.local";

/// Envoy's longest time, where nothing is said.
const FIVE_MINUTES: Duration = Duration::from_mins(5);

#[test]
fn everything_that_was_recorded_is_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/istiod");
    let (mut files, mut count) = (0, 0);
    for case in std::fs::read_dir(root).unwrap().map(|it| it.unwrap()) {
        let case_name = case.file_name().into_string().unwrap();
        for file in std::fs::read_dir(case.path()).unwrap().map(|it| it.unwrap()) {
            let file = file.file_name().into_string().unwrap();
            files += 1;
            for any in resources(&case_name, &file) {
                if let Err((name, invalid)) = Resource::read(&any.type_url, &any.value) {
                    panic!("{case_name}/{file}: {name}: {invalid}");
                }
                count += 1;
            }
        }
    }
    assert!(files > 40 && count > 200, "{count} resources of {files} files");
}

#[test]
fn clusters_of_a_destination_rule() {
    let v1 = cluster("sotw", &format!("outbound|8080|v1|{REVIEWS}"));
    let place = v1.place.as_ref().unwrap();
    assert_eq!((&*place.host, place.port, &*place.label), (REVIEWS, 8080, "v1"));
    assert_eq!(&*v1.namespace, "default");
    assert_eq!(v1.found, Found::Told(Arc::clone(&v1.name)));
    assert_eq!(v1.protocol, Protocol::Rest);
    let terms = &v1.terms;
    assert_eq!(terms.balance, Balance::LeastRequest { choices: 2 });
    assert_eq!(terms.slow_start, Some(Duration::from_secs(30)));
    assert_eq!(terms.connect_timeout, Some(Duration::from_millis(1500)));
    assert_eq!(terms.panic_percent, 30);
    assert_eq!(terms.security, Security::Automatic);
    let limits = terms.limits;
    assert_eq!((limits.connections, limits.pending), (Some(100), Some(64)));
    assert_eq!((limits.requests, limits.retries), (Some(256), Some(5)));
    assert_eq!(limits.requests_per_connection, Some(10));
    let outliers = terms.outliers;
    assert_eq!((outliers.errors, outliers.gateway_errors), (5, 3));
    assert_eq!((outliers.first, outliers.longest), (Duration::from_secs(15), FIVE_MINUTES));
    assert_eq!(outliers.most_percent, 50);
    let unsupported: Vec<&str> = terms.unsupported.iter().map(|it| &**it).collect();
    assert!(unsupported.contains(&"upstream_connection_options.tcp_keepalive"), "{unsupported:?}");
    let split = "outlier_detection.split_external_local_origin_errors";
    assert!(unsupported.contains(&split), "{unsupported:?}");
    assert!(!unsupported.iter().any(|it| it.contains("metadata_exchange")), "{unsupported:?}");

    let v2 = cluster("sotw", &format!("outbound|8080|v2|{REVIEWS}"));
    assert_eq!((v2.protocol, v2.terms.balance), (Protocol::Grpc, Balance::RoundRobin));
    assert_eq!(v2.terms.connect_timeout, Some(Duration::from_secs(10)), "its own pool replaces");
    assert!(v2.terms.outliers.is_on(), "which is inherited");
    let v3 = cluster("sotw", &format!("outbound|8080|v3|{REVIEWS}"));
    assert!(matches!(v3.terms.balance, Balance::RingHash { least: 2048, .. }));
    let ratings = cluster("sotw", "outbound|8080||ratings.default.svc.cluster.local");
    assert_eq!(ratings.terms.balance, Balance::Maglev { size: 65_537 });
    assert_eq!(ratings.terms.security, Security::Plain, "tls: DISABLE");
    assert_eq!(ratings.terms.limits.connections, None, "the largest number is no limit");
}

#[test]
fn clusters_of_other_kinds() {
    let dns = cluster("sotw", "outbound|80||api.example.test");
    let Found::LookedUp { names, refresh, one: false } = &dns.found else { panic!("{dns:?}") };
    assert_eq!(names.peers[0].address, Address::Name("localhost".into(), 80));
    assert_eq!(*refresh, Duration::from_mins(1));
    assert_eq!(cluster("sotw", "PassthroughCluster").found, Found::AsAsked);
    assert!(cluster("sotw", "BlackHoleCluster").place.is_none());
}

#[test]
fn endpoints_with_where_they_are() {
    let all = read("sotw", "eds-00.pb");
    let v3 = all.iter().find_map(|resource| match resource {
        Resource::Assignment(it) if it.cluster.contains("|v3|") => Some(it),
        _ => None,
    });
    let peer = &v3.unwrap().peers[0];
    assert_eq!(peer.address, Address::Known(([127, 0, 0, 13], 18080).into()));
    assert_eq!((peer.weight, peer.priority, peer.status), (3, 0, Status::Up));
    assert_eq!((&*peer.locality.region, &*peer.locality.zone), ("r1", "z2"));
    assert_eq!(peer.workload.as_deref(), Some("reviews-2;default;reviews;v3;Kubernetes"));
    assert!(!peer.mutual_tls);
}

#[test]
fn routes_of_a_virtual_service() {
    let table = routes("http_proxy", "http_proxy");
    assert_eq!(table.outside, Outside::Open);
    let reviews = host(&table, REVIEWS, 8080);
    let domains: Vec<&str> = reviews.domains.iter().map(|it| &**it).collect();
    assert!(domains.contains(&"reviews:8080") && domains.contains(&"240.240.0.10:8080"));

    let headers = reviews.rules.iter().filter(|rule| &*rule.name == "header-to-v2");
    assert_eq!(headers.count(), 2, "each match is a rule");
    let to_v2 = forward(rule(&reviews, "header-to-v2"));
    assert_eq!(&*to_v2.destinations[0].cluster, format!("outbound|8080|v2|{REVIEWS}"));
    assert_eq!(to_v2.timeout, Some(Duration::from_secs(2)));
    let retry = to_v2.retry.as_ref().unwrap();
    assert_eq!((retry.retries, retry.per_try_timeout), (3, Some(Duration::from_millis(500))));
    assert_eq!(retry.statuses, [503]);
    assert!(retry.on.contains(&RetryOn::GatewayError) && retry.on.contains(&RetryOn::Statuses));
    assert_eq!(retry.base_interval, Duration::from_millis(40));
    assert!(retry.others_first);

    let weights = forward(rule(&reviews, "weights"));
    let shares: Vec<u32> = weights.destinations.iter().map(|it| it.weight).collect();
    assert_eq!(shares, [80, 20]);
    let set = HeaderChange::Write { name: "x-dest".into(), value: "v3".into(), how: Write::Set };
    assert_eq!(weights.destinations[1].request_headers[0], set);
    assert!(matches!(&weights.hash[..], [] | [HashKey::Header(_)]), "{:?}", weights.hash);
}

#[test]
fn what_else_a_route_can_say() {
    let table = routes("http_proxy", "http_proxy");
    let reviews = host(&table, REVIEWS, 8080);
    let fault = rule(&reviews, "fault").fault.as_ref().unwrap();
    assert_eq!(fault.delay.unwrap().time, Duration::from_millis(250));
    assert_eq!(fault.delay.unwrap().share, Share::of_million(105_000));
    assert_eq!(fault.abort.unwrap().status, 503);

    let moved = rule(&reviews, "rewrite-mirror");
    let there = forward(moved);
    assert_eq!(there.path, Some(PathRewrite::Prefix("/new/".into())));
    assert_eq!(there.host.as_deref(), Some("reviews-new.default"));
    assert_eq!(there.mirrors[0].share, Share::of_million(250_000));
    let writes = |change: &&HeaderChange| matches!(change, HeaderChange::Write { .. });
    assert_eq!(moved.request_headers[0], HeaderChange::Remove("x-secret".into()));
    assert_eq!(moved.request_headers.iter().filter(writes).count(), 2);
    assert_eq!(moved.response_headers[0], HeaderChange::Remove("server".into()));

    let Action::Redirect(redirect) = &rule(&reviews, "redirect").action else { panic!() };
    assert_eq!((redirect.status, redirect.host.as_deref()), (302, Some("www.example.test")));
    let Action::Respond(teapot) = &rule(&reviews, "direct").action else { panic!() };
    assert_eq!((teapot.status, &*teapot.body), (418, &b"teapot"[..]));
    let cors = &rule(&reviews, "cors").unsupported;
    assert!(cors.iter().any(|it| it.contains("cors")), "{cors:?}");
}

#[test]
fn what_is_wrong_is_refused_by_the_name_of_its_field() {
    let refused = |type_url: &str, bytes: &[u8]| {
        let (name, invalid) = Resource::read(type_url, bytes).unwrap_err();
        format!("{name}: {invalid}")
    };
    let of = |any: &Any, change: &dyn Fn(&mut Cluster)| {
        let mut wire = Cluster::decode(any.value.as_slice()).unwrap();
        change(&mut wire);
        refused(&any.type_url, &wire.encode_to_vec())
    };
    let any = &resources("sotw", "cds-00.pb")[3];
    for (said, change) in [
        ("lb_policy: 99 is not known", &(|it: &mut Cluster| it.lb_policy = 99) as &dyn Fn(&mut _)),
        ("connect_timeout: is no time", &|it: &mut Cluster| {
            it.connect_timeout = Some(Span { seconds: -1, nanos: 0 });
        }),
        ("eds_cluster_config: is missing", &|it: &mut Cluster| it.eds_cluster_config = None),
        ("name: is empty", &|it: &mut Cluster| it.name.clear()),
    ] {
        let found = of(any, change);
        assert!(found.contains(said), "{found}");
    }

    let any = &resources("http_proxy", "rds-00.pb")[0];
    let mut wire = RouteConfiguration::decode(any.value.as_slice()).unwrap();
    wire.virtual_hosts[0].routes[0].r#match = None;
    let found = refused(&any.type_url, &wire.encode_to_vec());
    assert!(found.contains("virtual_hosts[0]") && found.contains("routes[0]"), "{found}");

    let any = &resources("sotw", "eds-00.pb")[0];
    let mut wire = ClusterLoadAssignment::decode(any.value.as_slice()).unwrap();
    wire.endpoints[0].lb_endpoints[0].host_identifier = None;
    let found = refused(&any.type_url, &wire.encode_to_vec());
    assert!(found.contains("endpoints[0].lb_endpoints[0]"), "{found}");
    assert!(refused("type.googleapis.com/some.Other", b"").contains("was not asked for"));
}

#[test]
fn an_extension_that_nobody_knows_is_named_and_fails_nothing() {
    let any = resources("http_proxy", "rds-00.pb")
        .into_iter()
        .find(|any| RouteConfiguration::decode(any.value.as_slice()).unwrap().name == "http_proxy")
        .unwrap();
    let mut wire = RouteConfiguration::decode(any.value.as_slice()).unwrap();
    let unknown = Any { type_url: "type.googleapis.com/x.Y".to_owned(), value: vec![0xff; 9] };
    wire.virtual_hosts[0].routes[0].typed_per_filter_config.insert("x.y".to_owned(), unknown);
    let table = RouteTable::of(&wire).unwrap();
    assert_eq!(*table.hosts[0].rules[0].unsupported, ["typed_per_filter_config.x.y".into()]);
}
