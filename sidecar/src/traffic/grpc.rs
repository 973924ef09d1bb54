//! gRPC: requests of HTTP/2 whose deadline stands in a header, and whose end is told by a status in
//! the trailers; or in the head, where there is no more than that.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request;
use hyper::{HeaderMap, Request, StatusCode, Version};
use mesh::{GrpcStatus, Permit, Retries, read_grpc_timeout, write_grpc_timeout};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Here;
use super::headers::ERROR;
use super::reason::Reason;
use super::refusal::Refusal;
use crate::clock::Clock;
use crate::plan::{Endpoint, Route};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// What every call is, whatever its messages are written in.
pub(crate) const TYPE: HeaderValue = HeaderValue::from_static(WORD);
const WORD: &str = "application/grpc";
/// What `grpc-message` cannot have; all that is not ASCII besides.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// A call that is under way.
#[derive(Debug)]
pub(crate) struct Call {
    deadline: Option<Instant>,
    /// Set while its response is on the way.
    alarm: Option<Pin<Box<Sleep>>>,
    /// For whom its end is of interest.
    judge: Option<Judge>,
}

/// The breaker that waits for the end of a call.
#[derive(Debug)]
struct Judge {
    route: Arc<Route>,
    /// Whose own breaker it is, where it is not that of the service.
    endpoint: Option<Arc<Endpoint>>,
    permit: Permit,
    clock: Clock,
}

/// Whether a request is a call. What is called `application/grpc-web` is not: it is for HTTP/1 too,
/// and its trailers are in the body.
pub(crate) fn is_call(version: Version, headers: &HeaderMap) -> bool {
    if version != Version::HTTP_2 {
        return false;
    }
    let Some(content) = headers.get(CONTENT_TYPE) else { return false };
    let content = content.as_bytes();
    let known = WORD.as_bytes();
    content.len() >= known.len()
        && content[..known.len()].eq_ignore_ascii_case(known)
        && matches!(content.get(known.len()), None | Some(b'+' | b';'))
}

/// The status that a head or trailers tell.
pub(crate) fn status(headers: &HeaderMap) -> Option<GrpcStatus> {
    headers.get(STATUS).map(|value| GrpcStatus::read(value.as_bytes()))
}

/// Whether a call that was answered with this head, or not at all, may be made again, as somebody has
/// named its status. Only one that is over with its head: of another, the client has seen something.
pub(crate) fn may_be_made_again(
    retries: &Retries,
    attempt: Result<(StatusCode, &HeaderMap), &Refusal>,
) -> bool {
    if retries.calls.is_empty() {
        return false;
    }
    match attempt {
        Err(refusal) => {
            // What we have refused ourselves, we would refuse again.
            let theirs = refusal.blames_the_instance() || refusal.is_reset();
            theirs && retries.calls.has(refusal.grpc_status())
        }
        Ok((code, headers)) => {
            let of_http = || (code != StatusCode::OK).then(|| GrpcStatus::of_http(code.as_u16()));
            let status = status(headers).or_else(of_http);
            status.is_some_and(|status| retries.calls.has(status)) && !forbids(headers)
        }
    }
}

/// Whether its server does not want the call once more (gRFC A6: "pushback").
fn forbids(headers: &HeaderMap) -> bool {
    let Some(pushback) = headers.get(PUSHBACK) else { return false };
    let millis = pushback.to_str().ok().and_then(|text| text.trim().parse::<i64>().ok());
    millis.is_none_or(|millis| millis < 0)
}

/// For how long its server wants to be left alone before.
pub(crate) fn pushback(headers: &HeaderMap) -> Option<Duration> {
    let millis = headers.get(PUSHBACK)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_millis(millis))
}

/// How a call ended whose trailers are these.
pub(crate) fn ended_with(trailers: &HeaderMap) -> GrpcStatus {
    status(trailers).unwrap_or(GrpcStatus::UNKNOWN)
}

/// The end of a call that failed on the way: as trailers, or in a head.
pub(crate) fn failure(status: GrpcStatus, word: &'static str, text: &str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(STATUS, HeaderValue::from(u16::from(status.code())));
    let message = utf8_percent_encode(text, ESCAPED).to_string();
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert(MESSAGE, message);
    }
    headers.insert(ERROR, HeaderValue::from_static(word));
    headers
}

impl Call {
    /// `None`: the request is no call. It waits for as long as `grpc-timeout` says; one that says
    /// nothing wants to wait: for a stream whose first message comes tomorrow, or for ever.
    pub(crate) fn of<B>(request: &Request<B>) -> Option<Box<Self>> {
        if !is_call(request.version(), request.headers()) {
            return None;
        }
        let timeout = request.headers().get(TIMEOUT);
        let timeout = timeout.and_then(|value| read_grpc_timeout(value.as_bytes()));
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Some(Box::new(Self { deadline, alarm: None, judge: None }))
    }

    /// The time that is left for it.
    pub(crate) fn left(&self) -> Duration {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        self.deadline.map_or(Duration::MAX, left)
    }

    /// Tells the next in line how much of the time is left.
    pub(crate) fn write_left(&self, head: &mut request::Parts) {
        if self.deadline.is_some() {
            let left = write_grpc_timeout(self.left());
            if let Ok(value) = HeaderValue::try_from(left) {
                head.headers.insert(TIMEOUT, value);
            }
        }
    }

    /// Tells the breaker of its end, which is yet to come.
    pub(crate) fn is_judged_by(
        &mut self,
        here: &Here<'_>,
        route: &Arc<Route>,
        permit: Permit,
        endpoint: Option<Arc<Endpoint>>,
    ) {
        let clock = here.worker.shared.clock;
        self.judge = Some(Judge { route: Arc::clone(route), endpoint, permit, clock });
    }

    /// Its response is on the way.
    pub(crate) fn is_answered(&mut self) {
        self.alarm = self.deadline.map(|deadline| Box::pin(sleep_until(deadline)));
    }

    /// Whether its time is over.
    pub(crate) fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let late = self.alarm.as_mut().is_some_and(|alarm| alarm.as_mut().poll(cx).is_ready());
        if late {
            self.alarm = None;
            self.ends(GrpcStatus::DEADLINE_EXCEEDED);
        }
        late
    }

    /// It has ended.
    pub(crate) fn ends(&mut self, status: GrpcStatus) {
        let Some(Judge { route, endpoint, permit, clock }) = self.judge.take() else { return };
        let success = !status.blames_the_instance();
        if let Some(endpoint) = endpoint {
            route.judge(&endpoint, clock.now(), permit, success);
        } else {
            let breaker = &route.state.breaker;
            breaker.record(&route.terms.breaker, clock.now(), permit, success);
        }
    }
}

/// The trailers of a call whose response broke off. `None`: the endpoint has reset the stream, and
/// its client is told the same.
pub(crate) fn broken_off(error: &h2::Error) -> Option<HeaderMap> {
    if error.is_reset() {
        return None;
    }
    let text = "the connection broke before the call ended";
    Some(failure(GrpcStatus::UNAVAILABLE, Reason::UpstreamReset.word(), text))
}

/// The trailers of a call that took too long.
pub(crate) fn too_late() -> HeaderMap {
    let text = "the call did not end in time";
    failure(GrpcStatus::DEADLINE_EXCEEDED, Reason::Timeout.word(), text)
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, Request, StatusCode, Version};
    use mesh::{GrpcStatus, Retries};

    use super::{Call, failure, is_call, may_be_made_again, pushback};
    use crate::traffic::refusal::Refusal;

    #[test]
    fn what_a_call_is() {
        for (version, content, expected) in [
            (Version::HTTP_2, "application/grpc", true),
            (Version::HTTP_2, "Application/GRPC+proto", true),
            (Version::HTTP_2, "application/grpc; x=y", true),
            (Version::HTTP_2, "application/grpc-web", false),
            (Version::HTTP_2, "application/grpc-web+proto", false),
            (Version::HTTP_2, "application/json", false),
            (Version::HTTP_11, "application/grpc", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", content.parse().unwrap());
            assert_eq!(is_call(version, &headers), expected, "{version:?} {content}");
        }
        assert!(!is_call(Version::HTTP_2, &HeaderMap::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_that_is_left_is_passed_on() {
        let request = Request::post("/")
            .version(Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("grpc-timeout", "10S");
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let call = Call::of(&Request::from_parts(head.clone(), ())).unwrap();
        tokio::time::advance(std::time::Duration::from_secs(4)).await;
        call.write_left(&mut head);
        assert_eq!(head.headers["grpc-timeout"], "6000000u");
    }

    #[test]
    fn who_may_be_called_again() {
        let head = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            headers
        };
        let calls = [GrpcStatus::UNAVAILABLE].into_iter().collect();
        let named = Retries { next: 1, calls, ..Retries::default() };
        let ok = StatusCode::OK;
        for (code, pairs, again) in [
            (ok, &[("grpc-status", "14")][..], true),
            (ok, &[("grpc-status", "8")], false),
            (ok, &[], false),
            (StatusCode::SERVICE_UNAVAILABLE, &[], true),
            (StatusCode::NOT_FOUND, &[], false),
            (ok, &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "-1")], false),
            (ok, &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "soon")], false),
            (ok, &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "30")], true),
        ] {
            let headers = head(pairs);
            assert_eq!(may_be_made_again(&named, Ok((code, &headers))), again, "{code} {pairs:?}");
            assert!(!may_be_made_again(&Retries::default(), Ok((code, &headers))), "{pairs:?}");
        }
        assert_eq!(pushback(&head(&[("grpc-retry-pushback-ms", "30")])).unwrap().as_millis(), 30);
        assert_eq!(pushback(&head(&[])), None);
        for (refusal, again) in [
            (Refusal::Reset, true),
            (Refusal::StreamReset(GrpcStatus::UNAVAILABLE), true),
            (Refusal::StreamReset(GrpcStatus::INTERNAL), false),
            (Refusal::Timeout, false),
            (Refusal::Full, false),
        ] {
            assert_eq!(may_be_made_again(&named, Err(&refusal)), again, "{refusal:?}");
        }
    }

    #[test]
    fn a_message_is_escaped() {
        let headers = failure(GrpcStatus::UNAVAILABLE, "loop", "100%\nüber");
        assert_eq!(headers["grpc-status"], "14");
        assert_eq!(headers["grpc-message"], "100%25%0A%C3%BCber");
        assert_eq!(headers["x-mesher-error"], "loop");
    }
}
