//! A review's way through the server, from the head of the request to the bytes of the answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request, Uri, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Body as HttpBody;

use super::body::{discard, receive};
use super::budget::{Budget, Ticket};
use super::live::Live;
use super::metrics::Metrics;
use super::refusal::Refusal;
use crate::admission::{Answer, Review, answer};
use crate::content::Node;
use crate::outcome::{Outcome, Rejected, Skipped};
use crate::patch::Patch;
use crate::policy::{OnError, Policy};
use crate::reason::Reason;
use crate::request::RequestInfo;

/// From here on, where a review may take more than a millisecond, it leaves the thread that serves
/// other connections too.
const COSTLY: usize = 256 << 10;

/// The decision about one pod: [`crate::inject()`], but for tests.
pub(super) type Decide = for<'p> fn(Node<'_>, &RequestInfo, &'p Policy) -> Outcome<'p>;

/// What every review needs.
#[derive(Debug)]
pub(super) struct Reviews {
    pub(super) live: Arc<Live>,
    pub(super) budget: Arc<Budget>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) longest_body: usize,
    pub(super) longest_time: Duration,
    pub(super) longest_receiving: Duration,
    pub(super) decide: Decide,
}

/// Answers one request to `/mutate`.
pub(super) async fn review<B>(reviews: &Arc<Reviews>, request: Request<B>) -> Response
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let started = Instant::now();
    let response = match reviews.answer(request, started).await {
        Ok(answer) => {
            let mut response = Response::new(Body::from(answer));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        }
        Err(refusal) => {
            let (status, problem) = (refusal.status().as_u16(), refusal.to_string());
            if matches!(refusal, Refusal::Overloaded) {
                reviews.metrics.overloaded();
                tracing::info!(status, reason = Reason::Overloaded.as_str(), problem, "refused");
            } else {
                tracing::debug!(status, problem, "refused");
            }
            refusal.into_response()
        }
    };
    reviews.metrics.answered(response.status(), started.elapsed());
    response
}

impl Reviews {
    async fn answer<B>(
        self: &Arc<Self>,
        request: Request<B>,
        started: Instant,
    ) -> Result<Vec<u8>, Refusal>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        let deadline = started + time_allowed(request.uri(), self.longest_time);
        let announced = announced_length(&request);
        let plain_json = is_plain_json(&request);
        let mut body = request.into_body();

        // 1. Is it for us, and is there room?
        let admitted = if plain_json {
            self.budget.enter().ok_or(Refusal::Overloaded)
        } else {
            Err(Refusal::MediaType)
        };
        // 2. Receive it, weighing as it comes what reading it will take.
        let received = match admitted {
            Ok(mut ticket) => {
                let until = deadline.min(started + self.longest_receiving);
                receive(&mut body, announced, self.longest_body, until.into(), &mut ticket)
                    .await
                    .map(|bytes| (bytes, ticket))
            }
            Err(refusal) => Err(refusal),
        };
        let (bytes, ticket) = match received {
            Ok(received) => received,
            Err(refusal) => {
                discard(body, announced).await;
                return Err(refusal);
            }
        };
        // 3. Read, decide, write.
        if bytes.len() < COSTLY {
            return self.decide(&bytes, started, ticket);
        }
        let reviews = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || reviews.decide(&bytes, started, ticket));
        match tokio::time::timeout_at(deadline.into(), work).await {
            Ok(Ok(decided)) => decided,
            Ok(Err(_)) | Err(_) => Err(Refusal::Deadline),
        }
    }

    fn decide(&self, body: &[u8], started: Instant, ticket: Ticket) -> Result<Vec<u8>, Refusal> {
        let review = Review::read(body)?;
        let policy = self.live.policy();
        // A fault in the core is ours, not the pod's: the connection lives on, and the operator's
        // choice of what to do with the pod applies.
        let (outcome, answer) = catch_unwind(AssertUnwindSafe(|| {
            let outcome = (self.decide)(Node::from(&review.object), &review.request, &policy);
            let answer = answer(review.version, &review.request.uid, &outcome);
            (outcome, answer)
        }))
        .unwrap_or_else(|_| {
            let outcome = internal_error(policy.on_error);
            let answer = answer(review.version, &review.request.uid, &outcome);
            (outcome, answer)
        });
        self.metrics.decided(&outcome, answer.patch_bytes);
        log(&review, &outcome, &answer, started);
        drop(ticket);
        Ok(answer.body)
    }
}

/// One line for each decision. It names the pod, and nothing that the pod holds.
fn log(review: &Review<'_>, outcome: &Outcome<'_>, answer: &Answer, started: Instant) {
    let request = &review.request;
    tracing::info!(
        namespace = request.namespace,
        pod = review.pod_name(),
        reason = outcome.word(),
        field = match outcome {
            Outcome::Rejected(rejected) => Some(rejected.field.as_str()),
            _ => None,
        },
        patch_bytes = answer.patch_bytes,
        dry_run = request.dry_run,
        micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        uid = request.uid,
        "{}",
        match outcome {
            Outcome::Injected(_) => "injected",
            Outcome::Skipped(_) => "skipped",
            Outcome::Rejected(_) => "rejected",
        },
    );
}

/// What becomes of a pod when the injector itself fails.
fn internal_error(on_error: OnError) -> Outcome<'static> {
    let message = "internal_error: the sidecar injector failed; its log says where";
    match on_error {
        OnError::Allow => Outcome::Skipped(Skipped {
            reason: Reason::InternalError,
            message: message.into(),
            asked: true,
            patch: Patch::empty(),
            warnings: vec![format!("no sidecar: {message}")],
        }),
        OnError::Deny => Outcome::Rejected(Rejected {
            reason: Reason::InternalError,
            field: String::new(),
            message: message.into(),
            warnings: Vec::new(),
        }),
    }
}

/// `application/json` in any case and with any parameters, and not compressed.
fn is_plain_json<B>(request: &Request<B>) -> bool {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let media_type = text(header::CONTENT_TYPE).and_then(|value| value.split(';').next());
    let encoding = text(header::CONTENT_ENCODING).unwrap_or("identity");
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
        && encoding.eq_ignore_ascii_case("identity")
}

fn announced_length<B>(request: &Request<B>) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The API server says in `?timeout=5s` how long it waits; the answer has to be there before. A
/// value that is no duration leaves the configured bound.
fn time_allowed(uri: &Uri, longest: Duration) -> Duration {
    let asked = uri
        .query()
        .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("timeout=")))
        .and_then(|text| humantime::parse_duration(text).ok())
        .filter(|asked| !asked.is_zero());
    asked.map_or(longest, |asked| {
        let margin = (asked / 10).min(Duration::from_millis(500));
        longest.min(asked.saturating_sub(margin))
    })
}

#[cfg(test)]
mod tests {
    use super::super::budget::Hold;
    use super::*;
    use crate::config::{Config, load_templates};
    use axum::http::StatusCode;
    use http_body_util::BodyExt;
    use serde_json::Value;
    use std::path::Path;

    const REVIEW: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",
        "request":{"uid":"u-1","namespace":"shop","object":{"metadata":{"name":"orders"}}}}"#;

    fn reviews(config: &str, decide: Decide, budget: Arc<Budget>) -> Arc<Reviews> {
        let config = Config::parse(Path::new("f"), config).unwrap();
        Arc::new(Reviews {
            live: Arc::new(Live::new(config, load_templates(None).unwrap(), None).unwrap()),
            budget,
            metrics: Arc::new(Metrics::new()),
            longest_body: 10_000,
            longest_time: Duration::from_secs(5),
            longest_receiving: Duration::from_secs(5),
            decide,
        })
    }

    async fn post(reviews: &Arc<Reviews>, body: impl Into<Body>) -> (StatusCode, String) {
        let request = Request::post("/mutate?timeout=5s")
            .header("content-type", "Application/JSON; charset=utf-8")
            .body(body.into())
            .unwrap();
        let response = super::super::routes::webhook(reviews, request).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn skip<'p>(_: Node<'_>, _: &RequestInfo, _: &'p Policy) -> Outcome<'p> {
        Outcome::Skipped(Skipped {
            reason: Reason::NotRequested,
            message: String::new(),
            asked: false,
            patch: Patch::empty(),
            warnings: Vec::new(),
        })
    }

    fn panics<'p>(_: Node<'_>, _: &RequestInfo, _: &'p Policy) -> Outcome<'p> {
        panic!("on purpose")
    }

    #[tokio::test]
    async fn r37_a_panic_lets_the_pod_through_with_a_warning() {
        let budget = Budget::new(10, 100_000);
        let reviews = reviews("", panics, Arc::clone(&budget));
        let (status, body) = post(&reviews, REVIEW).await;
        assert_eq!(status, StatusCode::OK);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["response"]["uid"], "u-1");
        assert_eq!(body["response"]["allowed"], true);
        assert!(body["response"].get("patch").is_none());
        let warning = body["response"]["warnings"][0].as_str().unwrap();
        assert!(warning.starts_with("no sidecar: internal_error"), "{warning}");
        assert_eq!(body["response"]["auditAnnotations"]["decision"], "internal_error");
        let metrics = reviews.metrics.text();
        assert!(metrics.contains("decisions_total{decision=\"internal_error\"} 1"), "{metrics}");
        assert_eq!((budget.in_flight(), budget.memory_in_use()), (0, 0), "nothing leaks");
    }

    #[tokio::test]
    async fn r37_the_operator_may_have_faults_of_ours_denied() {
        let reviews = reviews("policy: {onError: deny}", panics, Budget::new(10, 100_000));
        let (status, body) = post(&reviews, REVIEW).await;
        assert_eq!(status, StatusCode::OK);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["response"]["allowed"], false);
        assert_eq!(body["response"]["status"]["code"], 500);
    }

    #[tokio::test]
    async fn a_body_that_does_not_fit_now_is_told_to_come_back() {
        let budget = Budget::new(2, 100_000);
        let reviews = reviews("", skip, Arc::clone(&budget));
        let mut other = budget.enter().unwrap();
        assert_eq!(other.hold(99_900), Hold::Fits);
        assert_eq!(post(&reviews, REVIEW).await.0, StatusCode::SERVICE_UNAVAILABLE);
        drop(other);
        assert_eq!(post(&reviews, REVIEW).await.0, StatusCode::OK);

        let both = (budget.enter().unwrap(), budget.enter().unwrap());
        assert_eq!(post(&reviews, REVIEW).await.0, StatusCode::SERVICE_UNAVAILABLE);
        drop(both);
        assert_eq!(post(&reviews, REVIEW).await.0, StatusCode::OK);
        let metrics = reviews.metrics.text();
        assert!(metrics.contains("decisions_total{decision=\"overloaded\"} 2"), "{metrics}");
        assert!(metrics.contains("requests_total{code=\"503\"} 2"), "{metrics}");
    }

    #[tokio::test]
    async fn a_body_that_never_fits_is_refused_for_good() {
        let reviews = reviews("", skip, Budget::new(2, 100_000));
        let (status, body) = post(&reviews, "[".repeat(5_000)).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{body}");
        assert!(body.contains("more than 100000 bytes"), "{body}");
        let (status, _) = post(&reviews, " ".repeat(10_001)).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn the_time_allowed_is_the_shorter_one_less_a_margin() {
        let longest = Duration::from_secs(10);
        for (query, millis) in [
            ("", 10_000),
            ("?timeout=5s", 4_500),
            ("?x=1&timeout=1s", 900),
            ("?timeout=30s", 10_000),
            ("?timeout=0s", 10_000),
            ("?timeout=soon", 10_000),
        ] {
            let uri: Uri = format!("/mutate{query}").parse().unwrap();
            assert_eq!(time_allowed(&uri, longest), Duration::from_millis(millis), "{query}");
        }
    }
}
