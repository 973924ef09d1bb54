//! Copies of requests, to try something with real traffic: nobody waits for them, and nobody sees what
//! comes of them.
//!
//! A copy is sent by a task of its own on the same thread, once the body is whole: it is what the
//! request itself was read into. What would be too much is dropped, and counted.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use hyper::Request;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use mesh::Protocol;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Here;
use super::body::RequestBody;
use super::choose::{Affinity, Choice};
use super::destination::Head;
use super::exchange::exchange;
use super::headers::{self, FORWARDED_PORT};
use super::kept::Kept;
use super::response;
use crate::listener::Port;
use crate::metrics::Copied;
use crate::plan::{Lookup, Mirror, Route};
use crate::worker::{Connection, Worker};

/// Copies that a thread has under way at once; one more is dropped.
const MOST: usize = 256;
/// Says that a request is a copy.
const MIRROR: HeaderName = HeaderName::from_static("x-mesher-mirror");
/// What stands behind the name of the host, as Envoy has it.
const SHADOW: &str = "-shadow";

/// A copy that is to be sent.
struct Copy {
    worker: Rc<Worker>,
    port: Port,
    connection: Rc<Connection>,
    /// The route of the request that it is a copy of.
    of: Arc<Route>,
    to: Mirror,
    head: Parts,
    /// `None`: there is none.
    body: Option<oneshot::Receiver<Vec<Bytes>>>,
}

/// Has copies of a request sent where its route says. The request is as its instance is to get it.
pub(super) fn copy(here: &Here<'_>, route: &Arc<Route>, head: &Parts, body: &RequestBody) {
    for mirrored in &route.mirrors {
        if !mirrored.share.has(fastrand::u64(..)) {
            continue;
        }
        let under_way = &here.worker.mirrored;
        let Some(mut head) = Kept::of(head).head().filter(|_| under_way.get() < MOST) else {
            count(here.worker, here.port, route, Copied::Dropped);
            continue;
        };
        mark(&mut head);
        let copy = Copy {
            worker: Rc::clone(here.worker),
            port: *here.port,
            connection: Rc::clone(here.connection),
            of: Arc::clone(route),
            to: mirrored.to.clone(),
            head,
            body: body.copy(),
        };
        under_way.set(under_way.get() + 1);
        tokio::task::spawn_local(async move {
            let (worker, port) = (Rc::clone(&copy.worker), copy.port);
            let of = Arc::clone(&copy.of);
            let limit = worker.shared.settings().limits.request_timeout;
            let limit = of.terms.timeout.unwrap_or(limit);
            let result = timeout(limit, copy.send()).await.unwrap_or(Copied::Failed);
            count(&worker, &port, &of, result);
            worker.mirrored.set(worker.mirrored.get() - 1);
        });
    }
}

/// Says that it is one.
fn mark(head: &mut Parts) {
    head.headers.insert(MIRROR, HeaderValue::from_static("true"));
    let shadow = head.headers.get(HOST).and_then(|host| shadow(host.to_str().ok()?));
    if let Some(host) = shadow.and_then(|host| HeaderValue::try_from(host).ok()) {
        head.headers.insert(HOST, host);
    }
}

/// A host and perhaps a port, with the mark behind the host. `None`: it is an address.
fn shadow(host: &str) -> Option<String> {
    let (name, port) =
        host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    if name.is_empty() || name.contains([':', '[']) || name.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    Some(match port {
        Some(port) => format!("{name}{SHADOW}:{port}"),
        None => format!("{name}{SHADOW}"),
    })
}

fn count(worker: &Worker, port: &Port, route: &Route, result: Copied) {
    let part = route.state.counters.part(port.side, worker.index);
    part.mirrors[result as usize].one();
}

impl Copy {
    async fn send(self) -> Copied {
        let Self { worker, port, connection, of, to, mut head, body } = self;
        let here = Here { worker: &worker, port: &port, connection: &connection };
        let body = match body {
            None => Vec::new(),
            Some(whole) => match whole.await {
                Ok(parts) => parts,
                Err(_) => return Copied::Dropped,
            },
        };
        let body = RequestBody::whole(body);
        let route = match to {
            Mirror::Route(route) => route,
            Mirror::Service(name) => match service(&here, &of, &name, &head).await {
                Some(route) => route,
                None => return Copied::Failed,
            },
        };
        let affinity = Affinity::of(&here, &route, &head);
        let Ok(choice) = Choice::make(&here, &route, affinity, None) else {
            return Copied::Failed;
        };
        if choice.check_loop(&here).is_err() {
            return Copied::Failed;
        }
        if choice.endpoint.id.by_peer {
            headers::for_peer(&here, &mut head, &choice.endpoint);
        }
        let request = Request::from_parts(head, body.play());
        match exchange(&here, &route, &choice, request, 1, None).await {
            Ok(answered) => {
                choice.ended(&here, &route, Some(answered.status().as_u16()));
                response::discard(&worker, choice, answered).await;
                Copied::Sent
            }
            Err((_, refusal)) => {
                if refusal.blames_the_instance() {
                    choice.ended(&here, &route, None);
                }
                Copied::Failed
            }
        }
    }
}

/// The route to another service, in the protocol and to the port that were asked for.
async fn service(here: &Here<'_>, of: &Route, name: &str, head: &Parts) -> Option<Arc<Route>> {
    let plans = &here.worker.shared.plans;
    let service = match plans.known(name) {
        Some(service) => service,
        None => match plans.find(name).await {
            Lookup::Service(service) => service,
            Lookup::Unknown | Lookup::Unavailable => return None,
        },
    };
    let first = of.endpoints.first();
    let protocol = first.map_or(Protocol::Rest, |endpoint| endpoint.id.protocol);
    let port = head.headers.get(FORWARDED_PORT).and_then(|port| port.to_str().ok()?.parse().ok());
    Some(Arc::clone(service.route_of(protocol, port, &Head(head))))
}

#[cfg(test)]
mod tests {
    use super::shadow;

    #[test]
    fn a_copy_is_known_by_its_host() {
        for (host, expected) in [
            ("orders", Some("orders-shadow")),
            ("orders:8080", Some("orders-shadow:8080")),
            ("orders.shop.svc.cluster.local", Some("orders.shop.svc.cluster.local-shadow")),
            ("10.0.0.1:80", None),
            ("10.0.0.1", None),
            ("[::1]:80", None),
            ("", None),
        ] {
            assert_eq!(shadow(host).as_deref(), expected, "{host}");
        }
    }
}
