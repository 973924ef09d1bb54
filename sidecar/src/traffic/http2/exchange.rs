//! One attempt over HTTP/2: a stream, until the head of a response comes back.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use h2::Reason;
use hyper::header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use hyper::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use hyper::{Request, Response, Version};
use mesh::{Failure, GrpcStatus};
use tokio::time::timeout;

use super::client::{Lease, Shared, handshake};
use super::download::Download;
use super::pool::Found;
use super::upload::Upload;
use crate::listener::Side;
use crate::plan::{Endpoint, Kind, Route};
use crate::traffic::Here;
use crate::traffic::body::{BodyFault, Playing};
use crate::traffic::choose::Choice;
use crate::traffic::observation::Observation;
use crate::traffic::refusal::Refusal;
use crate::traffic::upstream::{Account, connect};
use crate::worker::Worker;

/// What went wrong, for the decision about another attempt, and for the client.
type Failed = (Failure, Refusal);

/// Makes one attempt.
pub(crate) async fn exchange(
    here: &Here<'_>,
    route: &Arc<Route>,
    choice: &Choice,
    request: Request<Playing>,
    seen: Option<&Observation>,
) -> Result<Response<Download>, Failed> {
    let lease = match checkout(here, route, choice, request.method().is_idempotent(), seen).await {
        Ok(lease) => lease,
        Err(Refusal::ConnectRefused) if route.kind == Kind::Local => {
            return Err((Failure::Connect, Refusal::LocalRefused));
        }
        Err(refusal) => return Err((Failure::Connect, refusal)),
    };
    let mut sender = lease.sender();
    let never_written = |_| (Failure::NeverWritten, Refusal::Reset);
    poll_fn(|cx| sender.poll_ready(cx)).await.map_err(never_written)?;
    let (request, body) = denormalize(request, &choice.endpoint)?;
    let end = http_body::Body::is_end_stream(&body);
    let sent = sender.send_request(request, end);
    let (mut response, stream) = sent.map_err(|error| {
        // The head is one that HTTP/2 cannot carry, or the connection has just ended.
        tracing::debug!(%error, "not sent");
        (Failure::NeverWritten, Refusal::Reset)
    })?;
    let mut upload = (!end).then(|| Upload::new(body, stream));
    let answered = poll_fn(|cx| {
        if let Some(uploading) = &mut upload
            && let Poll::Ready(ended) = uploading.poll(cx)
        {
            upload = None;
            if let Err(fault) = ended {
                let refusal = match fault {
                    BodyFault::TooLong => Refusal::TooLong,
                    BodyFault::Client(_) => Refusal::ClientGone,
                };
                return Poll::Ready(Err((Failure::Unknown, refusal)));
            }
        }
        let answered = std::task::ready!(Pin::new(&mut response).poll(cx));
        Poll::Ready(answered.map_err(|error| classify(&error, &lease)))
    });
    let (head, incoming) = answered.await?.into_parts();
    lease.serves();
    let upload = upload.map(Upload::detach);
    Ok(Response::from_parts(head, Download::new(incoming, upload, lease)))
}

/// A connection that is fit for the request.
async fn checkout(
    here: &Here<'_>,
    route: &Arc<Route>,
    choice: &Choice,
    idempotent: bool,
    seen: Option<&Observation>,
) -> Result<Lease, Refusal> {
    let pool = &here.worker.http2;
    let endpoint = &choice.endpoint;
    loop {
        let found = poll_fn(|cx| Poll::Ready(pool.find(endpoint.pool, cx))).await;
        let coming = match found {
            // What may not be sent twice is worth the question to the system, unless others hear of
            // the connection all the time.
            Found::Open(lease) if idempotent || lease.has_company() || lease.probe() => {
                return Ok(lease);
            }
            Found::Open(_) => continue,
            Found::Coming(coming) => coming,
            Found::Nothing => {
                let worker = Rc::clone(here.worker);
                let opened = open(worker, here.port.side, Arc::clone(route), Arc::clone(endpoint));
                pool.join(endpoint.pool, opened)
            }
        };
        let clock = here.worker.shared.clock;
        let began = clock.now();
        // It is as fresh as can be. Many may have waited for it; h2 has them wait on.
        let lease = coming.await?.lease();
        if let Some(seen) = seen {
            seen.connected(clock.now().saturating_sub(began));
        }
        return Ok(lease);
    }
}

/// Opens a connection, for all who wait for one.
async fn open(
    worker: Rc<Worker>,
    side: Side,
    route: Arc<Route>,
    endpoint: Arc<Endpoint>,
) -> Result<Rc<Shared>, Refusal> {
    let opened = async {
        let account = Account { worker: &worker, side, route: &route };
        let (stream, notes) = connect(account, &endpoint).await?;
        let shared = &worker.shared;
        let begun = handshake(stream, notes, shared.clock.now());
        let limit = shared.settings().limits.connect_timeout;
        timeout(limit, begun).await.unwrap_or(Err(Refusal::ConnectTimeout))
    }
    .await;
    worker.http2.came(endpoint.pool, opened.as_ref().ok());
    opened
}

/// Gives a head that is one of HTTP/1.1 the form of HTTP/2.
fn denormalize(
    request: Request<Playing>,
    endpoint: &Endpoint,
) -> Result<(Request<()>, Playing), Failed> {
    let (mut head, body) = request.into_parts();
    head.version = Version::HTTP_2;
    let host = head.headers.remove(HOST);
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        head.headers.remove(name);
    }
    let named = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let authority = named.map_or_else(|| endpoint.id.address.to_string().parse(), Ok);
    let scheme = if endpoint.id.tls { Scheme::HTTPS } else { Scheme::HTTP };
    let path = head.uri.path_and_query().cloned();
    let path = path.unwrap_or(PathAndQuery::from_static("/"));
    let uri = authority.ok().and_then(|authority| {
        let builder = Uri::builder().scheme(scheme).authority(authority);
        builder.path_and_query(path).build().ok()
    });
    head.uri = uri.ok_or((Failure::Unknown, Refusal::NoDestination))?;
    Ok((Request::from_parts(head, ()), body))
}

/// What the failure of a stream says about whether it was processed, and to its sender.
fn classify(error: &h2::Error, lease: &Lease) -> Failed {
    tracing::debug!(%error, "no response");
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    if error.is_remote() && (refused || error.is_go_away()) {
        // A GOAWAY is an error only of those streams that it says were not looked at.
        return (Failure::RefusedStream, Refusal::Reset);
    }
    if error.is_io() {
        let reused = lease.has_served();
        let failure = if reused { Failure::ReusedConnectionDied } else { Failure::Unknown };
        return (failure, Refusal::Reset);
    }
    match error.reason() {
        Some(reason) if error.is_remote() && error.is_reset() => {
            (Failure::Unknown, Refusal::StreamReset(GrpcStatus::of_reset(reason.into())))
        }
        _ => (Failure::Unknown, Refusal::BadResponse),
    }
}
