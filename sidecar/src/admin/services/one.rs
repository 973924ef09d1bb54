//! One service.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh::{BreakerScope, BreakerState, BreakerTerms, InstanceId, Protocol, Version};
use serde::Serialize;

use super::View;
use super::counted::Counted;
use crate::admin::time::rounded;
use crate::listener::Side;
use crate::plan::{self, Address, Endpoint, EndpointId, ServicePlan, ServiceState};

/// What is said of a service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Service {
    /// `app/service`; unique.
    key: String,
    app: String,
    name: String,
    #[serde(flatten)]
    brief: Brief,
    /// Every version that has an instance, the newest first.
    versions: Vec<String>,
    /// The version that takes the requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_version: Option<String>,
    routes: Vec<Route>,
    limits: Limits,
    /// In the order of their ids.
    instances: Vec<Instance>,
    /// Whether there are more instances than are here.
    instances_truncated: bool,
}

/// The same without what it is made of.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Brief {
    /// The source does not have it any more.
    pub(super) withdrawn: bool,
    /// It had a request in the last ten minutes.
    pub(super) used: bool,
    /// In one word, the worst that is wrong: `circuit_open`, `withdrawn`, `no_instance` or `evicted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trouble: Option<&'static str>,
    /// Of every version and status.
    pub(super) instance_count: usize,
    /// Endpoints that take requests.
    pub(super) endpoint_count: usize,
    /// Those of them that are left out for a while, as they could not be connected to, or answered badly.
    pub(super) evicted_count: usize,
    pub(super) in_flight: usize,
    /// Open connections to its endpoints.
    pub(super) connections: usize,
    pub(super) breaker: Breaker,
    pub(super) counters: Counted,
}

/// The circuit of a service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Breaker {
    /// `off`, `closed`, `open` or `half_open`; of many, `open` where all are, and `half_open` where
    /// some are not closed.
    state: &'static str,
    /// `service`, or `instance`: each has one of its own.
    scope: &'static str,
    /// How many of these are not closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    open_instances: Option<usize>,
    /// The settings say so, whatever was counted.
    forced: bool,
    /// Of the last ten seconds.
    window_requests: u64,
    window_failures: u64,
    /// Until one request may try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    probe_in_seconds: Option<f64>,
}

/// How many requests there may be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Limits {
    /// A second; absent: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_per_second: Option<u32>,
    /// Under way at once; absent: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_once: Option<u32>,
    /// Those that are, where that is bounded.
    under_way: usize,
    /// Those that wait for them to end.
    waiting: usize,
}

/// Where requests of one protocol go.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Route {
    protocol: &'static str,
    /// The port of the service it is for; absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    /// The rule that leads there, from 1 on; absent: where no rule is about a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<usize>,
    /// Its share of the requests that the rule is about, of a hundred.
    #[serde(skip_serializing_if = "Option::is_none")]
    share_percent: Option<f64>,
    /// Which instances those are, as `version:latest`.
    subset: String,
    endpoints: usize,
    /// Those that are not left out for a while.
    usable: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Instance {
    id: String,
    version: String,
    /// `UP`, `DOWN`, `STARTING`, `TESTING` or `OUTOFSERVICE`, as it said.
    status: &'static str,
    endpoints: Vec<InstanceEndpoint>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InstanceEndpoint {
    protocol: &'static str,
    address: SocketAddr,
    tls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_port: Option<u16>,
    /// Whether requests go there.
    routed: bool,
    #[serde(flatten)]
    load: Load,
}

/// How an endpoint is.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Load {
    in_flight: usize,
    /// Open connections, of all workers.
    connections: usize,
    /// Times it was chosen.
    requests: u64,
    /// Of those, the ones that brought no response.
    failures: u64,
    /// For so long no request goes there, as it could not be connected to, or answered badly.
    #[serde(skip_serializing_if = "Option::is_none")]
    evicted_for_seconds: Option<f64>,
    /// Its own breaker, where it has one: `open` or `half_open`. Absent: closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<&'static str>,
}

impl Service {
    pub(super) fn of(view: &View<'_>, plan: &ServicePlan, brief: Brief, most: usize) -> Self {
        let key = &plan.state.key;
        let known = view.snapshot.get(key);
        let all = known.map(|service| service.instances()).unwrap_or_default();
        let versions: BTreeSet<Version> = all.iter().map(|instance| instance.version).collect();
        let routes = plan.routes().map(|shown| Route {
            protocol: shown.protocol.as_str(),
            port: shown.port,
            rule: shown.rule.map(|(number, _)| number + 1),
            share_percent: shown.rule.map(|(_, share)| percent(share)),
            subset: shown.route.subset.to_string(),
            endpoints: shown.route.endpoints.len(),
            usable: usable(shown.route, view.now),
        });
        let states = if most == 0 { HashMap::new() } else { states(plan) };
        let instances = all.iter().take(most).map(|instance| Instance {
            id: instance.id.to_string(),
            version: instance.version.to_string(),
            status: instance.status.as_str(),
            endpoints: instance
                .endpoints
                .iter()
                .map(|endpoint| {
                    let place = (&instance.id, endpoint.protocol, endpoint.address, endpoint.tls);
                    let state = states.get(&place);
                    InstanceEndpoint {
                        protocol: endpoint.protocol.as_str(),
                        address: endpoint.address,
                        tls: endpoint.tls,
                        service_port: endpoint.service_port,
                        routed: state.is_some(),
                        load: state.map(|state| Load::of(state, view.now)).unwrap_or_default(),
                    }
                })
                .collect(),
        });
        Self {
            key: key.to_string(),
            app: key.scope.to_string(),
            name: key.name.to_string(),
            versions: versions.iter().rev().map(ToString::to_string).collect(),
            latest_version: known
                .and_then(|service| service.latest())
                .map(|version| version.to_string()),
            routes: routes.collect(),
            limits: Limits::of(plan),
            instances_truncated: all.len() > most,
            instances: instances.collect(),
            brief,
        }
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }
}

impl Limits {
    fn of(plan: &ServicePlan) -> Self {
        let slots = plan.state.bounded();
        Self {
            requests_per_second: plan.terms().rate.map(|rate| rate.per_second),
            at_once: plan.terms().concurrency,
            under_way: slots.map_or(0, |slots| slots.taken()),
            waiting: slots.map_or(0, |slots| slots.waiting()),
        }
    }
}

/// A share, of a hundred.
fn percent((weight, sum): (u32, u64)) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let share = f64::from(weight) * 100.0 / sum.max(1) as f64;
    (share * 100.0).round() / 100.0
}

fn usable(route: &plan::Route, now: Duration) -> usize {
    route.endpoints.len() - route.out(now)
}

/// The endpoints that requests go to, by what the source says of them.
type States<'a> = HashMap<(&'a InstanceId, Protocol, SocketAddr, bool), &'a Arc<Endpoint>>;

fn states(plan: &ServicePlan) -> States<'_> {
    let mut states = States::new();
    for endpoint in plan.endpoints() {
        let EndpointId { instance, protocol, address, tls, .. } = &endpoint.id;
        if let (Some((_, instance)), Address::Known(address)) = (instance, address) {
            states.insert((instance, *protocol, *address, *tls), endpoint);
        }
    }
    states
}

impl Brief {
    pub(super) fn of(view: &View<'_>, plan: &ServicePlan) -> Self {
        let state = &plan.state;
        let mut brief = Self {
            withdrawn: plan.withdrawn,
            used: false,
            trouble: None,
            instance_count: view.snapshot.get(&state.key).map_or(0, |it| it.instances().len()),
            endpoint_count: 0,
            evicted_count: 0,
            in_flight: 0,
            connections: 0,
            breaker: Breaker::of_service(view, plan),
            counters: Counted::of(view.shared.plans.registry(), state, Side::Consumer),
        };
        for endpoint in plan.endpoints() {
            brief.endpoint_count += 1;
            brief.evicted_count += usize::from(!endpoint.is_usable(|| view.now));
            brief.in_flight += endpoint.in_flight.load(Ordering::Relaxed);
            brief.connections += endpoint.connections.load(Ordering::Relaxed);
        }
        brief.used = state.in_use(view.now) && (brief.counters.any() || state.was_used());
        brief.trouble = brief.worst();
        brief
    }

    fn worst(&self) -> Option<&'static str> {
        if self.breaker.is_open() {
            Some("circuit_open")
        } else if self.withdrawn {
            // What is gone and nobody asks for is as it should be.
            self.used.then_some("withdrawn")
        } else if self.endpoint_count == 0 {
            Some("no_instance")
        } else {
            (self.evicted_count > 0).then_some("evicted")
        }
    }
}

/// As the page and the command line know it.
fn word(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half_open",
    }
}

impl Breaker {
    /// That of a service, or what is to be said of those of its instances together.
    fn of_service(view: &View<'_>, plan: &ServicePlan) -> Self {
        let terms = &plan.terms().breaker;
        let mut breaker = Self::of(view, &plan.state, terms);
        if terms.scope == BreakerScope::Service || !terms.enabled {
            return breaker;
        }
        let (mut all, mut open, mut next) = (0, 0, None::<Duration>);
        for endpoint in plan.endpoints() {
            let (requests, failures) = endpoint.breaker.window(view.now);
            breaker.window_requests += requests;
            breaker.window_failures += failures;
            all += 1;
            open += usize::from(endpoint.breaker.state(view.now) != BreakerState::Closed);
            let probe = endpoint.breaker.probe_in(view.now);
            next = next.into_iter().chain(probe).min();
        }
        breaker.scope = "instance";
        breaker.open_instances = Some(open);
        if !breaker.forced {
            breaker.state = match open {
                0 => "closed",
                some if some == all => "open",
                _ => "half_open",
            };
            breaker.probe_in_seconds = next.map(rounded);
        }
        breaker
    }

    pub(super) fn of(view: &View<'_>, state: &ServiceState, terms: &BreakerTerms) -> Self {
        let (requests, failures) = state.breaker.window(view.now);
        let forced = terms.enabled && (terms.force_open || terms.force_closed);
        let counted = word(state.breaker.state(view.now));
        let word = if !terms.enabled {
            "off"
        } else if terms.force_closed {
            "closed"
        } else if terms.force_open {
            "open"
        } else {
            counted
        };
        let probe = state.breaker.probe_in(view.now).filter(|_| word == "open" && !forced);
        Self {
            state: word,
            scope: "service",
            open_instances: None,
            forced,
            window_requests: requests,
            window_failures: failures,
            probe_in_seconds: probe.map(rounded),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, "open" | "half_open")
    }
}

impl Load {
    pub(super) fn of(endpoint: &Endpoint, now: Duration) -> Self {
        Self {
            in_flight: endpoint.in_flight.load(Ordering::Relaxed),
            connections: endpoint.connections.load(Ordering::Relaxed),
            requests: endpoint.attempts.load(Ordering::Relaxed),
            failures: endpoint.failures.load(Ordering::Relaxed),
            evicted_for_seconds: endpoint.out_for(now).map(rounded),
            breaker: Some(endpoint.breaker.state(now))
                .filter(|state| *state != BreakerState::Closed)
                .map(word),
        }
    }
}
