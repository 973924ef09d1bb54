//! What is seen of one request, from its head to the end of its response: what was asked, where it
//! went, how it ended. The steps of [`super`] tell it as they go; metrics, logs and spans read it here,
//! and nothing else tells them anything.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::{Request, Response, StatusCode};
use mesh::trace::TraceId;
use mesh::{Failure, GrpcStatus};

use super::admission::Bound;
use super::body::Received;
use super::reason::Reason;
use super::refusal::Refusal;
use super::{Here, grpc};
use crate::access_log::{Asked, Line};
use crate::listener::Side;
use crate::metrics::{Broken, Part};
use crate::plan::{Endpoint, Route, ServiceState};
use crate::slots::Slot;
use crate::spans::{self, Ended, Held, Span};
use crate::worker::{Connection, InFlight, Worker};

/// A request that is under way. Dropped, it is over, wherever it was by then.
#[derive(Debug)]
pub(crate) struct Observation {
    worker: Rc<Worker>,
    in_flight: InFlight,
    side: Side,
    is_call: bool,
    began: Duration,
    route: OnceCell<Arc<Route>>,
    received: OnceCell<Received>,
    /// What was asked, if it may be logged.
    asked: Option<Box<Asked>>,
    /// Where it is traced.
    span: Held,
    /// Where the number of requests is bounded: of all, and of its service.
    slots: [OnceCell<Slot>; 2],
    resends: Cell<u8>,
    /// To connect, where that was needed.
    connect: Cell<Option<Micros>>,
    /// What the client was told, and after how long.
    status: Cell<Option<StatusCode>>,
    to_head: Cell<Micros>,
    reason: Cell<Option<Reason>>,
    call: Cell<Option<GrpcStatus>>,
    sent: Cell<u64>,
    end: Cell<End>,
}

/// A time that is small in memory too: every connection keeps room for a few of them.
#[derive(Debug, Clone, Copy, Default)]
struct Micros(u32);

impl Micros {
    /// More than an hour is that much.
    fn of(time: Duration) -> Self {
        Self(u32::try_from(time.as_micros()).unwrap_or(u32::MAX))
    }

    fn time(self) -> Duration {
        Duration::from_micros(self.0.into())
    }
}

/// How far a response has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// There is more of it, as far as is known.
    Open,
    /// There is no more of it.
    Whole,
    /// The rest of it will not come.
    BrokeOff,
}

impl Observation {
    /// A request came. `is_call`: one of gRPC.
    pub(crate) fn begin<B>(
        here: &Here<'_>,
        request: &Request<B>,
        is_call: bool,
        span: Option<Box<Span>>,
    ) -> Self {
        let sheets = &here.worker.sheets;
        let logged = here.worker.shared.access_log.begins(sheets);
        let client = here.connection.client;
        Self {
            worker: Rc::clone(here.worker),
            in_flight: here.connection.begin(),
            asked: logged.map(|begun| sheets.fill(begun, client, request)),
            span: Held::new(span),
            side: here.port.side,
            is_call,
            began: here.worker.shared.clock.now(),
            route: OnceCell::new(),
            received: OnceCell::new(),
            slots: [const { OnceCell::new() }; 2],
            resends: Cell::new(0),
            connect: Cell::new(None),
            status: Cell::new(None),
            to_head: Cell::default(),
            reason: Cell::new(None),
            call: Cell::new(None),
            sent: Cell::new(0),
            end: Cell::new(End::Open),
        }
    }

    /// The request has this body.
    pub(crate) fn receives(&self, received: Option<Received>) {
        if let Some(received) = received {
            let _ = self.received.set(received);
        }
    }

    /// This is its way.
    pub(crate) fn goes(&self, route: Arc<Route>) -> &Arc<Route> {
        let route = self.route.get_or_init(|| route);
        self.part().begun.one();
        route
    }

    /// It has a slot of the bound `on`, for as long as it is under way.
    pub(crate) fn holds(&self, on: Bound, slot: Slot) {
        let _ = self.slots[on as usize].set(slot);
    }

    /// Whether it has one.
    pub(crate) fn has_slot(&self, on: Bound) -> bool {
        self.slots[on as usize].get().is_some()
    }

    /// This instance is to answer it.
    pub(crate) fn chooses(&self, endpoint: &Arc<Endpoint>) {
        if let Some(asked) = &self.asked {
            asked.chosen(endpoint);
        }
        self.span.tell(|span| span.goes_to(endpoint));
    }

    /// A connection to an instance was made for it.
    pub(crate) fn connected(&self, took: Duration) {
        self.connect.set(Some(Micros::of(took)));
    }

    /// It is sent once more.
    pub(crate) fn resent(&self, after: Failure) {
        self.resends.set(self.resends.get().saturating_add(1));
        self.part().resent(after);
        self.span.tell(|span| span.is_sent_again(after, self.took()));
    }

    /// Its client is told this.
    pub(crate) fn answered<B>(&self, response: &Response<B>) {
        let took = self.took();
        self.status.set(Some(response.status()));
        self.to_head.set(Micros::of(took));
        let told = self.asked.is_some() || self.trace().is_some();
        if told && self.reason.get().is_none() {
            // A proxy further on may have refused it.
            self.reason.set(Reason::told(response.headers()));
        }
        if self.is_call {
            self.call.set(grpc::status(response.headers()));
        }
        self.part().answered(response.status(), took, self.is_call);
    }

    /// Whether its service has a fallback for a refusal, which it is then answered by.
    pub(crate) fn falls_back(&self, refusal: &Refusal) -> bool {
        let has_one = self.route.get().is_some_and(|route| route.terms.fallback.empty);
        let falls_back = has_one && !self.is_call && refusal.falls_back();
        if falls_back {
            self.part().fallbacks.one();
        }
        falls_back
    }

    /// It was not answered by whom it was for.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.gave_up(refusal.reason());
    }

    /// We end it, for this reason.
    pub(crate) fn gave_up(&self, reason: Reason) {
        self.reason.set(Some(reason));
        self.part().refused(reason);
    }

    /// So many more bytes of its response's body are on their way.
    pub(crate) fn sends(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
    }

    /// The call has ended so, as its client is told.
    pub(crate) fn call_ended(&self, status: GrpcStatus) {
        self.call.set(Some(status));
    }

    /// Its response is whole.
    pub(crate) fn is_whole(&self) {
        if self.end.get() == End::Open {
            self.end.set(End::Whole);
        }
    }

    /// The rest of its response does not come.
    pub(crate) fn broke_off(&self) {
        self.end.set(End::BrokeOff);
    }

    /// The trace that it belongs to, where it is collected.
    pub(crate) fn trace(&self) -> Option<TraceId> {
        self.span.tell(|span| span.trace())
    }

    /// The connection that it came by.
    pub(crate) fn connection(&self) -> &Connection {
        self.in_flight.connection()
    }

    /// The thread that it is on.
    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    /// The service it is counted for; one that names none, for nobody, or for whom we stand before.
    fn service(&self) -> &ServiceState {
        let shared = &self.worker.shared;
        match (self.route.get(), self.side) {
            (Some(route), _) => &route.state,
            (None, Side::Consumer) => shared.plans.unknown(),
            (None, Side::Provider) => shared.local.state(),
        }
    }

    fn part(&self) -> &Part {
        self.service().counters.part(self.side, self.worker.index)
    }

    fn took(&self) -> Duration {
        self.worker.shared.clock.now().saturating_sub(self.began)
    }

    /// What did not come to its end, if something.
    fn broken(&self) -> Option<Broken> {
        match (self.status.get(), self.end.get()) {
            (None, _) => Some(Broken::Abandoned),
            (Some(_), End::Open) => Some(Broken::ByClient),
            (Some(_), End::BrokeOff) => Some(Broken::ByInstance),
            (Some(_), End::Whole) => None,
        }
    }

    /// Whether something went wrong, whoever is to blame.
    fn failed(&self) -> bool {
        let status = self.status.get().map_or(0, |status| status.as_u16());
        let call = self.is_call && self.call_status() != GrpcStatus::OK;
        status >= 400 || call || self.reason.get().is_some() || self.broken().is_some()
    }

    /// Has a line written of it, if that is wanted of one that ended so.
    fn log(&self, mut asked: Box<Asked>, took: Duration) {
        if !asked.sampled && !self.failed() {
            return self.worker.sheets.put(asked);
        }
        if let Some(trace) = self.trace() {
            // It may have begun here.
            asked.belongs_to(trace);
        }
        self.worker.shared.access_log.take(Box::new(Line {
            asked,
            side: self.side,
            ended: SystemTime::now(),
            took,
            answer: self.status.get().map(|status| (status, self.to_head.get().time())),
            reason: self.reason.get().map(Reason::word),
            service: self.route.get().map(|route| Arc::clone(&route.state)),
            resends: self.resends.get(),
            connect: self.connect.get().map(Micros::time),
            received: self.received.get().map_or(0, Received::bytes),
            sent: self.sent.get(),
            call: self.is_call.then(|| self.call_status()),
            broken: self.broken().map(Broken::word),
        }));
    }

    /// Sends its span on its way.
    fn collect(&self, mut span: Box<Span>, took: Duration) {
        span.ends(Ended {
            service: self.route.get().cloned(),
            took,
            status: self.status.get(),
            refused: self.reason.get().map(Reason::word),
            call: self.is_call.then(|| self.call_status()),
            end: match self.broken() {
                Some(Broken::Abandoned | Broken::ByClient) => spans::End::GivenUp,
                Some(Broken::ByInstance) => spans::End::Broken,
                None => spans::End::Whole,
            },
        });
        self.worker.spans.put(*span);
    }

    /// How a call has ended. One that nobody said anything of was given up by its client, or never
    /// said how it went.
    fn call_status(&self) -> GrpcStatus {
        let unsaid = match self.broken() {
            Some(Broken::Abandoned | Broken::ByClient) => GrpcStatus::CANCELLED,
            Some(Broken::ByInstance) => GrpcStatus::UNAVAILABLE,
            None => GrpcStatus::UNKNOWN,
        };
        self.call.get().unwrap_or(unsaid)
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let took = self.took();
        let part = self.part();
        if let Some(broken) = self.broken() {
            part.broke_off(broken);
        }
        if self.status.get().is_some() {
            part.to_end.add(took);
        } else {
            part.abandoned(self.is_call);
        }
        if self.is_call {
            part.called(self.call_status());
        }
        part.received.add(self.received.get().map_or(0, Received::bytes));
        part.sent.add(self.sent.get());
        if self.route.get().is_some() {
            part.ended.one();
        }
        self.in_flight.end(self.worker.coarse_now.get());
        if let Some(asked) = self.asked.take() {
            self.log(asked, took);
        }
        if let Some(span) = self.span.take() {
            self.collect(span, took);
        }
    }
}
