//! What a client is told when its request is not answered by whom it was for.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use mesh::trace::TraceId;
use mesh::{BadAuthority, GrpcStatus, Protocol};

use super::grpc;
use super::headers::ERROR;
use super::reason::Reason;
use super::response::ResponseBody;

/// Why a request was not answered by its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is no plain HTTP message.
    Malformed(&'static str),
    /// It has a transfer coding that is not `chunked`.
    UnknownCoding,
    /// Its X-Forwarded-Port is no port.
    ForwardedPort,
    /// Its head has more fields than allowed.
    TooManyFields,
    /// It does not say whom it is for, or in no way that is understood.
    NoDestination,
    /// The host or port it names cannot be one.
    BadDestination(BadAuthority),
    /// It is for us.
    Ourselves,
    /// A URL of a scheme that a plain request cannot have.
    Scheme,
    /// A method that makes no sense on the side it came in at.
    Method,
    /// Its body is longer than allowed.
    TooLong,
    /// It broke off before its end.
    ClientGone,
    /// The service has no instance that takes it: the service, and which instances.
    NoInstance(Box<str>),
    /// Nobody can say whether there is such a service.
    DiscoveryUnavailable(Box<str>),
    /// It is for a host that no request is let out to.
    PassthroughDenied(Box<str>),
    /// It asks for a port that is none of the application's.
    PortDenied(u16),
    /// It asks for no port, and there is no default.
    NoPort {
        /// What it speaks.
        protocol: Protocol,
        /// Our service.
        service: Box<str>,
    },
    /// It has been here before.
    Loop,
    /// The breaker of its service is open.
    CircuitOpen {
        /// The service.
        service: Arc<str>,
    },
    /// There were more requests than may be.
    RateLimited {
        /// When there will be room.
        again: Duration,
    },
    /// More requests are under way than may be.
    TooMany {
        /// To this service.
        service: Arc<str>,
    },
    /// More are under way than may be, of all services together.
    Full,
    /// Its service is not to be asked.
    ForcedFallback {
        /// The service.
        service: Arc<str>,
    },
    /// It was to fail.
    Injected(u16),
    /// No response came in time.
    Timeout,
    /// The rest of the request's body did not come in time.
    SlowClient,
    /// Nobody listens there.
    ConnectRefused,
    /// No connection came about in time.
    ConnectTimeout,
    /// The instance wants TLS, and nobody said how.
    TlsNotSetUp,
    /// No TLS session came about.
    TlsFailed,
    /// The application behind us takes no connection.
    LocalRefused,
    /// The connection broke before the response.
    Reset,
    /// The instance reset the stream before a response: what gRPC makes of how it did so.
    StreamReset(GrpcStatus),
    /// What came back is no HTTP that can be passed on.
    BadResponse,
    /// We have no place left.
    Overload,
    /// We are about to end, and whoever asks can ask somebody else.
    Draining,
}

impl Refusal {
    /// The status, the word for `x-mesher-error`, and the text.
    fn parts(&self) -> (StatusCode, Reason, String) {
        let gateway = StatusCode::BAD_GATEWAY;
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        let bad = StatusCode::BAD_REQUEST;
        match self {
            Self::Malformed(what) => (bad, Reason::BadUri, format!("malformed request: {what}")),
            Self::ForwardedPort => {
                (bad, Reason::BadUri, "malformed request: X-Forwarded-Port is no port".to_owned())
            }
            Self::UnknownCoding => (
                StatusCode::NOT_IMPLEMENTED,
                Reason::BadUri,
                "the only transfer coding that is understood is chunked".to_owned(),
            ),
            Self::TooManyFields => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                Reason::BadUri,
                "the request has more header fields than allowed".to_owned(),
            ),
            // The words of the original, which people search for.
            Self::NoDestination => (
                bad,
                Reason::BadUri,
                "Invalid uri, please check:\n1, For provider, mesher listens on external ip\n\
                 2, Set http_proxy as mesher address, before sending request"
                    .to_owned(),
            ),
            Self::BadDestination(why) => (bad, Reason::BadUri, format!("invalid uri: {why}")),
            Self::Ourselves => {
                (bad, Reason::BadUri, "uri format must be: http://serviceName/api".to_owned())
            }
            Self::Scheme => (
                bad,
                Reason::BadUri,
                "only http:// can be asked for; https:// needs CONNECT".to_owned(),
            ),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                Reason::BadUri,
                "CONNECT is not available here".to_owned(),
            ),
            Self::TooLong => (
                StatusCode::PAYLOAD_TOO_LARGE,
                Reason::BodyTooLarge,
                "the request body is longer than allowed".to_owned(),
            ),
            Self::ClientGone => (bad, Reason::BadUri, "the request broke off".to_owned()),
            Self::NoInstance(key) => {
                (gateway, Reason::NoInstance, format!("lb: No available instance, key: {key}"))
            }
            Self::DiscoveryUnavailable(service) => (
                unavailable,
                Reason::DiscoveryUnavailable,
                format!("the registry can't be reached, and {service} was not asked for before"),
            ),
            Self::PassthroughDenied(host) => (
                StatusCode::FORBIDDEN,
                Reason::PassthroughDenied,
                format!("{host} is no service, and requests to other hosts are not let out"),
            ),
            Self::PortDenied(port) => (
                StatusCode::FORBIDDEN,
                Reason::PortDenied,
                format!("port {port} is none of the application's"),
            ),
            Self::NoPort { protocol, service } => (
                gateway,
                Reason::PortDenied,
                format!(
                    "[{}] is not supported, [{service}] didn't set env [SERVICE_PORTS] or cmd \
                     parameter --service-ports before mesher start",
                    protocol.as_str()
                ),
            ),
            Self::Loop => (
                StatusCode::LOOP_DETECTED,
                Reason::Loop,
                "the request came back to the proxy that had sent it".to_owned(),
            ),
            Self::CircuitOpen { service } => (
                unavailable,
                Reason::CircuitOpen,
                format!("API {service} is isolated because of error: circuit open"),
            ),
            Self::RateLimited { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, Reason::RateLimited, "too many requests".to_owned())
            }
            Self::TooMany { service } => (
                unavailable,
                Reason::Overload,
                format!("API {service} is reject because of error: max concurrency"),
            ),
            Self::Full => (
                unavailable,
                Reason::Overload,
                "more requests are under way than may be".to_owned(),
            ),
            Self::ForcedFallback { service } => (
                unavailable,
                Reason::CircuitOpen,
                format!("API {service} is isolated because of error: force fallback"),
            ),
            Self::Injected(status) => (
                StatusCode::from_u16(*status).unwrap_or(bad),
                Reason::FaultInjected,
                "injecting abort".to_owned(),
            ),
            Self::SlowClient => (
                StatusCode::REQUEST_TIMEOUT,
                Reason::Timeout,
                "the rest of the request did not come in time".to_owned(),
            ),
            Self::Timeout => (
                StatusCode::GATEWAY_TIMEOUT,
                Reason::Timeout,
                "no response came in time".to_owned(),
            ),
            Self::ConnectRefused => {
                (gateway, Reason::ConnectRefused, "connect: connection refused".to_owned())
            }
            Self::ConnectTimeout => {
                (gateway, Reason::ConnectTimeout, "connect: timed out".to_owned())
            }
            Self::TlsNotSetUp => (
                gateway,
                Reason::TlsFailed,
                "the instance wants TLS, which is not set up for it here".to_owned(),
            ),
            Self::TlsFailed => (
                gateway,
                Reason::TlsFailed,
                "no TLS session with the instance came about".to_owned(),
            ),
            Self::LocalRefused => (
                gateway,
                Reason::LocalRefused,
                "the application takes no connection on this port".to_owned(),
            ),
            Self::Reset | Self::StreamReset(_) => (
                gateway,
                Reason::UpstreamReset,
                "the connection broke before a response came".to_owned(),
            ),
            Self::BadResponse => {
                (gateway, Reason::UpstreamReset, "the response is no valid HTTP".to_owned())
            }
            Self::Overload => (
                unavailable,
                Reason::Overload,
                "no connection can be opened at the moment".to_owned(),
            ),
            Self::Draining => {
                (unavailable, Reason::Draining, "the instance is about to end".to_owned())
            }
        }
    }

    /// Whether a peer of ours sends the request elsewhere when it is told so.
    pub(crate) fn is_declined(&self) -> bool {
        matches!(self, Self::Draining | Self::LocalRefused)
    }

    /// Why, in one word.
    pub(crate) fn reason(&self) -> Reason {
        self.parts().1
    }

    /// Whether the endpoint has reset the stream.
    pub(crate) fn is_reset(&self) -> bool {
        matches!(self, Self::StreamReset(_))
    }

    /// The status of a gRPC call that is refused so.
    pub(crate) fn grpc_status(&self) -> GrpcStatus {
        match self {
            Self::Malformed(_)
            | Self::ForwardedPort
            | Self::NoDestination
            | Self::BadDestination(_)
            | Self::Ourselves
            | Self::Scheme => GrpcStatus::INVALID_ARGUMENT,
            Self::UnknownCoding | Self::Method | Self::NoPort { .. } => GrpcStatus::UNIMPLEMENTED,
            Self::TooLong | Self::TooManyFields | Self::RateLimited { .. } => {
                GrpcStatus::RESOURCE_EXHAUSTED
            }
            Self::Injected(status) => GrpcStatus::of_http(*status),
            Self::ClientGone => GrpcStatus::CANCELLED,
            Self::PassthroughDenied(_) | Self::PortDenied(_) => GrpcStatus::PERMISSION_DENIED,
            Self::Timeout | Self::SlowClient => GrpcStatus::DEADLINE_EXCEEDED,
            Self::Loop | Self::BadResponse => GrpcStatus::INTERNAL,
            Self::StreamReset(status) => *status,
            Self::NoInstance(_)
            | Self::DiscoveryUnavailable(_)
            | Self::CircuitOpen { .. }
            | Self::TooMany { .. }
            | Self::Full
            | Self::ForcedFallback { .. }
            | Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::TlsNotSetUp
            | Self::TlsFailed
            | Self::LocalRefused
            | Self::Reset
            | Self::Draining
            | Self::Overload => GrpcStatus::UNAVAILABLE,
        }
    }

    /// Whether no other request can come on the connection. Where a message was ambiguous, or is
    /// not whole, nobody knows where the next one begins.
    pub(crate) fn ends_the_connection(&self) -> bool {
        matches!(self, Self::Malformed(_) | Self::UnknownCoding | Self::SlowClient)
    }

    /// Whether it is answered by the fallback of its service, where there is one.
    pub(crate) fn falls_back(&self) -> bool {
        let refused = matches!(
            self,
            Self::CircuitOpen { .. } | Self::TooMany { .. } | Self::ForcedFallback { .. }
        );
        refused || self.blames_the_instance()
    }

    /// Whether the instance is to blame, rather than the client or ourselves.
    pub(crate) fn blames_the_instance(&self) -> bool {
        matches!(
            self,
            Self::Timeout
                | Self::ConnectRefused
                | Self::ConnectTimeout
                | Self::TlsFailed
                | Self::LocalRefused
                | Self::Reset
                | Self::StreamReset(_)
                | Self::BadResponse
        )
    }
}

/// What a client is told in place of a service that cannot be asked: nothing, and that all is well.
/// Who looks at `x-mesher-error` knows.
pub(crate) fn fall_back(refusal: &Refusal) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    let word = HeaderValue::from_static(refusal.reason().word());
    response.headers_mut().insert(ERROR, word);
    response
}

/// The one place where a failure becomes a response. A gRPC call is always answered with 200, and
/// told by `grpc-status` how it went. Where the request is traced, the log's line names its `trace`.
pub(crate) fn rescue(
    refusal: &Refusal,
    is_call: bool,
    trace: Option<TraceId>,
) -> Response<ResponseBody> {
    let (status, reason, text) = refusal.parts();
    let word = reason.word();
    let trace = trace.map(tracing::field::display);
    tracing::debug!(%status, word, text, trace, "request refused");
    if is_call {
        let mut response = Response::new(ResponseBody::empty());
        *response.headers_mut() = grpc::failure(refusal.grpc_status(), word, &text);
        response.headers_mut().insert(CONTENT_TYPE, grpc::TYPE);
        return response;
    }
    let mut response = Response::new(ResponseBody::text(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(ERROR, HeaderValue::from_static(word));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if matches!(refusal, Refusal::Full | Refusal::TooMany { .. }) {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if let Refusal::RateLimited { again } = refusal {
        // Whole seconds are what it knows (RFC 9110 §10.2.3).
        let seconds = again.as_secs() + u64::from(again.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}
