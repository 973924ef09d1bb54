//! Carrying a chain out.

use std::time::Instant;

use futures::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Request, StatusCode};
use tokio::time::timeout;

use super::Calls;
use super::reply::{Forward, Group, nest};
use crate::chain::{Call, Chain, Step};
use crate::client::NoAnswer;
use crate::context;

/// A callee's answer that is longer is left out of ours.
const LONGEST_RESPONSE: usize = 256 << 10;
const OURSELVES: &str = concat!("mockserver/", env!("CARGO_PKG_VERSION"));

impl Calls {
    /// Makes all calls of `chain`, with what `inbound` brought for them.
    pub(super) async fn carry_out(&self, chain: &Chain, inbound: &HeaderMap) -> Vec<Group> {
        let groups = chain.groups.iter().map(async |steps| {
            let mut sequential_forwards = Vec::with_capacity(steps.len());
            for step in steps {
                sequential_forwards.push(self.step(step, &chain.remainder, inbound).await);
            }
            Group { sequential_forwards }
        });
        join_all(groups).await
    }

    async fn step(&self, step: &Step, remainder: &str, inbound: &HeaderMap) -> Forward {
        match step {
            Step::Call(call) => self.call(call, remainder, inbound).await,
            Step::Faulty { text, error } => {
                let url = format!("http://{text}{remainder}");
                failure(url, 0.0, error.to_string())
            }
        }
    }

    async fn call(&self, call: &Call, remainder: &str, inbound: &HeaderMap) -> Forward {
        let authority = call.authority();
        let url = format!("http://{authority}{remainder}");
        let started = Instant::now();
        let exchange = timeout(self.timeout, self.exchange(&url, call, inbound)).await;
        let outcome = exchange.unwrap_or(Err(NoAnswer::Late(self.timeout)));
        let duration_ms = milliseconds(started);
        match outcome {
            Ok((status, body)) => {
                let (response, response_left_out) = match body.and_then(|body| nest(&body)) {
                    Ok(response) => (response, None),
                    Err(reason) => (None, Some(reason)),
                };
                Forward {
                    result: format!(
                        "success calling service \"{authority}\", status = {} {}",
                        status.as_u16(),
                        status.canonical_reason().unwrap_or_default()
                    ),
                    url,
                    status: Some(status.as_u16()),
                    duration_ms,
                    error: None,
                    response,
                    response_left_out,
                }
            }
            Err(error) => failure(url, duration_ms, error.to_string()),
        }
    }

    /// One request and the whole of its answer; or, within that, why the body is not to be nested.
    async fn exchange(
        &self,
        url: &str,
        call: &Call,
        inbound: &HeaderMap,
    ) -> Result<(StatusCode, Result<Bytes, String>), NoAnswer> {
        let mut request = Request::get(url).body(Full::default()).map_err(|error| {
            NoAnswer::NotReached(format!("no request can be made of it: {error}"))
        })?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(OURSELVES));
        headers.extend(context::outbound(inbound, &self.forward_headers, &call.headers));
        let (head, body) = self.client.send(request).await?.into_parts();
        Ok((head.status, receive(body).await?))
    }
}

impl Forward {
    /// Whether the callee gave no answer, or said that it failed.
    pub(super) fn failed(&self) -> bool {
        self.status.is_none_or(|status| status >= 500)
    }
}

fn failure(url: String, duration_ms: f64, error: String) -> Forward {
    Forward {
        result: format!("failure calling service \"{url}\", \"{error}\""),
        url,
        status: None,
        duration_ms,
        error: Some(error),
        response: None,
        response_left_out: None,
    }
}

/// The whole body, unless it is too long to be nested.
async fn receive(mut body: Incoming) -> Result<Result<Bytes, String>, NoAnswer> {
    let mut received = Vec::with_capacity(body.size_hint().lower().min(4096) as usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| NoAnswer::broken_off(&error))?;
        if let Ok(data) = frame.into_data() {
            if received.len() + data.len() > LONGEST_RESPONSE {
                return Ok(Err(format!("longer than {} KiB", LONGEST_RESPONSE >> 10)));
            }
            received.extend_from_slice(&data);
        }
    }
    Ok(Ok(received.into()))
}

/// Milliseconds since `started`, to the microsecond.
fn milliseconds(started: Instant) -> f64 {
    (started.elapsed().as_secs_f64() * 1_000_000.0).round() / 1000.0
}
