//! What is known of the mesh, and what is made of it: without network or clock.
//!
//! Resources come in, services go out. A service is made anew only when everything that its rules
//! speak of is there; until then the last one stays, so that no request meets half of a change. And
//! only services that somebody asked for are made at all: their endpoints are asked for then.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh::virtual_host::RouteRule;
use mesh::{Cluster, Port, Routing, Service, ServiceKey, Snapshot};
use tokio::sync::watch;

use super::members::{self, Name};
use super::translate::{Assignment, ClusterSpec, Found, Outside, Resource, RouteTable};
use crate::source::{Answer, Demand};

/// How many services are followed at most; the one asked for least recently makes room.
const MOST_TRACKED: usize = 10_000;
/// A service that nobody has asked for in so long is no longer followed.
const IDLE: Duration = Duration::from_mins(15);

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct World {
    clusters: HashMap<Arc<str>, Arc<ClusterSpec>>,
    /// Their names, by the host of their service.
    by_host: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Clusters that are no more, and that rules still speak of: those rules go next.
    retired: HashMap<Arc<str>, Arc<ClusterSpec>>,
    /// By the names that clusters call them.
    assignments: HashMap<Arc<str>, Arc<Assignment>>,
    /// What the resolver has said.
    resolved: HashMap<Name, Vec<SocketAddr>>,
    /// Once there are routes.
    hosts: Option<Hosts>,
    tracked: BTreeMap<Arc<str>, Tracked>,
    /// Who asked before there were routes, by the name asked for.
    waiting: HashMap<Arc<str>, watch::Sender<Option<Answer>>>,
    snapshot: Arc<Snapshot>,
    /// Answers that are told once readers see the snapshot they speak of.
    untold: Vec<(watch::Sender<Option<Answer>>, Answer)>,
    /// Names of clusters and hosts that are not what they were.
    changed: HashSet<Arc<str>>,
}

/// The hosts of a route table.
#[derive(Debug, Default)]
struct Hosts {
    /// By the host of the service.
    services: HashMap<Arc<str>, Ports>,
    /// By what requests call them, without a port.
    names: HashMap<Arc<str>, Arc<str>>,
    outside: Outside,
    /// What is not carried out of the table itself.
    unsupported: Vec<Arc<str>>,
}

/// The ports of a host, and what else it is called.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Ports {
    names: BTreeSet<Arc<str>>,
    rules: Vec<(u16, Arc<[RouteRule]>)>,
    unsupported: Vec<Arc<str>>,
}

/// A service that is followed.
#[derive(Debug)]
struct Tracked {
    asked_at: Duration,
    /// What it is called in the snapshot, once it is there.
    key: Option<ServiceKey>,
    /// The clusters that its rules speak of.
    needs: BTreeSet<Arc<str>>,
    answer: watch::Sender<Option<Answer>>,
    /// Who asked for it by other names before there were routes.
    others: Vec<watch::Sender<Option<Answer>>>,
}

/// What became of a response.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// What was wrong with it, for the control plane; the rest is in force.
    pub(super) faults: Vec<String>,
}

impl Applied {
    /// It in words: at most a few faults, as a control plane logs them.
    pub(super) fn error(&self) -> Option<String> {
        const SHOWN: usize = 5;
        let shown: Vec<&str> = self.faults.iter().take(SHOWN).map(String::as_str).collect();
        let more = self.faults.len().saturating_sub(SHOWN);
        let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
        (!shown.is_empty()).then(|| format!("{}{rest}", shown.join("; ")))
    }
}

impl World {
    /// The services as they are.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }

    /// How many resources there are: clusters, assignments, hosts.
    pub(super) fn counts(&self) -> [usize; 3] {
        let hosts = self.hosts.as_ref().map_or(0, |hosts| hosts.services.len());
        [self.clusters.len(), self.assignments.len(), hosts]
    }

    /// The clusters that are known, for a new stream.
    pub(super) fn cluster_names(&self) -> impl Iterator<Item = Arc<str>> + '_ {
        self.clusters.keys().cloned()
    }

    /// What was asked for by resources in use and is not carried out: the resource, and what.
    pub(super) fn unsupported(&self) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
        let mut found: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
        let mut add = |name: &Arc<str>, what: &[Arc<str>]| {
            if !what.is_empty() {
                found.entry(Arc::clone(name)).or_default().extend(what.iter().cloned());
            }
        };
        if let Some(hosts) = &self.hosts {
            add(&"routes".into(), &hosts.unsupported);
            for host in self.tracked.keys() {
                let Some(ports) = hosts.services.get(host) else { continue };
                add(host, &ports.unsupported);
                for rule in ports.rules.iter().flat_map(|(_, rules)| &**rules) {
                    add(host, &rule.unsupported);
                }
            }
        }
        for name in self.tracked.values().flat_map(|tracked| &tracked.needs) {
            let Some(spec) = self.clusters.get(name) else { continue };
            add(name, &spec.terms.unsupported);
            if let Some(security) = members::unspoken(&spec.terms.security) {
                add(name, &[security.into()]);
            }
            if let Some(assignment) = self.assignment(spec) {
                add(name, &assignment.unsupported);
                if assignment.peers.iter().any(|peer| peer.mutual_tls) {
                    add(name, &["endpoints.tlsMode.istio".into()]);
                }
            }
        }
        found.into_iter().map(|(name, what)| (name, what.into_iter().collect())).collect()
    }

    /// Somebody wants the service that requests call `name`; `true` when something has to be asked
    /// for.
    pub(super) fn demand(&mut self, name: &str, now: Duration) -> (Demand, bool) {
        let name: Arc<str> = name.to_ascii_lowercase().into();
        let Some(hosts) = &self.hosts else {
            let answer = self.waiting.entry(name).or_insert_with(|| watch::Sender::new(None));
            return (Demand::pending(answer.subscribe()), false);
        };
        match hosts.names.get(&name).cloned() {
            Some(host) => self.track(host, now),
            None => (Demand::answered(Answer::Unknown), false),
        }
    }

    fn track(&mut self, host: Arc<str>, now: Duration) -> (Demand, bool) {
        if let Some(tracked) = self.tracked.get_mut(&host) {
            tracked.asked_at = now;
            return (Demand::pending(tracked.answer.subscribe()), false);
        }
        if self.tracked.len() >= MOST_TRACKED {
            let oldest = self.tracked.iter().min_by_key(|(_, tracked)| tracked.asked_at);
            if let Some(host) = oldest.map(|(host, _)| Arc::clone(host)) {
                self.forget(&host);
            }
        }
        let answer = watch::Sender::new(None);
        let demand = Demand::pending(answer.subscribe());
        let (needs, others) = (BTreeSet::new(), Vec::new());
        let tracked = Tracked { asked_at: now, key: None, needs, answer, others };
        self.tracked.insert(Arc::clone(&host), tracked);
        self.changed.insert(host);
        (demand, true)
    }

    /// Lets go of services that nobody has asked for lately.
    pub(super) fn collect(&mut self, now: Duration) {
        let idle = self.tracked.iter().filter(|(_, tracked)| now > tracked.asked_at + IDLE);
        let idle: Vec<_> = idle.map(|(host, _)| Arc::clone(host)).collect();
        for host in idle {
            self.forget(&host);
        }
    }

    fn forget(&mut self, host: &str) {
        let Some(tracked) = self.tracked.remove(host) else { return };
        if let Some(key) = tracked.key {
            Arc::make_mut(&mut self.snapshot).remove(&key);
        }
        self.untold.push((tracked.answer, Answer::Unknown));
    }

    /// Nobody can be asked. What is known stays; who waits for the first routes is told. A service of
    /// those that are known is waited for: a stream that ends well is followed by another soon.
    pub(super) fn unreachable(&mut self) {
        for (_, answer) in self.waiting.drain() {
            self.untold.push((answer, Answer::Unavailable));
        }
    }

    /// Takes resources in, each by itself. `whole`: clusters that are not among them are gone.
    pub(super) fn apply(
        &mut self,
        type_url: &str,
        resources: impl IntoIterator<Item = Vec<u8>>,
        removed: &[String],
        whole: bool,
    ) -> Applied {
        let mut applied = Applied::default();
        let mut refused: HashSet<Arc<str>> = HashSet::new();
        let mut seen: HashSet<Arc<str>> = HashSet::new();
        for bytes in resources {
            match Resource::read(type_url, &bytes) {
                Ok(Resource::Cluster(cluster)) => {
                    seen.insert(Arc::clone(&cluster.name));
                    self.put_cluster(cluster);
                }
                Ok(Resource::Assignment(assignment)) => self.put_assignment(assignment),
                Ok(Resource::Routes(routes)) => self.put_routes(&routes),
                Err((name, invalid)) => {
                    refused.insert(name.as_str().into());
                    let name = if name.is_empty() { "a resource" } else { &name };
                    applied.faults.push(format!("{name}: {invalid}"));
                }
            }
        }
        let kind_of_clusters = type_url == super::protocol::Kind::Clusters.type_url();
        if kind_of_clusters {
            let gone: Vec<Arc<str>> = if whole {
                // One that came and could not be read is not gone; nor is any where there was one
                // that could not even be named.
                let nameless = refused.contains("");
                let stays =
                    |name: &Arc<str>| nameless || seen.contains(name) || refused.contains(name);
                self.clusters.keys().filter(|name| !stays(name)).cloned().collect()
            } else {
                removed.iter().map(|name| name.as_str().into()).collect()
            };
            for name in gone {
                self.retire(name);
            }
        } else if type_url == super::protocol::Kind::Endpoints.type_url() {
            for name in removed {
                let cluster: Arc<str> = name.as_str().into();
                self.put_assignment(Assignment {
                    cluster,
                    peers: Vec::new(),
                    unsupported: Vec::new(),
                });
            }
        }
        applied
    }

    fn retire(&mut self, name: Arc<str>) {
        let Some(cluster) = self.clusters.remove(&name) else { return };
        if let Some(place) = &cluster.place
            && let Some(names) = self.by_host.get_mut(&place.host)
        {
            names.remove(&name);
            if names.is_empty() {
                self.by_host.remove(&place.host);
            }
        }
        self.changed.insert(Arc::clone(&name));
        self.retired.insert(name, cluster);
    }

    fn put_cluster(&mut self, cluster: ClusterSpec) {
        self.retired.remove(&cluster.name);
        if let Some(place) = &cluster.place {
            let names = self.by_host.entry(Arc::clone(&place.host)).or_default();
            names.insert(Arc::clone(&cluster.name));
        }
        let known = self.clusters.get(&cluster.name);
        if known.is_none_or(|known| **known != cluster) {
            self.changed.insert(Arc::clone(&cluster.name));
            self.clusters.insert(Arc::clone(&cluster.name), Arc::new(cluster));
        }
    }

    fn put_assignment(&mut self, mut assignment: Assignment) {
        let name = Arc::clone(&assignment.cluster);
        // With its cluster go its endpoints; who is still sent there has to find them.
        let told = |spec: &Arc<ClusterSpec>| matches!(&spec.found, Found::Told(of) if *of == name);
        if assignment.peers.is_empty() && self.retired.values().any(told) {
            return;
        }
        assignment.peers.sort_by(|a, b| a.address.cmp(&b.address));
        if self.assignments.get(&name).is_none_or(|known| **known != assignment) {
            self.changed.insert(Arc::clone(&name));
            self.assignments.insert(name, Arc::new(assignment));
        }
    }

    fn put_routes(&mut self, table: &RouteTable) {
        let next = Hosts::of(table);
        let empty = HashMap::new();
        let known = self.hosts.as_ref().map_or(&empty, |hosts| &hosts.services);
        let other = |(host, ports): &(&Arc<str>, &Ports)| known.get(*host) != Some(*ports);
        self.changed.extend(next.services.iter().filter(other).map(|(host, _)| Arc::clone(host)));
        let gone = known.keys().filter(|host| !next.services.contains_key(*host));
        self.changed.extend(gone.cloned());
        self.hosts = Some(next);
    }

    /// The resolver has said where something is; nowhere is an answer too.
    pub(super) fn resolved(&mut self, name: &Name, mut addresses: Vec<SocketAddr>) {
        addresses.sort();
        addresses.dedup();
        if self.resolved.get(name) == Some(&addresses) {
            return;
        }
        self.resolved.insert(name.clone(), addresses);
        let uses = self.tracked.values().flat_map(|tracked| &tracked.needs).filter(|cluster| {
            let spec = self.clusters.get(*cluster).or_else(|| self.retired.get(*cluster));
            spec.is_some_and(|spec| members::names(spec).any(|used| used == *name))
        });
        let uses: Vec<_> = uses.cloned().collect();
        self.changed.extend(uses);
    }

    /// The resolver does not find it: what it said last is still believed, nothing if it never did.
    pub(super) fn unresolved(&mut self, name: &Name) {
        if !self.resolved.contains_key(name) {
            self.resolved(name, Vec::new());
        }
    }

    /// Makes what changed; `true` when the snapshot is another.
    pub(super) fn settle(&mut self, now: Duration) -> bool {
        let before = Arc::clone(&self.snapshot);
        let closed = self.hosts.as_ref().is_some_and(|hosts| hosts.outside == Outside::Closed);
        if self.snapshot.closed != closed {
            Arc::make_mut(&mut self.snapshot).closed = closed;
        }
        if self.hosts.is_some() {
            for (name, answer) in std::mem::take(&mut self.waiting) {
                self.settle_waiting(&name, answer, now);
            }
        }
        let changed = std::mem::take(&mut self.changed);
        if !changed.is_empty() {
            let assigned = |cluster: &Arc<str>| {
                let spec = self.clusters.get(cluster).or_else(|| self.retired.get(cluster));
                spec.is_some_and(
                    |spec| matches!(&spec.found, Found::Told(name) if changed.contains(name)),
                )
            };
            let concerned = self.tracked.iter().filter(|(host, tracked)| {
                changed.contains(*host)
                    || tracked.needs.iter().any(|name| changed.contains(name) || assigned(name))
            });
            let concerned: Vec<_> = concerned.map(|(host, _)| Arc::clone(host)).collect();
            for host in concerned {
                self.settle_host(&host);
            }
            self.clear_away();
        }
        before.closed != self.snapshot.closed
            || self.snapshot.changes_since(&before).next().is_some()
    }

    fn settle_waiting(
        &mut self,
        name: &Arc<str>,
        answer: watch::Sender<Option<Answer>>,
        now: Duration,
    ) {
        let host = self.hosts.as_ref().and_then(|hosts| hosts.names.get(name)).cloned();
        let Some(host) = host else {
            self.untold.push((answer, Answer::Unknown));
            return;
        };
        drop(self.track(Arc::clone(&host), now));
        self.changed.insert(Arc::clone(&host));
        if let Some(tracked) = self.tracked.get_mut(&host) {
            tracked.others.push(answer);
        }
    }

    fn settle_host(&mut self, host: &Arc<str>) {
        let ports = self.hosts.as_ref().and_then(|hosts| hosts.services.get(host)).cloned();
        let Some(ports) = ports else { return self.forget(host) };
        let rules = ports.rules.iter().flat_map(|(_, rules)| &**rules);
        let spoken_of = rules.flat_map(RouteRule::clusters);
        let needs: BTreeSet<Arc<str>> = spoken_of.chain(self.own_clusters(host)).cloned().collect();
        let made = self.make(host, ports, &needs);
        let Some(tracked) = self.tracked.get_mut(host) else { return };
        // What the last rules spoke of is kept until the next ones are in force.
        match made {
            None => tracked.needs.extend(needs),
            Some(service) => {
                tracked.needs = needs;
                let others = tracked.others.drain(..);
                let who = std::iter::once(tracked.answer.clone()).chain(others);
                self.untold.extend(who.map(|answer| (answer, Answer::Known)));
                let key = service.key.clone();
                let last = tracked.key.replace(key.clone());
                if let Some(last) = last.filter(|last| *last != key) {
                    Arc::make_mut(&mut self.snapshot).remove(&last);
                }
                if self.snapshot.get(&key).is_none_or(|known| **known != service) {
                    Arc::make_mut(&mut self.snapshot).put(service);
                }
            }
        }
    }

    /// The clusters of a host whose endpoints are told: rules of ours may speak of those that its
    /// source's do not.
    fn own_clusters(&self, host: &str) -> impl Iterator<Item = &Arc<str>> {
        let told = |name: &&Arc<str>| {
            self.clusters.get(*name).is_some_and(|spec| matches!(spec.found, Found::Told(_)))
        };
        self.by_host.get(host).into_iter().flatten().filter(told)
    }

    /// The service of a host; `None` while something of it is not known yet.
    fn make(&self, host: &Arc<str>, ports: Ports, needs: &BTreeSet<Arc<str>>) -> Option<Service> {
        let mut clusters = Vec::new();
        for name in needs {
            let spec = self.clusters.get(name).or_else(|| self.retired.get(name));
            // One that was never told of has no endpoints, as its rules are about nothing.
            let Some(spec) = spec else { continue };
            clusters.push(Arc::new(self.cluster(spec)?));
        }
        let own = needs
            .iter()
            .filter_map(|name| self.clusters.get(name))
            .find(|spec| spec.place.as_ref().is_some_and(|place| place.host == *host));
        let key = members::key(host, own.map(|spec| &*spec.namespace).unwrap_or_default());
        let mut ports: Vec<Port> =
            ports.rules.into_iter().map(|(number, rules)| Port { number, rules }).collect();
        // Who asks for no port means 80 where there is one.
        ports.sort_by_key(|port| port.number != 80);
        let names = self.hosts.as_ref().and_then(|hosts| hosts.services.get(host));
        let names = names.map_or_else(Vec::new, |ports| ports.names.iter().cloned().collect());
        Some(Service::routed(key, Routing { names, ports, clusters }))
    }

    /// A cluster with its endpoints; `None` while they are not known.
    fn cluster(&self, spec: &ClusterSpec) -> Option<Cluster> {
        let members = match &spec.found {
            Found::Told(_) | Found::Fixed(_) => {
                members::of_peers(spec, self.assignment(spec)?, |name| self.resolved.get(name))?
            }
            Found::LookedUp { names, .. } => {
                members::of_peers(spec, names, |name| self.resolved.get(name))?
            }
            Found::AsAsked => members::as_asked(spec, |name| self.resolved.get(name))?,
        };
        Some(members::cluster(spec, members))
    }

    fn assignment<'a>(&'a self, spec: &'a ClusterSpec) -> Option<&'a Assignment> {
        match &spec.found {
            Found::Told(name) => self.assignments.get(name).map(|it| &**it),
            Found::Fixed(assignment) | Found::LookedUp { names: assignment, .. } => {
                Some(assignment)
            }
            Found::AsAsked => None,
        }
    }

    /// Lets go of what nobody's rules speak of.
    fn clear_away(&mut self) {
        let needed: HashSet<&Arc<str>> =
            self.tracked.values().flat_map(|tracked| &tracked.needs).collect();
        self.retired.retain(|name, _| needed.contains(name));
        let (wanted, names) = (self.wanted(), self.looked_up());
        self.assignments.retain(|name, _| wanted.contains(name));
        self.resolved.retain(|name, _| names.contains_key(name));
    }

    /// The endpoints that have to be asked for.
    pub(super) fn wanted(&self) -> BTreeSet<Arc<str>> {
        let needs = self.tracked.values().flat_map(|tracked| &tracked.needs);
        let specs =
            needs.filter_map(|name| self.clusters.get(name).or_else(|| self.retired.get(name)));
        let told = specs.filter_map(|spec| match &spec.found {
            Found::Told(name) => Some(Arc::clone(name)),
            _ => None,
        });
        told.collect()
    }

    /// The names that have to be looked up, and how often.
    pub(super) fn looked_up(&self) -> HashMap<Name, Duration> {
        let mut all = HashMap::new();
        for name in self.tracked.values().flat_map(|tracked| &tracked.needs) {
            if let Some(spec) = self.clusters.get(name).or_else(|| self.retired.get(name)) {
                let refresh = members::refresh(spec);
                all.extend(members::names(spec).map(|name| (name, refresh)));
            }
        }
        all
    }

    /// Tells those who wait. To be called after the snapshot was published: who is told that a
    /// service is known looks for it at once.
    pub(super) fn tell(&mut self) {
        for (answer, value) in self.untold.drain(..) {
            answer.send_if_modified(|held| held.replace(value) != Some(value));
        }
    }
}

impl Hosts {
    fn of(table: &RouteTable) -> Self {
        let mut hosts = Self {
            outside: table.outside,
            unsupported: table.unsupported.clone(),
            ..Self::default()
        };
        for host in &table.hosts {
            let Some(port) = host.port else { continue };
            let ports = hosts.services.entry(Arc::clone(&host.host)).or_default();
            if ports.rules.iter().any(|(number, _)| *number == port) {
                continue;
            }
            ports.rules.push((port, Arc::clone(&host.rules)));
            ports.unsupported.extend(host.unsupported.iter().cloned());
            for domain in &host.domains {
                // What may stand for any name is no name: such a host is asked of the resolver.
                let name = without_port(domain);
                if !name.starts_with('*') {
                    let name: Arc<str> = name.into();
                    hosts.names.entry(Arc::clone(&name)).or_insert_with(|| Arc::clone(&host.host));
                    ports.names.insert(name);
                }
            }
        }
        hosts
    }
}

/// `host:port` without the port, and an IPv6 address without its brackets.
fn without_port(domain: &str) -> &str {
    let host = match domain.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => domain,
    };
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}
