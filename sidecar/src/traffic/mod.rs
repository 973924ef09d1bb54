//! The way of a request through the proxy. Each step lives in the file of its name:
//!
//! ```text
//! connection → detect → destination → plan → choose → exchange → response
//! ```
//!
//! Before it, a connection was taken by [`crate::listener`] and given to a [`crate::worker`]. It
//! is one task from there to its end, and whatever a request waits for is polled within it: also
//! the connection to the instance. So nothing is handed from thread to thread, no lock is waited
//! for, and a client that goes away takes the rest with it.

mod admission;
mod body;
mod choose;
mod connect;
mod connection;
mod context;
mod deadline;
mod destination;
mod detect;
mod dial;
mod exchange;
mod framing;
mod grpc;
mod headers;
mod http2;
mod identity;
mod kept;
mod mirror;
mod observation;
mod reason;
mod refusal;
mod response;
mod rewrite;
mod secure;
mod session;
mod told;
mod trace;
mod tunnel;
mod upgrade;
mod upstream;

use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::UPGRADE;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use mesh::{Failure, Permit, Resend, Retry, resend};
use tokio::time::{sleep, timeout};

use self::body::RequestBody;
use self::choose::{Affinity, Choice, Failed};
pub(crate) use self::connection::serve;
pub(crate) use self::context::Marks;
pub(crate) use self::deadline::Alarm;
use self::deadline::in_time;
pub(crate) use self::destination::Destination;
use self::exchange::exchange;
use self::grpc::Call;
pub(crate) use self::headers::Ports;
use self::headers::VIA;
pub(crate) use self::http2::Pool as SharedConnections;
use self::kept::Kept;
use self::observation::Observation;
pub(crate) use self::reason::Reason;
use self::refusal::{Refusal, fall_back, rescue};
use self::response::ResponseBody;
pub(crate) use self::tunnel::Handover;
pub(crate) use self::upstream::{Counted, Http1};
use crate::lifecycle::Phase;
use crate::listener::{Port, Side};
use crate::plan::{Kind, Route, Ruled};
use crate::settings::Limits;
use crate::worker::{Connection, Way, Worker};

/// What a request can use: where it came in, and what its thread has.
pub(crate) struct Here<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) port: &'a Port,
    pub(crate) connection: &'a Rc<Connection>,
}

/// Answers one request. Whatever goes wrong becomes a response.
pub(crate) async fn answer(
    worker: Rc<Worker>,
    port: Arc<Port>,
    connection: Rc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let here = Here { worker: &worker, port: &port, connection: &connection };
    let mut call = Call::of(&request);
    let span = trace::begin(&here, &mut request);
    let seen = Observation::begin(&here, &request, call.is_some(), span);
    let only_head = request.method() == Method::HEAD;
    let mut response = match forward(&here, request, &seen, &mut call).await {
        Ok(response) => response,
        Err(refusal) => {
            seen.refused(&refusal);
            let mut response = if seen.falls_back(&refusal) {
                fall_back(&refusal)
            } else {
                rescue(&refusal, call.is_some(), seen.trace())
            };
            if refusal.ends_the_connection() && !connection.is_multiplexed() {
                response::ask_to_leave(&mut response);
            }
            response
        }
    };
    seen.answered(&response);
    if worker.is_leaving() && !connection.is_handed_over() {
        if connection.is_multiplexed() {
            connection.leave();
        } else {
            response::ask_to_leave(&mut response);
        }
    }
    if only_head {
        response.body_mut().omit();
    }
    if let Some(call) = call {
        response.body_mut().follow(call);
    }
    response.body_mut().hold(seen);
    connection.carries(Way::Bodies, worker.coarse_now.get());
    Ok(response)
}

/// The way of a request.
async fn forward(
    here: &Here<'_>,
    request: Request<Incoming>,
    seen: &Observation,
    call: &mut Option<Box<Call>>,
) -> Result<Response<ResponseBody>, Refusal> {
    let shared = &here.worker.shared;
    let Limits { header_fields, body_bytes, request_timeout, .. } = shared.settings().limits;

    // A message that two readers could take for two different ones goes no further.
    let (mut head, body) = {
        // What is looked at here keeps its room until it goes out of scope.
        let request = request;
        if request.method() == Method::CONNECT {
            return Box::pin(connect::open(here, request, seen)).await;
        }
        framing::check(&request, header_fields)?;
        request.into_parts()
    };
    let body = RequestBody::new(body, body_bytes)?;
    seen.receives(body.received());
    if declines(here, &head) {
        forget(here, &body).await;
        return Err(Refusal::Draining);
    }

    if let Some(answer) = identity::answer(here, &head) {
        return Ok(answer);
    }

    // Whom is it for, and how is that reached?
    let destination = Destination::of(here, &mut head)?;
    http2::normalize(&mut head, body.is_some());
    let route = destination.route(here, &head).await?;
    route.state.touch(here.worker.coarse_now.get());
    let route = seen.goes(route);
    let terms = &route.terms;
    let ruled = route.ruled.as_deref();
    if let Some(ruled) = ruled
        && let Some(told) = &ruled.told
    {
        return Ok(answered_by(ruled, told::response(told, &head)));
    }

    // May it go there at all?
    admission::admit(here, route, &head)?;
    if !admission::enter(here, route, seen) || terms.fault.is_on() {
        // In a box, as hardly any request has to wait, and each would keep room for it.
        Box::pin(admission::hold_up(here, route, seen)).await?;
    }
    let permit = if route.breaks_each() {
        // It is asked for once it is known who gets the request.
        Permit::Pass
    } else {
        route.state.breaker.admit(&terms.breaker, || shared.clock.now())
    };
    if permit == Permit::Refused {
        return Err(Refusal::CircuitOpen { service: Arc::clone(&route.state.key.name) });
    }

    // What the next in line is told.
    {
        let upgrade = upgrade::asked(&head);
        match here.port.side {
            Side::Consumer => headers::for_instance(here, &mut head, route, &destination),
            Side::Provider => headers::for_application(&mut head),
        }
        if let Some(rewrite) = ruled.and_then(|ruled| ruled.rewrite.as_deref()) {
            rewrite::rewrite(rewrite, &mut head);
        }
        if let Some(protocols) = upgrade {
            upgrade::ask(&mut head, protocols);
        }
        let told = if route.kind == Kind::Outside {
            None
        } else {
            route.limits.mark(&destination::Head(&head)).cloned()
        };
        if let Some(mark) = told {
            head.headers.insert(mesh::route::MARK, mark);
        }
        // It has a view of the buffer that the next head is to be read into.
        drop(destination);
    }

    if !route.mirrors.is_empty() {
        mirror::copy(here, route, &head, &body);
    }

    let mut call = call.as_deref_mut();
    let is_call = call.is_some();
    let limit = terms.timeout.unwrap_or(request_timeout);
    let limit = call.as_ref().map_or(limit, |call| call.left());
    // A call's time is not what it may stand still for, but all that it has.
    let moved = || !is_call && body.moved();
    let answered = {
        let sent = pin!(send(here, route, head, &body, call.as_deref_mut(), seen));
        in_time(here.connection.alarm(), limit, moved, sent).await
    };
    let answered = answered.unwrap_or_else(|| {
        let awaited = !is_call && body.is_awaited();
        Err(if awaited { Refusal::SlowClient } else { Refusal::Timeout })
    });

    // What does the breaker learn of it?
    if !route.breaks_each() {
        let success = match &answered {
            Err(refusal) => Some(!refusal.blames_the_instance()),
            Ok(response) => went_well(route, is_call, response.status(), response.headers()),
        };
        match (success, call) {
            (None, Some(call)) => call.is_judged_by(here, route, permit, None),
            (success, _) => {
                let success = success.unwrap_or(true);
                route.state.breaker.record(&terms.breaker, shared.clock.now(), permit, success);
            }
        }
    }
    if answered.as_ref().is_err_and(Refusal::is_declined) {
        forget(here, &body).await;
    }
    match &route.ruled {
        None => answered,
        Some(ruled) => answered.map(|response| answered_by(ruled, response)),
    }
}

/// A response, as the rule wants it that its request followed.
fn answered_by(ruled: &Ruled, mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    if let Some(edits) = &ruled.response {
        edits.make(response.headers_mut());
    }
    response
}

/// Whether the breaker learns of a success. `None`: the end of the call will tell.
fn went_well(
    route: &Route,
    is_call: bool,
    status: StatusCode,
    headers: &HeaderMap,
) -> Option<bool> {
    if is_call {
        return grpc::status(headers).map(|status| !status.blames_the_instance());
    }
    Some(!route.terms.fails(status.as_u16()))
}

/// Makes sure that a refusal is read, which a peer acts upon. A stream of HTTP/2 ends without its
/// connection, so there is nothing to be done.
async fn forget(here: &Here<'_>, body: &RequestBody) {
    if !here.connection.is_multiplexed() {
        Box::pin(body.swallow()).await;
    }
}

/// Whether somebody else has to answer: once no connections are taken any more, the application
/// may end at any moment. Only a peer of ours is told so, as it sends the request elsewhere.
fn declines(here: &Here<'_>, head: &Parts) -> bool {
    here.port.side == Side::Provider
        && here.worker.shared.lifecycle.phase() >= Phase::Closing
        && head.headers.contains_key(VIA)
}

/// Sends a request to an endpoint of its route; once more where that can do no harm, and more often
/// where it was asked for.
async fn send(
    here: &Here<'_>,
    route: &Arc<Route>,
    mut head: Parts,
    body: &RequestBody,
    mut call: Option<&mut Call>,
    seen: &Observation,
) -> Result<Response<ResponseBody>, Refusal> {
    let idempotent = head.method.is_idempotent();
    let upgrade = head.headers.contains_key(UPGRADE);
    let affinity = Affinity::of(here, route, &head);
    let mut attempts = 0;
    let choice = Choice::make(here, route, affinity, None);
    let mut choice = choice.map_err(|unchosen| unchosen.refusal(route))?;
    loop {
        choice.check_loop(here)?;
        seen.chooses(&choice.endpoint);
        attempts += 1;
        let kept = Kept::of(&head);
        if choice.endpoint.id.by_peer {
            headers::for_peer(here, &mut head, &choice.endpoint);
        }
        let request = Request::from_parts(head, body.play());
        let attempt = match route.terms.retries.try_timeout {
            None => exchange(here, route, &choice, request, attempts, Some(seen)).await,
            Some(limit) => {
                let attempt = exchange(here, route, &choice, request, attempts, Some(seen));
                let attempt = Box::pin(timeout(limit, attempt)).await;
                attempt.unwrap_or(Err((Failure::TryTimeout, Refusal::Timeout)))
            }
        };

        let named = call.is_some() && {
            let head = attempt.as_ref().map(|answered| (answered.status(), answered.headers()));
            grpc::may_be_made_again(&route.terms.retries, head.map_err(|(_, refusal)| refusal))
        };
        let failure = match &attempt {
            Ok(answered) if response::declined(route, &choice.endpoint, answered.headers()) => {
                Some(Failure::PeerDeclined)
            }
            Ok(answered) if route.terms.fails(answered.status().as_u16()) => Some(Failure::Status),
            Ok(_) => named.then_some(Failure::Status),
            Err((failure, _)) => Some(*failure),
        };
        match &attempt {
            Ok(answered) => choice.ended(here, route, Some(answered.status().as_u16())),
            Err((_, refusal)) if refusal.blames_the_instance() => choice.ended(here, route, None),
            Err(_) => {}
        }
        if route.breaks_each() {
            let success = match &attempt {
                Err((_, refusal)) => Some(!refusal.blames_the_instance()),
                Ok(it) => went_well(route, call.is_some(), it.status(), it.headers()),
            };
            choice.judged(here, route, success, call.as_deref_mut());
        }
        if failure.is_some_and(|failure| failure != Failure::Status) {
            choice.endpoint.failures.fetch_add(1, Ordering::Relaxed);
        }
        if route.kind == Kind::Service
            && matches!(failure, Some(Failure::Connect | Failure::PeerDeclined))
        {
            here.worker.shared.plans.doubt(&route.state.key);
        }
        let pushback = attempt.as_ref().ok().filter(|_| named);
        let tries = Tries {
            harmless: idempotent || named,
            made: attempts,
            replayable: body.is_whole(),
            least: pushback.and_then(|answered| grpc::pushback(answered.headers())),
        };
        let again =
            failure.and_then(|failure| Some((failure, again(here, route, failure, tries)?)));
        let next = match again {
            None => None,
            Some((failure, Again { then, wait })) => {
                if !wait.is_zero() {
                    Box::pin(sleep(wait)).await;
                }
                let failed = Failed { choice: &choice, failure, then };
                let next = Choice::make(here, route, affinity, Some(failed));
                next.ok().zip(kept.head()).inspect(|_| seen.resent(failure))
            }
        };
        let Some((next, again)) = next else {
            body.keep_no_longer();
            let answered = attempt.map_err(|(_, refusal)| refusal)?;
            let session = choice.endpoint.session;
            let mut response = response::finish(here, route, choice, answered, upgrade)?;
            session::tell(route, session, response.headers_mut());
            return Ok(response);
        };
        (choice, head) = (next, again);
        if let Some(call) = call.as_deref() {
            call.write_left(&mut head);
        }
    }
}

/// What was tried of a request.
#[derive(Debug, Clone, Copy)]
struct Tries {
    /// Its method may be done twice, or somebody said that it may be.
    harmless: bool,
    made: u32,
    /// Nothing of its body is lost.
    replayable: bool,
    /// How long its server wants to be left alone.
    least: Option<Duration>,
}

/// Another attempt.
#[derive(Debug, Clone, Copy)]
struct Again {
    then: Retry,
    wait: Duration,
}

/// Whether there is another attempt: what does no harm is free, and all else is what the service was
/// said to bear.
fn again(here: &Here<'_>, route: &Route, failure: Failure, tries: Tries) -> Option<Again> {
    let Tries { harmless, made, replayable, least } = tries;
    if resend(failure, harmless, made, replayable) == Resend::Again {
        return Some(Again { then: Retry::Next, wait: Duration::ZERO });
    }
    let retries = &route.terms.retries;
    let then = retries.again(failure, harmless, made).filter(|_| replayable)?;
    if !route.state.budget.withdraw(retries.budget, here.worker.shared.clock.now()) {
        return None;
    }
    let wait = least.unwrap_or_else(|| retries.backoff.wait(made, fastrand::u64(..)));
    Some(Again { then, wait })
}

#[cfg(test)]
mod tests {
    use super::answer;

    /// The size of what an async function of four arguments returns.
    fn size<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// Every connection has room for the future of a request, also while it idles. A future grows
    /// by whatever lives across an `.await`; one that is passed by value is even kept twice: pin
    /// it where it is made, and put what is rarely needed into a box.
    #[test]
    fn a_connection_that_idles_is_small() {
        let size = size(answer);
        assert!(size <= 3_500, "{size} bytes");
    }
}
