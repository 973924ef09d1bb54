//! One service: its endpoints by protocol, port and subset, and the rules that choose among them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mesh::route::{Asked, MirrorTo, Rule, Shares, Subset};
use mesh::virtual_host::Request;
use mesh::{Protocol, RoundRobin, Service, ServiceKey};

use super::governed::Governed;
use super::registry::EndpointId;
use super::route::Made;
use super::{Address, Endpoint, Kind, Mirror, Mirrored, Registry, Route, Routed, ServiceState};
use crate::settings::Terms;

/// One service.
#[derive(Debug)]
pub(crate) struct ServicePlan {
    /// The source has withdrawn it. It stays, as its name must not leave the mesh.
    pub(crate) withdrawn: bool,
    pub(crate) state: Arc<ServiceState>,
    ways: Vec<Way>,
    /// Where its source says where requests go, instead (Istio).
    routed: Option<Routed>,
    /// What it is called besides its own name.
    pub(super) names: Vec<Arc<str>>,
    /// Where no instance is.
    nowhere: Arc<Route>,
}

/// The ways of requests in one protocol to one port of the service.
#[derive(Debug)]
struct Way {
    protocol: Protocol,
    port: Option<u16>,
    /// In their order; of those that are about a request the first counts.
    rules: Box<[Division]>,
    /// Where no rule is about a request: the latest version.
    default: Arc<Route>,
}

/// A rule, with the routes it divides requests between.
#[derive(Debug)]
struct Division {
    rule: Rule,
    shares: Shares,
    turns: RoundRobin,
    /// By the places of the rule's targets.
    routes: Box<[Arc<Route>]>,
}

/// One route of a service, as people are shown it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) protocol: Protocol,
    /// The port of the service; `None`: any.
    pub(crate) port: Option<u16>,
    pub(crate) route: &'a Arc<Route>,
    /// The rule that leads there, from 0, and its share of the requests of that rule; `None`: where
    /// no rule is about a request.
    pub(crate) rule: Option<(usize, Share)>,
}

/// A weight and the sum of all.
pub(crate) type Share = (u32, u64);

impl ServicePlan {
    pub(super) fn compile(
        service: &Service,
        registry: &Registry,
        governed: &Governed,
        now: Duration,
    ) -> Self {
        let mut plan = Self::withdrawn(&service.key, registry, governed);
        plan.withdrawn = false;
        if let Some(routing) = &service.routing {
            plan.names.clone_from(&routing.names);
            plan.routed = Some(Routed::compile(routing, registry, governed, &plan.state, now));
            return plan;
        }
        let rules = governed.rules(&service.key);
        for protocol in [Protocol::Rest, Protocol::Grpc] {
            let mut compiling = Compiling {
                service,
                protocol,
                registry,
                governed,
                state: &plan.state,
                subsets: BTreeMap::new(),
                now,
            };
            let default = Subset::default();
            let mut ports = compiling.ports(&default);
            for subset in rules.iter().flat_map(|rule| &rule.targets).map(|target| &target.subset) {
                for port in compiling.ports(subset) {
                    if !ports.contains(&port) {
                        ports.push(port);
                    }
                }
            }
            plan.ways.extend(ports.into_iter().map(|port| Way {
                protocol,
                port,
                rules: rules.iter().filter_map(|rule| compiling.division(rule, port)).collect(),
                default: compiling.route(&default, port),
            }));
        }
        plan
    }

    pub(super) fn withdrawn(key: &ServiceKey, registry: &Registry, governed: &Governed) -> Self {
        let state = registry.service(key);
        let nowhere = made_of(&state, governed, &Subset::default()).to(Vec::new(), 0);
        let (ways, names) = (Vec::new(), Vec::new());
        Self { withdrawn: true, state, ways, routed: None, names, nowhere }
    }

    /// The terms of its requests.
    pub(crate) fn terms(&self) -> &Terms {
        &self.nowhere.terms
    }

    /// The route of a request in `protocol` to `port`; without endpoints where there is none.
    pub(crate) fn route(
        &self,
        protocol: Protocol,
        port: Option<u16>,
        asked: &impl Asked,
    ) -> &Arc<Route> {
        let Some(way) = self.way(protocol, port) else { return &self.nowhere };
        let division = way.rules.iter().find(|division| division.rule.admits(asked));
        division.map_or(&way.default, Division::next)
    }

    /// The same, where rules of the source may look at more of a request.
    pub(crate) fn route_of(
        &self,
        protocol: Protocol,
        port: Option<u16>,
        request: &impl Request,
    ) -> &Arc<Route> {
        match &self.routed {
            None => self.route(protocol, port, request),
            Some(routed) => routed.route(protocol, port, request),
        }
    }

    /// The route of what is no request yet: where no rule is about it.
    pub(crate) fn default_route(&self, protocol: Protocol, port: Option<u16>) -> &Arc<Route> {
        if let Some(routed) = &self.routed {
            return routed.any(port);
        }
        self.way(protocol, port).map_or(&self.nowhere, |way| &way.default)
    }

    /// A service whose ports have endpoints of their own and which is asked for without a port is
    /// taken at its first.
    fn way(&self, protocol: Protocol, port: Option<u16>) -> Option<&Way> {
        self.ways.iter().find(|way| way.protocol == protocol && fits(way.port, port))
    }

    /// Every route: of each way, those of its rules, and the default.
    pub(crate) fn routes(&self) -> impl Iterator<Item = Shown<'_>> {
        let routed = self.routed.iter().flat_map(Routed::routes);
        let ways = self.ways.iter().flat_map(|way| {
            let shown = |route, rule| Shown { protocol: way.protocol, port: way.port, route, rule };
            let divided = way.rules.iter().enumerate().flat_map(move |(number, division)| {
                let shares = division.shares();
                division
                    .routes
                    .iter()
                    .zip(shares)
                    .map(move |(route, share)| shown(route, Some((number, share))))
            });
            divided.chain(std::iter::once(shown(&way.default, None)))
        });
        routed.chain(ways)
    }

    /// Whether there is an instance to send a request to `port` to.
    pub(crate) fn has_endpoints(&self, port: Option<u16>) -> bool {
        self.routes().any(|shown| fits(shown.port, port) && !shown.route.endpoints.is_empty())
    }

    /// Every endpoint that requests go to, once.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        let mut seen = BTreeSet::new();
        let all = self.routes().flat_map(|shown| &shown.route.endpoints);
        all.filter(move |endpoint| seen.insert(endpoint.pool))
    }
}

/// Whether what is at the port `of` a service takes requests to `port`; `None`: any.
fn fits(of: Option<u16>, port: Option<u16>) -> bool {
    of.is_none() || port.is_none() || of == port
}

impl Division {
    fn next(&self) -> &Arc<Route> {
        &self.routes[self.shares.at(self.turns.turn())]
    }

    fn shares(&self) -> impl Iterator<Item = Share> + use<'_> {
        let weights = self.rule.targets.iter().map(|target| target.weight);
        let sum = weights.clone().map(u64::from).sum();
        weights.map(move |weight| (weight, sum))
    }
}

/// Something for each port of a service; `None`: for any.
type Ports<T> = Vec<(Option<u16>, T)>;

/// What the routes of a service in one protocol are made of.
struct Compiling<'a> {
    service: &'a Service,
    protocol: Protocol,
    registry: &'a Registry,
    governed: &'a Governed,
    state: &'a Arc<ServiceState>,
    /// What was made so far, by port.
    subsets: BTreeMap<Subset, Ports<Arc<Route>>>,
    now: Duration,
}

impl Compiling<'_> {
    /// The ports where a subset has endpoints.
    fn ports(&mut self, subset: &Subset) -> Vec<Option<u16>> {
        self.of_subset(subset).iter().map(|(port, _)| *port).collect()
    }

    /// The route of a subset to one port; without endpoints where it has none there.
    fn route(&mut self, subset: &Subset, port: Option<u16>) -> Arc<Route> {
        let found = self.of_subset(subset).iter().find(|(of, _)| *of == port);
        if let Some((_, route)) = found {
            return Arc::clone(route);
        }
        made_of(self.state, self.governed, subset).to(Vec::new(), 0)
    }

    fn division(&mut self, rule: &Rule, port: Option<u16>) -> Option<Division> {
        let weights: Vec<u32> = rule.targets.iter().map(|target| target.weight).collect();
        let shares = Shares::new(&weights)?;
        let mirrors: Vec<_> = rule.mirrors.iter().map(|mirror| self.mirror(mirror, port)).collect();
        let routes = rule.targets.iter().map(|target| {
            if mirrors.is_empty() {
                return self.route(&target.subset, port);
            }
            let made = self.make(&target.subset).into_iter().find(|(of, _)| *of == port);
            let empty = || made_of(self.state, self.governed, &target.subset).to(Vec::new(), 0);
            let mut route = made.map_or_else(empty, |(_, route)| route);
            if let Some(route) = Arc::get_mut(&mut route) {
                route.mirrors = mirrors.clone().into();
            }
            route
        });
        let routes = routes.collect();
        let turns = RoundRobin::starting_at(fastrand::usize(..));
        Some(Division { rule: rule.clone(), shares, turns, routes })
    }

    fn mirror(&mut self, mirror: &mesh::route::Mirror, port: Option<u16>) -> Mirrored {
        let to = match &mirror.to {
            MirrorTo::Subset(subset) => Mirror::Route(self.route(subset, port)),
            MirrorTo::Service(name) => Mirror::Service(Arc::clone(name)),
        };
        Mirrored { share: mirror.share, to }
    }

    fn of_subset(&mut self, subset: &Subset) -> &[(Option<u16>, Arc<Route>)] {
        if !self.subsets.contains_key(subset) {
            let made = self.make(subset);
            self.subsets.insert(subset.clone(), made);
        }
        self.subsets.get(subset).map(Vec::as_slice).unwrap_or_default()
    }

    fn make(&self, subset: &Subset) -> Ports<Arc<Route>> {
        let mut eligible = self.service.eligible(self.protocol, subset);
        eligible.sort_by_key(|(instance, _)| self.governed.distance(instance));
        let mut groups: Ports<Vec<(u8, Arc<Endpoint>)>> = Vec::new();
        for (instance, endpoint) in eligible {
            let id = EndpointId {
                instance: Some((self.service.key.clone(), instance.id.clone())),
                protocol: self.protocol,
                address: Address::Known(endpoint.address),
                tls: endpoint.tls,
                by_peer: false,
            };
            let port = endpoint.service_port;
            let found = (self.governed.distance(&instance), self.registry.endpoint(&id, self.now));
            match groups.iter_mut().find(|(of, _)| *of == port) {
                Some((_, group)) => group.push(found),
                None => groups.push((port, vec![found])),
            }
        }
        let made = made_of(self.state, self.governed, subset);
        let route = |group: Vec<(u8, Arc<Endpoint>)>| {
            let nearest = group.first().map(|(distance, _)| *distance);
            let close = group.iter().filter(|(distance, _)| Some(*distance) == nearest).count();
            made.to(group.into_iter().map(|(_, endpoint)| endpoint).collect(), close)
        };
        groups.into_iter().map(|(port, group)| (port, route(group))).collect()
    }
}

/// What every route of a service is made of.
fn made_of<'a>(
    state: &'a Arc<ServiceState>,
    governed: &'a Governed,
    subset: &'a Subset,
) -> Made<'a> {
    Made {
        kind: Kind::Service,
        state,
        terms: governed.terms(&state.key),
        limits: governed.consumer_limits(),
        subset,
    }
}

#[cfg(test)]
mod tests;
