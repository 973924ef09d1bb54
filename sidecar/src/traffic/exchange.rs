//! One attempt: a request goes out on a connection, and the head of a response comes back.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::header::UPGRADE;
use hyper::{HeaderMap, Request, Response, StatusCode};
use mesh::{Failure, Protocol};
use tokio::task::coop::unconstrained;

use super::Here;
use super::body::{BodyFault, Playing};
use super::choose::Choice;
use super::http2::{self, Download};
use super::observation::Observation;
use super::refusal::Refusal;
use super::upstream::{self, Account, Http1};
use crate::plan::{Kind, Route};
use crate::tls;

/// Bytes that an endpoint may say before the head of its response is whole. hyper limits the head,
/// but reads interim responses as long as there are any, and everybody else of the worker waits.
const AWAITED: usize = 256 << 10;

/// What an endpoint answered: the head, and what brings the rest.
#[derive(Debug)]
pub(crate) enum Answered {
    Http1(Response<Incoming>, Http1),
    Http2(Response<Download>),
}

impl Answered {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Http1(response, _) => response.status(),
            Self::Http2(response) => response.status(),
        }
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        match self {
            Self::Http1(response, _) => response.headers(),
            Self::Http2(response) => response.headers(),
        }
    }
}

/// What went wrong, for the decision about another attempt, and for the client.
pub(crate) type Attempt = Result<Answered, (Failure, Refusal)>;

/// Makes one attempt. `seen`: whoever looks on, if somebody does.
pub(crate) async fn exchange(
    here: &Here<'_>,
    route: &Arc<Route>,
    choice: &Choice,
    request: Request<Playing>,
    attempt: u32,
    seen: Option<&Observation>,
) -> Attempt {
    if choice.endpoint.id.protocol == Protocol::Grpc {
        // In a box, as every connection keeps room for the largest of its request's futures.
        let answered = Box::pin(http2::exchange(here, route, choice, request, seen)).await;
        return answered.map(Answered::Http2);
    }
    let mut connection = match checkout(here, route, choice, &request, attempt) {
        Some(connection) => connection,
        None => match Box::pin(connect(here, route, choice, seen)).await {
            Ok(connection) => connection,
            Err(Refusal::ConnectRefused) if route.kind == Kind::Local => {
                return Err((Failure::Connect, Refusal::LocalRefused));
            }
            Err(refusal) => return Err((Failure::Connect, refusal)),
        },
    };
    connection.notes.received.set(false);
    connection.notes.awaited.set(Some(AWAITED));
    // The request also goes through the connection's driver, and so does the response: as that is
    // asked right after, it has nobody to wake, and the task is not run once more for nothing. Nor
    // may it be put off by the budget of the task, as only the waker would then know of it.
    let mut sent = pin!(unconstrained(connection.sender.try_send_request(request)));
    let answered = poll_fn(|cx| {
        connection.driver.drive(cx);
        sent.as_mut().poll(&mut nobody())
    });
    match answered.await {
        Ok(response) => {
            connection.notes.awaited.set(None);
            Ok(Answered::Http1(response, connection))
        }
        Err(error) => Err(classify(error, &connection)),
    }
}

async fn connect(
    here: &Here<'_>,
    route: &Route,
    choice: &Choice,
    seen: Option<&Observation>,
) -> Result<Http1, Refusal> {
    let clock = here.worker.shared.clock;
    let began = clock.now();
    let account = Account { worker: here.worker, side: here.port.side, route };
    let (stream, notes) = upstream::connect(account, &choice.endpoint).await?;
    if let Some(seen) = seen {
        seen.connected(clock.now().saturating_sub(began));
    }
    upstream::speak(stream, notes, here.worker.shared.settings().header_case).await
}

/// A pooled connection that is fit for the request.
fn checkout(
    here: &Here<'_>,
    route: &Route,
    choice: &Choice,
    request: &Request<Playing>,
    attempt: u32,
) -> Option<Http1> {
    let idempotent = request.method().is_idempotent();
    // The first may have met a connection that was stale; then so are the others. And an
    // application that is about to end may end its connections at any moment.
    let leaving = route.kind == Kind::Local && here.worker.is_leaving();
    // And what turns into something else gets a connection of its own.
    let upgrade = request.headers().contains_key(UPGRADE);
    if upgrade || attempt > 1 || (leaving && !idempotent) {
        return None;
    }
    loop {
        let mut connection = here.worker.pool.take(choice.endpoint.pool)?;
        // What may not be sent twice is worth the question to the system.
        connection.notes.probe.set(!idempotent);
        // It is moved on once more when it has the request, and waits for something then.
        if connection.is_open(&mut nobody()) {
            return Some(connection);
        }
    }
}

/// What is polled so, wakes nobody.
fn nobody() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// What the failure of a request says about whether it was processed, and to its sender.
fn classify(mut error: TrySendError<Request<Playing>>, connection: &Http1) -> (Failure, Refusal) {
    if error.take_message().is_some() {
        return (Failure::NeverWritten, Refusal::Reset);
    }
    let error = error.into_error();
    tracing::debug!(%error, "no response");
    if let Some(refusal) = BodyFault::behind(&error) {
        (Failure::Unknown, refusal)
    } else if tls::behind(&error) {
        (Failure::Unknown, Refusal::TlsFailed)
    } else if connection.reused && !connection.notes.received.get() {
        (Failure::ReusedConnectionDied, Refusal::Reset)
    } else if error.is_parse() || connection.notes.is_idle_talk() {
        (Failure::Unknown, Refusal::BadResponse)
    } else {
        (Failure::Unknown, Refusal::Reset)
    }
}
