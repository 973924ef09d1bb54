//! Services whose source says where their requests go (Istio): rules, compiled into routes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mesh::route::{Shares, Subset};
use mesh::virtual_host::{Action, Forward, Redirect, Request, Respond, RouteRule};
use mesh::{Cluster, Protocol, RoundRobin, Routing};

use super::governed::Governed;
use super::registry::EndpointId;
use super::route::Made;
use super::service::Shown;
use super::{Address, Endpoint, Kind, Mirror, Mirrored, Registry, Route, ServiceState};
use crate::settings::Terms;

mod terms;

/// The ports of such a service, in the order of its source.
#[derive(Debug)]
pub(crate) struct Routed {
    ports: Box<[PortPlan]>,
    /// Where no rule is about a request, or nobody is where it leads.
    nowhere: Arc<Route>,
}

/// What was settled by a rule, for the requests of a route.
#[derive(Debug)]
pub(crate) struct Ruled {
    /// What they are told instead of being sent on.
    pub(crate) told: Option<Told>,
}

/// An answer that needs nobody.
#[derive(Debug)]
pub(crate) enum Told {
    /// To ask elsewhere.
    Redirect(Redirect),
    /// This.
    Respond(Respond),
}

#[derive(Debug)]
struct PortPlan {
    number: u16,
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
        let mut compiling = Compiling { routing, registry, governed, state, now, endpoints };
        let ports = routing.ports.iter().map(|port| PortPlan {
            number: port.number,
            rules: Arc::clone(&port.rules),
            then: port.rules.iter().map(|rule| compiling.then(rule)).collect(),
        });
        let ports: Box<[PortPlan]> = ports.collect();
        let nowhere = compiling.route(Vec::new(), governed.terms(&state.key), None);
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
            plan.then.iter().enumerate().flat_map(move |(number, then)| {
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
        let draw = || fastrand::u64(..);
        let place = self.rules.iter().position(|rule| {
            // A number is drawn for rules about a share of requests only.
            let draw = if rule.matches.share.is_some() { draw() } else { 0 };
            rule.matches.agrees(request, draw)
        })?;
        let then = self.then.get(place)?;
        let shares = then.shares.as_ref()?;
        let turn = if then.routes.len() > 1 { then.turns.turn() } else { 0 };
        then.routes.get(shares.at(turn))
    }
}

impl Then {
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
            let terms = self.governed.terms(&self.state.key);
            let route = self.route(Vec::new(), terms, Some(told));
            Then::to(vec![1], vec![route])
        };
        match &rule.action {
            Action::Forward(forward) => self.forward(rule, forward),
            Action::Redirect(redirect) => only(Told::Redirect(Redirect::clone(redirect))),
            Action::Respond(respond) => only(Told::Respond(respond.clone())),
        }
    }

    fn forward(&mut self, rule: &RouteRule, forward: &Forward) -> Then {
        let weights: Vec<u32> = forward.destinations.iter().map(|to| to.weight).collect();
        let mut routes = Vec::new();
        for to in &forward.destinations {
            let endpoints = self.endpoints(&to.cluster);
            let cluster = self.routing.cluster(&to.cluster).map(|cluster| &*cluster.terms);
            let base = self.governed.terms(&self.state.key);
            let terms = Arc::new(terms::of(base, rule, forward, cluster));
            let mut route = self.route(endpoints, &terms, None);
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
            let base = self.governed.terms(&self.state.key);
            let terms = Arc::new(terms::of(base, rule, forward, cluster));
            let to = Mirror::Route(self.route(endpoints, &terms, None));
            Mirrored { share: mirror.share, to }
        });
        mirrors.collect()
    }

    fn route(
        &self,
        endpoints: Vec<Arc<Endpoint>>,
        terms: &Arc<Terms>,
        told: Option<Told>,
    ) -> Arc<Route> {
        let made = Made {
            kind: Kind::Service,
            state: self.state,
            terms,
            limits: self.governed.consumer_limits(),
            subset: &Subset::default(),
        };
        let close = endpoints.len();
        made.to_ruled(endpoints, close, Some(Ruled { told }))
    }

    fn endpoints(&mut self, name: &str) -> Vec<Arc<Endpoint>> {
        let Some(cluster) = self.routing.cluster(name) else { return Vec::new() };
        let (registry, now) = (self.registry, self.now);
        let of_cluster = || endpoints(cluster, registry, now);
        self.endpoints.entry(&cluster.name).or_insert_with(of_cluster).clone()
    }
}

/// Who takes requests of a cluster: of those that do, the ones of the first priority that has any;
/// as often as their weights say.
fn endpoints(cluster: &Cluster, registry: &Registry, now: Duration) -> Vec<Arc<Endpoint>> {
    let serving = || cluster.members.iter().filter(|member| member.instance.status.serves());
    let first = serving().map(|member| member.priority).min();
    let mut found = Vec::new();
    let mut weights = Vec::new();
    for member in serving().filter(|member| Some(member.priority) == first) {
        let Some(endpoint) = member.instance.endpoints.first() else { continue };
        let id = EndpointId {
            instance: Some((cluster.service.clone(), member.instance.id.clone())),
            protocol: endpoint.protocol,
            address: Address::Known(endpoint.address),
            tls: endpoint.tls,
        };
        found.push(registry.endpoint(&id, now));
        weights.push(member.weight);
    }
    let Some(shares) = Shares::new(&weights) else { return found };
    shares.order().filter_map(|place| found.get(place).cloned()).collect()
}

#[cfg(test)]
mod tests;
