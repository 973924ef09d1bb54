//! One span.

use std::cell::Cell;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::{Method, StatusCode};
use mesh::trace::{SpanNames, TraceContext, TraceId, span_name};
use mesh::{Failure, GrpcStatus};

use crate::listener::Side;
use crate::plan::{Address, Endpoint, Kind, Route};

/// The longest path that is kept, in bytes.
const LONGEST_PATH: usize = 1024;

/// What there is to tell of one request.
#[derive(Debug)]
pub(crate) struct Span {
    pub(super) context: TraceContext,
    pub(super) request: Request,
    pub(super) began: SystemTime,
    /// Whom the last attempt was made with.
    pub(super) endpoint: Option<Arc<Endpoint>>,
    pub(super) resends: Vec<Resend>,
    pub(super) ended: Ended,
}

/// How it ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// Who was asked for.
    pub(crate) service: Option<Arc<Route>>,
    /// From its head to the end of its response.
    pub(crate) took: Duration,
    pub(crate) status: Option<StatusCode>,
    /// The word for what went wrong in this proxy.
    pub(crate) refused: Option<&'static str>,
    /// Where it was a call of gRPC.
    pub(crate) call: Option<GrpcStatus>,
    pub(crate) end: End,
}

/// The span of a request, if it has one: as small as can be, as every request has a place for it.
#[derive(Default)]
pub(crate) struct Held(Cell<Option<Box<Span>>>);

/// What was asked.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) side: Side,
    pub(crate) method: Method,
    /// Without query.
    pub(crate) path: Box<str>,
    /// Where it came in.
    pub(crate) listener: SocketAddr,
    /// Who sent it.
    pub(crate) peer: SocketAddr,
    /// The service that sent it, as it says.
    pub(crate) caller: Option<Box<str>>,
}

/// An attempt that came to nothing, after which the request was sent once more.
#[derive(Debug)]
pub(super) struct Resend {
    pub(super) after: Duration,
    pub(super) why: &'static str,
    pub(super) endpoint: Arc<Endpoint>,
}

/// How a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum End {
    /// As a whole.
    #[default]
    Whole,
    /// Whoever answered broke off.
    Broken,
    /// Whoever asked did not want the rest.
    GivenUp,
}

impl Held {
    pub(crate) fn new(span: Option<Box<Span>>) -> Self {
        Self(Cell::new(span))
    }

    /// Tells the span something, or asks it.
    pub(crate) fn tell<T>(&self, tell: impl FnOnce(&mut Span) -> T) -> Option<T> {
        let mut span = self.0.take()?;
        let told = tell(&mut span);
        self.0.set(Some(span));
        Some(told)
    }

    /// Lets go of it.
    pub(crate) fn take(&self) -> Option<Box<Span>> {
        self.0.take()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.tell(|span| span.context)).finish()
    }
}

impl Request {
    /// As much of a path as is kept.
    pub(crate) fn path(path: &str) -> Box<str> {
        let end = (0..=LONGEST_PATH.min(path.len())).rev().find(|at| path.is_char_boundary(*at));
        path[..end.unwrap_or(0)].into()
    }
}

impl Span {
    pub(crate) fn new(context: TraceContext, request: Request) -> Self {
        Self {
            context,
            request,
            began: SystemTime::now(),
            endpoint: None,
            resends: Vec::new(),
            ended: Ended::default(),
        }
    }

    /// One to count.
    #[cfg(test)]
    pub(super) fn of_nothing() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let context = TraceContext::new([1, 2, 3], mesh::trace::Sampling::Yes);
        let request = Request {
            side: Side::Consumer,
            method: Method::GET,
            path: "/".into(),
            listener: address,
            peer: address,
            caller: None,
        };
        Self::new(context, request)
    }

    /// Which trace it belongs to, for log lines.
    pub(crate) fn trace(&self) -> TraceId {
        self.context.trace
    }

    /// An attempt is made there.
    pub(crate) fn goes_to(&mut self, endpoint: &Arc<Endpoint>) {
        self.endpoint = Some(Arc::clone(endpoint));
    }

    /// The attempt has failed so long after the beginning, and there is another one.
    pub(crate) fn is_sent_again(&mut self, why: Failure, after: Duration) {
        if let Some(endpoint) = &self.endpoint {
            let endpoint = Arc::clone(endpoint);
            self.resends.push(Resend { after, why: why.word(), endpoint });
        }
    }

    /// It is over.
    pub(crate) fn ends(&mut self, ended: Ended) {
        self.ended = ended;
    }

    /// What it is called.
    pub(super) fn name(&self, names: SpanNames) -> String {
        span_name(names, self.request.method.as_str(), &self.request.path)
    }

    /// Who was asked for, by name: a service, or a host outside of the mesh.
    pub(super) fn callee(&self) -> Option<&str> {
        if self.request.side == Side::Provider {
            return None;
        }
        let route = self.ended.service.as_ref()?;
        match (route.kind, self.endpoint.as_ref().map(|endpoint| &endpoint.id.address)) {
            (Kind::Outside, Some(Address::Name(name, _))) => Some(name),
            (Kind::Outside, _) => None,
            (Kind::Service | Kind::Local, _) => Some(&route.state.key.name),
        }
    }

    /// Where the request went, as `host:port`.
    pub(super) fn host(&self) -> Option<String> {
        self.endpoint.as_ref().map(|endpoint| endpoint.id.address.to_string())
    }

    /// What went wrong, in a word; `None`: nothing did. A client error is one of who asks, not of
    /// who answers.
    pub(super) fn error(&self) -> Option<String> {
        if let Some(word) = self.ended.refused {
            return Some(word.to_owned());
        }
        match self.ended.end {
            End::Whole => {}
            End::Broken => return Some("broken_off".to_owned()),
            End::GivenUp => return Some("given_up".to_owned()),
        }
        let client = self.request.side == Side::Consumer;
        if let Some(status) = self.ended.call {
            let wrong = if client { status != GrpcStatus::OK } else { is_servers_fault(status) };
            return wrong.then(|| status.code().to_string());
        }
        let status = self.ended.status?;
        let wrong = status.is_server_error() || (client && status.is_client_error());
        wrong.then(|| status.as_u16().to_string())
    }
}

/// Statuses that say of the one who answers that it is broken, after OpenTelemetry's conventions.
fn is_servers_fault(status: GrpcStatus) -> bool {
    status.blames_the_instance()
        || status == GrpcStatus::UNKNOWN
        || status == GrpcStatus::UNIMPLEMENTED
}
