//! `/v1/mesher/services`: all that is known of services, a page at a time.
//!
//! Of thousands of services a page holds those that are asked for, in the order of their keys, so
//! that an answer stays small however large the mesh is. Nothing is computed on the threads that
//! carry traffic, and no lock is held for longer than it takes to copy a list of pointers.

mod counted;
mod one;
mod outside;
mod question;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use mesh::{ServiceKey, Snapshot};
use serde::Serialize;
use serde_json::json;
use tokio::sync::Semaphore;

use self::counted::{Counted, bounds};
use self::one::{Brief, Service};
use self::outside::{Application, Outside};
use self::question::{Only, Question};
use super::time::rounded;
use crate::listener::Side;
use crate::plan::Plan;
use crate::shared::Shared;

/// The most instances that are shown of a service that is asked for by itself.
const MOST_INSTANCES: usize = 1000;
/// Answers that are computed at once; others wait for their turn.
static TURNS: Semaphore = Semaphore::const_new(2);

/// A page of services.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    /// When this was true: seconds since the start, for whoever computes rates.
    uptime_seconds: f64,
    /// Whether the source does not answer, so that this may be old.
    stale: bool,
    /// Upper bounds of `latencyBuckets`, the last of which has none.
    latency_bounds_seconds: Vec<f64>,
    totals: Totals,
    /// Services that the question is about.
    matched: usize,
    /// Whether there are more of them than are here.
    truncated: bool,
    /// What to ask with, as `after`, for the next ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_after: Option<String>,
    services: Vec<Service>,
    /// The application behind the proxy; absent where it is a client only.
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<Application>,
    outside: Outside,
}

/// Sums over all services, whatever the question is about.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    services: usize,
    /// Those that had a request in the last ten minutes.
    used: usize,
    /// Those where something is wrong.
    trouble: usize,
    withdrawn: usize,
    instances: usize,
    /// Endpoints that take requests.
    endpoints: usize,
    evicted: usize,
    breakers_open: usize,
    in_flight: usize,
    connections: usize,
    counters: Counted,
}

/// What the answers are made of, at one moment.
struct View<'a> {
    shared: &'a Shared,
    plan: Arc<Plan>,
    snapshot: Arc<Snapshot>,
    now: Duration,
}

/// `/v1/mesher/services`
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Response {
    let question = match Question::parse(&parameters) {
        Ok(question) => question,
        Err(message) => return (StatusCode::BAD_REQUEST, message + "\n").into_response(),
    };
    let computed = compute(move || Json(View::of(&shared).answer(&question)).into_response());
    computed.await
}

/// `/v1/mesher/services/{app}/{service}`
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    Path((scope, name)): Path<(String, String)>,
) -> Response {
    let key = ServiceKey::new(scope, name);
    let computed = compute(move || {
        let Some(service) = View::of(&shared).one(&key) else {
            let error = format!("no service {key} is followed: one is from its first request on");
            return (StatusCode::NOT_FOUND, Json(json!({"error": error}))).into_response();
        };
        Json(service).into_response()
    });
    computed.await
}

/// Computes an answer where it holds up nobody.
async fn compute(answer: impl FnOnce() -> Response + Send + 'static) -> Response {
    let _turn = TURNS.acquire().await;
    let answered = tokio::task::spawn_blocking(answer).await;
    answered.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

impl<'a> View<'a> {
    fn of(shared: &'a Shared) -> Self {
        let (plan, snapshot) = (shared.plans.plan(), shared.plans.snapshot());
        Self { shared, plan, snapshot, now: shared.clock.now() }
    }

    fn answer(&self, question: &Question) -> Page {
        let keys: BTreeSet<&ServiceKey> =
            self.plan.services().map(|service| &service.state.key).collect();
        let mut totals = Totals { services: keys.len(), ..Totals::default() };
        let (mut services, mut matched, mut behind) = (Vec::new(), 0, 0);
        for key in keys {
            let Some(plan) = self.plan.get(key) else { continue };
            let brief = Brief::of(self, plan);
            totals.add(&brief);
            if !question.is_about(key, &brief) {
                continue;
            }
            matched += 1;
            if question.is_behind(key) {
                behind += 1;
                if services.len() < question.limit {
                    services.push(Service::of(self, plan, brief, question.instances));
                }
            }
        }
        let overflow = self.shared.plans.registry().overflow();
        totals.counters.add(&Counted::read(overflow, Side::Consumer));
        let truncated = services.len() < behind;
        let last = services.last().filter(|_| truncated);
        Page {
            uptime_seconds: rounded(self.now),
            stale: matches!(self.shared.plans.state(), discovery::State::Stale { .. }),
            latency_bounds_seconds: bounds(),
            totals,
            matched,
            truncated,
            next_after: last.map(|service| service.key().to_owned()),
            application: Application::of(self),
            outside: Outside::of(self),
            services,
        }
    }

    fn one(&self, key: &ServiceKey) -> Option<Service> {
        let plan = self.plan.get(key)?;
        Some(Service::of(self, plan, Brief::of(self, plan), MOST_INSTANCES))
    }
}

impl Totals {
    fn add(&mut self, one: &Brief) {
        self.used += usize::from(one.used);
        self.trouble += usize::from(one.trouble.is_some());
        self.withdrawn += usize::from(one.withdrawn);
        self.instances += one.instance_count;
        self.endpoints += one.endpoint_count;
        self.evicted += one.evicted_count;
        self.breakers_open += usize::from(one.breaker.is_open());
        self.in_flight += one.in_flight;
        self.connections += one.connections;
        self.counters.add(&one.counters);
    }
}

impl Only {
    fn takes(self, one: &Brief) -> bool {
        match self {
            Self::All => true,
            Self::Used => one.used,
            Self::Trouble => one.trouble.is_some(),
        }
    }
}

impl Question {
    fn is_about(&self, key: &ServiceKey, one: &Brief) -> bool {
        self.only.takes(one) && self.names(key)
    }
}
