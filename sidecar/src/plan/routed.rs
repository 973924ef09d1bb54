//! Services whose source says where their requests go (Istio): rules, compiled into routes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mesh::route::{Shares, Subset};
use mesh::virtual_host::{
    Action, Forward, HeaderChanges, PathMatch, Redirect, Request, Respond, RouteRule,
};
use mesh::{Cluster, Member, Protocol, RoundRobin, Routing, ServiceKey};

use super::governed::Governed;
use super::registry::EndpointId;
use super::route::Made;
use super::service::Shown;
use super::{Address, Endpoint, Kind, Mirror, Mirrored, Registry, Route, ServiceState};
use crate::settings::Terms;

mod division;
mod edits;
mod terms;

use self::division::Division;
pub(crate) use self::edits::{HeaderEdits, Rewrite};

/// The ports of such a service, in the order of its source.
#[derive(Debug)]
pub(crate) struct Routed {
    ports: Box<[PortPlan]>,
    /// Where no rule is about a request, or nobody is where it leads.
    nowhere: Arc<Route>,
}

/// What was settled by a rule, for the requests of a route.
#[derive(Debug, Default)]
pub(crate) struct Ruled {
    /// What they are told instead of being sent on.
    pub(crate) told: Option<Told>,
    /// What of them is written anew.
    pub(crate) rewrite: Option<Box<Rewrite>>,
    /// What of their responses is.
    pub(crate) response: Option<HeaderEdits>,
}

/// An answer that needs nobody.
#[derive(Debug)]
pub(crate) enum Told {
    /// To ask elsewhere; with what the path had to be like.
    Redirect(Redirect, PathMatch),
    /// This.
    Respond(Respond),
}

#[derive(Debug)]
struct PortPlan {
    number: u16,
    /// Rules of files: they come first.
    divisions: Box<[Division]>,
    rules: Arc<[RouteRule]>,
    /// By the places of the rules.
    then: Box<[Then]>,
}

/// What becomes of the requests of a rule.
#[derive(Debug)]
struct Then {
    /// In turn, by weight; `None`: nobody has any.
    shares: Option<Shares>,
    weights: Box<[u32]>,
    turns: RoundRobin,
    routes: Box<[Arc<Route>]>,
}

/// What routes are compiled with.
struct Compiling<'a> {
    routing: &'a Routing,
    registry: &'a Registry,
    governed: &'a Governed,
    /// The terms of the service, where its source says nothing.
    base: &'a Arc<Terms>,
    state: &'a Arc<ServiceState>,
    now: Duration,
    /// Endpoints of the clusters met so far: rules share them.
    endpoints: HashMap<&'a str, Vec<Arc<Endpoint>>>,
}

impl Routed {
    pub(super) fn compile(
        routing: &Routing,
        registry: &Registry,
        governed: &Governed,
        state: &Arc<ServiceState>,
        now: Duration,
    ) -> Self {
        let endpoints = HashMap::new();
        let (filed, base) = governed.of_names(&routing.names);
        let mut compiling = Compiling { routing, registry, governed, base, state, now, endpoints };
        let ports = routing.ports.iter().map(|port| PortPlan {
            number: port.number,
            divisions: compiling.divisions(filed, port.number),
            rules: Arc::clone(&port.rules),
            then: port.rules.iter().map(|rule| compiling.then(rule)).collect(),
        });
        let ports: Box<[PortPlan]> = ports.collect();
        let nowhere = compiling.route(Vec::new(), base, Ruled::default());
        Self { ports, nowhere }
    }

    /// The route of a request to `port`, or to the first. A call of gRPC is for those who speak it.
    pub(crate) fn route(
        &self,
        protocol: Protocol,
        port: Option<u16>,
        request: &impl Request,
    ) -> &Arc<Route> {
        let mut ports = self.ports.iter();
        let found = match port {
            Some(port) => ports.find(|plan| plan.number == port),
            None => ports.next(),
        };
        let route = found.and_then(|plan| plan.route(request));
        let route = route.filter(|route| {
            let speaks = route.endpoints.first().map(|endpoint| endpoint.id.protocol);
            protocol == Protocol::Rest || speaks != Some(Protocol::Rest)
        });
        route.unwrap_or(&self.nowhere)
    }

    /// Every route that leads somewhere, for each rule.
    pub(crate) fn routes(&self) -> impl Iterator<Item = Shown<'_>> {
        self.ports.iter().flat_map(|plan| {
            plan.all().enumerate().flat_map(move |(number, then)| {
                let sum = then.weights.iter().copied().map(u64::from).sum();
                then.routes.iter().zip(&then.weights).filter_map(move |(route, weight)| {
                    let protocol = route.endpoints.first()?.id.protocol;
                    let rule = Some((number, (*weight, sum)));
                    Some(Shown { protocol, port: Some(plan.number), route, rule })
                })
            })
        })
    }

    /// A route to `port` that is about no request in particular.
    pub(crate) fn any(&self, port: Option<u16>) -> &Arc<Route> {
        let fits = |shown: &Shown<'_>| port.is_none() || port == shown.port;
        self.routes().find(fits).map_or(&self.nowhere, |shown| shown.route)
    }
}

impl PortPlan {
    fn route(&self, request: &impl Request) -> Option<&Arc<Route>> {
        if let Some(division) = self.divisions.iter().find(|division| division.admits(request)) {
            return division.then.next();
        }
        let draw = || fastrand::u64(..);
        let place = self.rules.iter().position(|rule| {
            // A number is drawn for rules about a share of requests only.
            let draw = if rule.matches.share.is_some() { draw() } else { 0 };
            rule.matches.agrees(request, draw)
        })?;
        self.then.get(place)?.next()
    }

    /// What becomes of requests, in the order of the rules.
    fn all(&self) -> impl Iterator<Item = &Then> {
        self.divisions.iter().map(|division| &division.then).chain(&self.then)
    }
}

impl Then {
    /// The route whose turn it is; `None`: nobody has any.
    fn next(&self) -> Option<&Arc<Route>> {
        let shares = self.shares.as_ref()?;
        let turn = if self.routes.len() > 1 { self.turns.turn() } else { 0 };
        self.routes.get(shares.at(turn))
    }

    fn to(weights: Vec<u32>, routes: Vec<Arc<Route>>) -> Self {
        Self {
            shares: Shares::new(&weights),
            weights: weights.into(),
            turns: RoundRobin::starting_at(fastrand::usize(..)),
            routes: routes.into(),
        }
    }
}

impl Compiling<'_> {
    fn then(&mut self, rule: &RouteRule) -> Then {
        let only = |told| {
            let response = response(&[&rule.response_headers]);
            let ruled = Ruled { told: Some(told), rewrite: None, response };
            Then::to(vec![1], vec![self.route(Vec::new(), self.base, ruled)])
        };
        match &rule.action {
            Action::Forward(forward) => self.forward(rule, forward),
            Action::Redirect(redirect) => {
                only(Told::Redirect(Redirect::clone(redirect), rule.matches.path.clone()))
            }
            Action::Respond(respond) => only(Told::Respond(respond.clone())),
        }
    }

    fn forward(&mut self, rule: &RouteRule, forward: &Forward) -> Then {
        let weights: Vec<u32> = forward.destinations.iter().map(|to| to.weight).collect();
        let mut routes = Vec::new();
        for to in &forward.destinations {
            let endpoints = self.endpoints(&to.cluster);
            let cluster = self.routing.cluster(&to.cluster).map(|cluster| &*cluster.terms);
            let terms = Arc::new(terms::of(self.base, rule, forward, cluster));
            // What is said of one destination comes first, as in Envoy.
            let headers = [&to.request_headers, &rule.request_headers];
            let ruled = Ruled {
                told: None,
                rewrite: Rewrite::of(rule, forward, &headers).map(Box::new),
                response: response(&[&to.response_headers, &rule.response_headers]),
            };
            let mut route = self.route(endpoints, &terms, ruled);
            if let Some(route) = Arc::get_mut(&mut route) {
                route.mirrors = self.mirrors(rule, forward);
            }
            routes.push(route);
        }
        Then::to(weights, routes)
    }

    fn mirrors(&mut self, rule: &RouteRule, forward: &Forward) -> Box<[Mirrored]> {
        let mirrors = forward.mirrors.iter().map(|mirror| {
            let endpoints = self.endpoints(&mirror.cluster);
            let cluster = self.routing.cluster(&mirror.cluster).map(|cluster| &*cluster.terms);
            let terms = Arc::new(terms::of(self.base, rule, forward, cluster));
            let to = Mirror::Route(self.route(endpoints, &terms, Ruled::default()));
            Mirrored { share: mirror.share, to }
        });
        mirrors.collect()
    }

    fn route(&self, endpoints: Vec<Arc<Endpoint>>, terms: &Arc<Terms>, ruled: Ruled) -> Arc<Route> {
        self.made(endpoints, terms, ruled, &Subset::default())
    }

    fn made(
        &self,
        endpoints: Vec<Arc<Endpoint>>,
        terms: &Arc<Terms>,
        ruled: Ruled,
        subset: &Subset,
    ) -> Arc<Route> {
        let limits = self.governed.consumer_limits();
        let made = Made { kind: Kind::Service, state: self.state, terms, limits, subset };
        let close = endpoints.len();
        made.to_ruled(endpoints, close, Some(ruled))
    }

    fn endpoints(&mut self, name: &str) -> Vec<Arc<Endpoint>> {
        let Some(cluster) = self.routing.cluster(name) else { return Vec::new() };
        let (registry, now) = (self.registry, self.now);
        let of_cluster = || endpoints(cluster, registry, now);
        self.endpoints.entry(&cluster.name).or_insert_with(of_cluster).clone()
    }
}

fn response(changes: &[&HeaderChanges]) -> Option<HeaderEdits> {
    let edits = HeaderEdits::of(changes);
    (!edits.is_empty()).then_some(edits)
}

/// Who takes requests of a cluster.
fn endpoints(cluster: &Cluster, registry: &Registry, now: Duration) -> Vec<Arc<Endpoint>> {
    serving(&cluster.service, cluster.members.iter(), registry, now)
}

/// Who of these takes requests: of those that do, the ones of the first priority that has any; as
/// often as their weights say.
fn serving<'m>(
    service: &ServiceKey,
    members: impl Iterator<Item = &'m Member> + Clone,
    registry: &Registry,
    now: Duration,
) -> Vec<Arc<Endpoint>> {
    let serving = members.filter(|member| member.instance.status.serves());
    let first = serving.clone().map(|member| member.priority).min();
    let mut found = Vec::new();
    let mut weights = Vec::new();
    for member in serving.filter(|member| Some(member.priority) == first) {
        let Some(endpoint) = member.instance.endpoints.first() else { continue };
        let id = EndpointId {
            instance: Some((service.clone(), member.instance.id.clone())),
            protocol: endpoint.protocol,
            address: Address::Known(endpoint.address),
            tls: endpoint.tls,
            by_peer: registry.peers.has(endpoint.address.ip()),
        };
        found.push(registry.endpoint(&id, now));
        weights.push(member.weight);
    }
    let Some(shares) = Shares::new(&weights) else { return found };
    shares.order().filter_map(|place| found.get(place).cloned()).collect()
}

#[cfg(test)]
mod tests;
