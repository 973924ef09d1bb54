//! Which endpoint takes a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::instance::{Endpoint, Instance, Protocol};
use crate::route::Subset;
use crate::service::Service;

impl Service {
    /// The endpoints of a subset that may take requests of a protocol, by instance id: each
    /// instance's first of the protocol for each port of the service.
    pub fn eligible(&self, protocol: Protocol, subset: &Subset) -> Vec<(Arc<Instance>, Endpoint)> {
        let Some(latest) = self.latest() else { return Vec::new() };
        let mut found = Vec::new();
        for instance in self.instances() {
            if !instance.status.serves() || !subset.admits(instance, latest) {
                continue;
            }
            let first = found.len();
            for endpoint in instance.endpoints.iter().filter(|e| e.protocol == protocol) {
                let seen = found[first..].iter();
                let ports = |(_, e): &(_, Endpoint)| e.service_port == endpoint.service_port;
                if !seen.clone().any(ports) {
                    found.push((Arc::clone(instance), endpoint.clone()));
                }
            }
        }
        found
    }
}

/// Takes one after the other. Shared by all threads; they need no agreement beyond the number.
#[derive(Debug, Default)]
pub struct RoundRobin(AtomicUsize);

impl RoundRobin {
    /// Starts anywhere: proxies that start together do not all begin with the same instance.
    pub fn starting_at(start: usize) -> Self {
        Self(AtomicUsize::new(start))
    }

    /// The next turn.
    pub fn turn(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// The index, of `count`, whose turn it is; from there on the first that is `usable`. When none
/// is, the one whose turn it is after all: a guess that all are down may be wrong, and an error
/// is certain. `None` only when there is none, or `avoid` is the only one.
///
/// `avoid` is the one that has just failed this request. Where less than `panic`, of a hundred, can
/// be used, whether they can is not looked at: the few would break down under the load of all.
///
/// ```
/// use mesh::choose;
/// assert_eq!(choose(5, 3, None, 0, |_| true), Some(2));
/// assert_eq!(choose(5, 3, Some(2), 0, |_| true), Some(0));
/// assert_eq!(choose(5, 3, None, 0, |i| i == 1), Some(1));
/// assert_eq!(choose(5, 3, None, 50, |i| i == 1), Some(2));
/// assert_eq!(choose(5, 3, None, 0, |_| false), Some(2));
/// assert_eq!(choose(5, 1, Some(0), 0, |_| true), None);
/// ```
pub fn choose(
    turn: usize,
    count: usize,
    avoid: Option<usize>,
    panic: u8,
    usable: impl Fn(usize) -> bool,
) -> Option<usize> {
    let mut last_resort = None;
    for step in 0..count {
        let index = turn.wrapping_add(step) % count;
        if Some(index) == avoid {
            continue;
        }
        if usable(index) {
            return Some(index);
        }
        if last_resort.is_none() && panic > 0 {
            let well = (0..count).filter(|index| usable(*index)).count();
            if well * 100 < usize::from(panic) * count {
                return Some(index);
            }
        }
        last_resort = last_resort.or(Some(index));
    }
    last_resort
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::choose;
    use crate::route::Subset;
    use crate::{Endpoint, Instance, InstanceId, Protocol, Service, ServiceKey, Status, Tags};

    fn endpoint(protocol: Protocol, port: u16, service_port: Option<u16>) -> Endpoint {
        let address = SocketAddr::from(([10, 0, 0, 1], port));
        Endpoint { protocol, address, tls: false, service_port }
    }

    fn instance(id: &str, version: &str, status: Status, endpoints: Vec<Endpoint>) -> Instance {
        let version = version.parse().unwrap();
        Instance { id: InstanceId(id.into()), version, status, endpoints, tags: Tags::new() }
    }

    #[test]
    fn the_default_route_is_the_latest_version_that_serves() {
        let rest = |port| vec![endpoint(Protocol::Rest, port, None)];
        let service = Service::new(
            ServiceKey::new("default", "s"),
            [
                instance("a", "1.0", Status::Up, rest(1)),
                instance("b", "1.1", Status::Up, rest(2)),
                instance("c", "1.1", Status::Down, rest(3)),
                instance("d", "2.0", Status::Starting, rest(4)),
                instance("e", "1.1", Status::Up, vec![endpoint(Protocol::Grpc, 5, None)]),
            ],
        );
        let ids = |versions: &str, protocol| {
            let subset = Subset { versions: versions.parse().unwrap(), tags: Tags::new() };
            let found = service.eligible(protocol, &subset);
            found.iter().map(|(i, _)| i.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(ids("latest", Protocol::Rest), ["b"]);
        assert_eq!(ids("0+", Protocol::Rest), ["a", "b"]);
        assert_eq!(ids("latest", Protocol::Grpc), ["e"]);
        assert!(ids("2.0", Protocol::Rest).is_empty());
    }

    #[test]
    fn each_port_of_a_service_has_its_own_endpoint() {
        let endpoints = vec![
            endpoint(Protocol::Rest, 9080, Some(80)),
            endpoint(Protocol::Rest, 9081, Some(81)),
            endpoint(Protocol::Rest, 9082, Some(81)),
        ];
        let service =
            Service::new(ServiceKey::new("ns", "s"), [instance("a", "0", Status::Up, endpoints)]);
        let any = Subset { versions: "0+".parse().unwrap(), tags: Tags::new() };
        let found = service.eligible(Protocol::Rest, &any);
        let ports: Vec<u16> = found.iter().map(|(_, e)| e.address.port()).collect();
        assert_eq!(ports, [9080, 9081]);
    }

    proptest! {
        #[test]
        fn a_usable_one_is_found_if_there_is_one(
            turn: usize,
            usable in proptest::collection::vec(any::<bool>(), 0..20),
            avoid in proptest::option::of(0..20_usize),
        ) {
            let found = choose(turn, usable.len(), avoid, 0, |i| usable[i]);
            let good = |i: &usize| usable[*i] && Some(*i) != avoid;
            if (0..usable.len()).any(|i| good(&i)) {
                prop_assert!(good(&found.unwrap()));
            }
            prop_assert!(found.is_none_or(|i| i < usable.len() && Some(i) != avoid));
        }

        #[test]
        fn turns_are_shared_out_evenly(count in 1..9_usize, start in 0..1000_usize) {
            let mut taken = vec![0; count];
            for turn in start..start + 3 * count {
                taken[choose(turn, count, None, 0, |_| true).unwrap()] += 1;
            }
            prop_assert!(taken.iter().all(|times| *times == 3));
        }
    }
}
