//! `CONNECT host:port`: a client wants a connection of its own to there (RFC 9110 §9.3.6).
//!
//! What it wants it for, it says once it has it, so that is looked at. HTTP goes the way of every
//! request, to whatever the CONNECT named: that is how gRPC libraries and WebSocket clients use a
//! proxy. Anything else passes as it is, in a [tunnel](super::tunnel): to a host outside of the
//! mesh if requests are let out to it at all; to a service only if its instances speak TLS
//! themselves, which the client then makes with them, end to end. The other instances are proxies
//! that speak HTTP and nothing else.

use std::pin::pin;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::{Request, Response, Version};
use mesh::{Failure, Protocol, Retry};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Here;
use super::choose::{Affinity, Choice, Failed};
use super::connection::unless_told;
use super::destination::{self, Destination, Found};
use super::detect::{LOOK, Opening, Spoken, opening};
use super::observation::Observation;
use super::refusal::Refusal;
use super::response::ResponseBody;
use super::tunnel::{Far, Handover};
use super::upstream::{adopt, reach};
use crate::listener::Side;
use crate::worker::{InFlight, Stream};

/// How long a client may take to say what it speaks, before it is taken for one that waits for the
/// other side to begin.
const SILENCE: Duration = Duration::from_millis(200);
/// To connect to a host, its name included. What lies outside may be far.
const REACH: Duration = Duration::from_secs(10);

/// A CONNECT that was answered: what becomes of it depends on what is said next.
#[derive(Debug)]
pub(crate) struct Connect {
    destination: Destination,
    /// The connection to a host outside of the mesh.
    outside: Option<(TcpStream, Choice)>,
}

/// What was said next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Requests to where the CONNECT said, without having to name it.
    Http(Spoken),
    /// Something that is none of our business.
    Tunnel(Far, InFlight),
}

/// Answers a CONNECT. Whatever keeps a client from being connected it learns now.
pub(crate) async fn open(
    here: &Here<'_>,
    request: Request<Incoming>,
    seen: &Observation,
) -> Result<Response<ResponseBody>, Refusal> {
    let version = request.version();
    let inside = here.connection.inside().is_some();
    if here.port.side == Side::Provider || version == Version::HTTP_2 || inside {
        return Err(Refusal::Method);
    }
    if !request.body().is_end_stream() {
        return Err(Refusal::Malformed("CONNECT has no body"));
    }
    let destination = Destination::of_connect(request.uri())?;
    let outside = match destination.find(here).await {
        Ok(Found::Service(service)) => {
            if !service.has_endpoints(destination.port()) {
                let route = service.default_route(Protocol::Rest, destination.port());
                return Err(destination::nobody(route));
            }
            None
        }
        Ok(Found::Outside(route)) => {
            let route = seen.goes(route);
            let choice = Choice::make(here, route, Affinity::default(), None);
            let choice = choice.map_err(|unchosen| unchosen.refusal(route))?;
            choice.check_loop(here)?;
            Some((reach(here.worker, &choice.endpoint, REACH).await?, choice))
        }
        Err(Refusal::Ourselves) => return Err(Refusal::Loop),
        Err(refusal) => return Err(refusal),
    };
    here.connection.hand_over(Handover::Connect(Connect { destination, outside }));
    Ok(Response::new(ResponseBody::empty()))
}

/// Finds out what the client wants its connection for. `None`: nothing, or nothing that it can
/// have.
pub(crate) async fn next(
    here: &Here<'_>,
    stream: &mut Stream,
    connect: Connect,
    in_flight: InFlight,
) -> Option<Next> {
    let Connect { destination, outside } = connect;
    let now = || here.worker.coarse_now.get();
    let silence = outside.is_some().then_some(SILENCE);
    if silence.is_none() {
        // It may be silent like a connection that has not asked for anything.
        in_flight.end(now());
    }
    let opening = look(here, stream, silence).await;
    if silence.is_some() {
        in_flight.end(now());
    }
    match (opening?, outside) {
        (Opening::Http(spoken), outside) => {
            // The first request finds it there, unless it is to leave within TLS.
            let plain = outside.filter(|(_, choice)| !choice.endpoint.id.tls);
            if let (Some((tcp, choice)), Spoken::Http1) = (plain, spoken) {
                let shared = &here.worker.shared;
                let settings = shared.settings();
                let connection = adopt(tcp, settings.header_case).await.ok()?;
                let (pool, most) = (choice.endpoint.pool, settings.limits.idle_upstream);
                here.worker.pool.put(pool, connection, now(), most);
            }
            here.connection.enter(destination);
            Some(Next::Http(spoken))
        }
        (Opening::Other, Some((tcp, choice))) => {
            let far = Far { stream: Stream::plain(tcp), choice };
            Some(Next::Tunnel(far, here.connection.begin()))
        }
        (Opening::Other, None) => {
            let far = instance(here, &destination).await;
            if let Err(reason) = &far {
                tracing::info!(host = destination.host(), reason, "tunnel closed");
            }
            Some(Next::Tunnel(far.ok()?, here.connection.begin()))
        }
    }
}

/// Looks at the first bytes, for `silence` if that is an answer too, and leaves them there.
async fn look(here: &Here<'_>, stream: &mut Stream, silence: Option<Duration>) -> Option<Opening> {
    let mut seen = [0; LOOK];
    let mut count = 0;
    let found = {
        let looking = pin!(async {
            loop {
                if let Some(opening) = opening(&seen[..count]) {
                    return Some(opening);
                }
                match stream.read(&mut seen[count..]).await {
                    Ok(0) | Err(_) if count == 0 => return None,
                    Ok(0) | Err(_) => return Some(Opening::Other),
                    Ok(more) => count += more,
                }
            }
        });
        let told = unless_told(here.connection, looking);
        match silence {
            Some(silence) => timeout(silence, told).await.unwrap_or(Some(Some(Opening::Other))),
            None => told.await,
        }
    };
    stream.unread(&seen[..count]);
    found?
}

/// Connects to an instance that speaks TLS itself; or says, in one word, why not.
async fn instance(here: &Here<'_>, destination: &Destination) -> Result<Far, &'static str> {
    let Ok(Found::Service(service)) = destination.find(here).await else { return Err("gone") };
    let route = service.default_route(here.port.protocol, destination.port());
    let mut choice =
        Choice::make(here, route, Affinity::default(), None).map_err(|_| "no_instance")?;
    for last in [false, true] {
        if !choice.endpoint.id.tls {
            return Err("not_http");
        }
        choice.check_loop(here).map_err(|_| "loop")?;
        let limit = here.worker.shared.settings().limits.connect_timeout;
        match reach(here.worker, &choice.endpoint, limit).await {
            Ok(tcp) => return Ok(Far { stream: Stream::plain(tcp), choice }),
            Err(_) if last => break,
            Err(_) => {
                let failed =
                    Failed { choice: &choice, failure: Failure::Connect, then: Retry::Next };
                let next = Choice::make(here, route, Affinity::default(), Some(failed));
                choice = next.map_err(|_| "connect_refused")?;
            }
        }
    }
    Err("connect_refused")
}
