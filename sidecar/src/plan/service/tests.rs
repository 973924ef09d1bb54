//! What the routes of a service are, with rules.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh::route::{Asked, Condition, HeaderMatch, RequestMatch, Rule, Subset, Target, Test};
use mesh::{Endpoint, Instance, InstanceId, Protocol, Service, ServiceKey, Status, Tags};

use super::ServicePlan;
use crate::plan::{Governed, Registry, Route};
use crate::settings::Governance;

/// A request that says who its user is.
struct From(&'static str);

impl Asked for From {
    fn method(&self) -> &'static str {
        "GET"
    }
    fn path(&self) -> &'static str {
        "/"
    }
    fn header(&self, name: &str) -> Option<&[u8]> {
        (name == "x-user").then_some(self.0.as_bytes())
    }
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn instance(version: &str, port: u16, service_port: Option<u16>) -> Instance {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    Instance {
        id: InstanceId(format!("i{port}").into()),
        version: version.parse().unwrap(),
        status: Status::Up,
        endpoints: vec![Endpoint { protocol: Protocol::Rest, address, tls: false, service_port }],
        tags: tags(&[("version", version)]),
    }
}

fn to(version: &str, weight: u32) -> Target {
    Target { weight, subset: Subset::of_tags(tags(&[("version", version)])) }
}

fn plan(instances: Vec<Instance>, rules: Vec<Rule>) -> ServicePlan {
    let service = Service::new(ServiceKey::new("default", "b"), instances);
    let governance =
        Governance { rules: [("b".to_owned(), rules)].into(), ..Governance::default() };
    let governed = Governed::new(&governance, "default");
    ServicePlan::compile(&service, &Registry::new(1), &governed, Duration::ZERO)
}

fn versions(route: &Route) -> String {
    let ids = route.endpoints.iter().filter_map(|endpoint| endpoint.id.instance.as_ref());
    ids.map(|(_, id)| id.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_first_rule_that_is_about_a_request_shares_it_out() {
    let jason = HeaderMatch {
        name: "x-user".into(),
        condition: Condition { test: Test::Is("jason".into()), any_case: false },
        inverted: false,
    };
    let about = RequestMatch { headers: vec![jason], ..RequestMatch::default() };
    let plan = plan(
        vec![instance("1.0", 1, None), instance("2.0", 2, None), instance("3.0", 3, None)],
        vec![
            Rule { matches: vec![about], targets: vec![to("1.0", 100)], ..Rule::default() },
            Rule {
                matches: Vec::new(),
                targets: vec![to("1.0", 75), to("2.0", 25)],
                ..Rule::default()
            },
        ],
    );
    for _ in 0..10 {
        assert_eq!(versions(plan.route(Protocol::Rest, None, &From("jason"))), "i1");
    }
    let mut taken = [0; 2];
    for _ in 0..100 {
        match versions(plan.route(Protocol::Rest, None, &From("rose"))).as_str() {
            "i1" => taken[0] += 1,
            "i2" => taken[1] += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(taken, [75, 25]);
    assert_eq!(versions(plan.default_route(Protocol::Rest, None)), "i3", "the latest");
    let shown: Vec<_> = plan
        .routes()
        .map(|shown| (shown.rule, shown.route.subset.to_string(), shown.route.endpoints.len()))
        .collect();
    let expected = [
        (Some((0, (100, 100))), "version:1.0.0", 1),
        (Some((1, (75, 100))), "version:1.0.0", 1),
        (Some((1, (25, 100))), "version:2.0.0", 1),
        (None, "version:latest", 1),
    ];
    assert_eq!(shown, expected.map(|(rule, subset, count)| (rule, subset.to_owned(), count)));
    assert_eq!(plan.endpoints().count(), 3, "each once");
}

#[test]
fn a_subset_without_instances_has_a_route_to_nobody() {
    let rule = Rule { matches: Vec::new(), targets: vec![to("2.0", 100)], ..Rule::default() };
    let plan = plan(vec![instance("1.0", 1, None)], vec![rule]);
    let route = plan.route(Protocol::Rest, None, &From(""));
    assert!(route.endpoints.is_empty());
    assert_eq!(route.subset.to_string(), "version:2.0.0");
    assert!(plan.has_endpoints(None), "the default has one");
}

#[test]
fn ports_that_only_a_subset_has_are_ways_too() {
    let rule = Rule { matches: Vec::new(), targets: vec![to("1.0", 100)], ..Rule::default() };
    let instances = vec![instance("1.0", 1, Some(80)), instance("2.0", 2, Some(81))];
    let plan = plan(instances, vec![rule]);
    assert_eq!(versions(plan.route(Protocol::Rest, Some(80), &From(""))), "i1");
    assert_eq!(versions(plan.route(Protocol::Rest, Some(81), &From(""))), "");
    assert!(!plan.has_endpoints(Some(82)));
}

#[test]
fn routes_of_one_subset_are_one() {
    let rule = || Rule { matches: Vec::new(), targets: vec![to("1.0", 100)], ..Rule::default() };
    let plan = plan(vec![instance("1.0", 1, None)], vec![rule(), rule()]);
    let routes: Vec<_> = plan.routes().filter(|shown| shown.rule.is_some()).collect();
    assert!(Arc::ptr_eq(routes[0].route, routes[1].route));
}
