//! A request's way: what does it ask for, may it, do it, wait, answer.

use std::time::Instant;

use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use tokio::time::sleep;

use super::reply::{self, Forward, Group, Problem, Reply};
use super::{Answers, Calls, grpc};
use crate::chain::Chain;

/// The body of an answer: what is told of a request, or a gRPC call's own messages.
pub(super) type Answer = Either<Full<Bytes>, grpc::Echo>;

/// The service behind all HTTP ports.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) instance: String,
    pub(super) answers: Answers,
    pub(super) calls: Calls,
}

/// What a request came to.
struct Outcome {
    status: StatusCode,
    /// What the message says the request did.
    verdict: String,
    groups: Option<Vec<Group>>,
    error: Option<Problem>,
}

impl Service {
    /// Answers one request.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Answer> {
        if request.uri().path() == "/health" {
            return Response::new(Either::Left(Full::default()));
        }
        let (parts, body) = request.into_parts();
        if grpc::is_call(&parts) {
            self.echo(&parts, body).await.map(Either::Right)
        } else {
            self.tell(&parts, body).await.map(Either::Left)
        }
    }

    /// Sends a gRPC call's messages back.
    async fn echo(&self, parts: &Parts, messages: Incoming) -> Response<grpc::Echo> {
        let failed = self.answers.fail_rate.next();
        sleep(self.answers.delay).await;
        tracing::info!(method = "gRPC", target = parts.uri.path(), failed, "request");
        if failed {
            return grpc::unavailable(parts, &self.fail_reason());
        }
        let who =
            [("x-mockserver-service", &*self.name), ("x-mockserver-instance", &*self.instance)];
        grpc::echo(parts, messages, &who)
    }

    /// Does what a request asks for and tells of it.
    async fn tell(&self, parts: &Parts, body: Incoming) -> Response<Full<Bytes>> {
        let started = Instant::now();
        let received_date = Timestamp::now().to_string();
        let body_bytes = drain(body).await;
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());

        let outcome = self.outcome(parts, target).await;
        sleep(self.answers.delay).await;

        let Outcome { status, verdict, groups, error } = outcome;
        let failed = groups.iter().flatten().flat_map(|group| &group.sequential_forwards);
        let failed = failed.filter(|forward| forward.failed()).count();
        tracing::info!(
            method = %parts.method, target, status = status.as_u16(), failed_calls = failed,
            ms = started.elapsed().as_millis(), "request"
        );
        let shown = target.strip_prefix('/').unwrap_or(target);
        let reply = Reply {
            received_date,
            message: format!("request '{shown}' {verdict}."),
            parallel_forwards: groups,
            request_info: reply::request_info(parts),
            service: self.name.clone(),
            instance: self.instance.clone(),
            body_bytes: (body_bytes > 0).then_some(body_bytes),
            error,
        };
        let mut response = Response::new(Full::new(reply.to_bytes()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    async fn outcome(&self, parts: &Parts, target: &str) -> Outcome {
        if parts.method == Method::CONNECT {
            let reason = "this is a service and no proxy: it opens no tunnel".to_owned();
            return refused(StatusCode::METHOD_NOT_ALLOWED, "no_proxy", reason);
        }
        if self.answers.fail_rate.next() {
            return Outcome {
                status: self.answers.fail_status,
                verdict: "failed".into(),
                groups: None,
                error: Some(Problem { code: "fail_rate", reason: self.fail_reason() }),
            };
        }
        let Some(chain) = Chain::parse(target) else {
            return self.done(None);
        };
        if let Err(error) = self.calls.bounds.check(&chain) {
            return refused(StatusCode::BAD_REQUEST, error.code(), error.to_string());
        }
        self.done(Some(self.calls.carry_out(&chain, &parts.headers).await))
    }

    fn fail_reason(&self) -> String {
        format!("a share of {} of all requests fail (-failRate)", self.answers.fail_rate.share())
    }

    fn done(&self, groups: Option<Vec<Group>>) -> Outcome {
        let mut forwards = groups.iter().flatten().flat_map(|group| &group.sequential_forwards);
        if self.answers.fail_on_forward_error && forwards.any(Forward::failed) {
            let reason = "a call failed, see ParallelForwards (-failOnForwardError)".to_owned();
            return Outcome {
                status: StatusCode::BAD_GATEWAY,
                verdict: "failed".into(),
                groups,
                error: Some(Problem { code: "forward_error", reason }),
            };
        }
        Outcome { status: self.answers.status, verdict: "succeeded".into(), groups, error: None }
    }
}

fn refused(status: StatusCode, code: &'static str, reason: String) -> Outcome {
    let verdict = format!("refused: {reason}");
    Outcome { status, verdict, groups: None, error: Some(Problem { code, reason }) }
}

/// Receives a body to its end and counts it; one that breaks off counts as far as it came.
async fn drain(mut body: Incoming) -> u64 {
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    length
}
