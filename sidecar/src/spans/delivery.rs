//! Calls to the collector, on one connection that is kept. They are the proxy's own: they pass no
//! proxy, this one neither, and are not traced.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER, TE, USER_AGENT};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh::{GrpcStatus, Protocol};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use crate::settings::{Export, SpanProtocol};
use crate::tls::{self, Client, Tls};

/// More is not read of an answer.
const LARGEST_ANSWER: usize = 64 << 10;
const AGENT: HeaderValue = HeaderValue::from_static(concat!("mesher/", env!("CARGO_PKG_VERSION")));
const GRPC_STATUS: &str = "grpc-status";

/// What a call came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It may go better later: after so long, if the collector said.
    Passing(String, Option<Duration>),
    /// It would be the same again.
    Lasting(String),
}

impl Failure {
    fn passing(reason: impl fmt::Display) -> Self {
        Self::Passing(reason.to_string(), None)
    }
}

/// The connection, if there is one.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    sender: Sender,
    /// Where to, and what for: other settings get another one.
    scheme_and_authority: (String, Authority),
    grpc: bool,
    tls: Option<Client>,
    driver: AbortHandle,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Delivery {
    /// Makes a call; returns what was answered.
    pub(super) async fn call(
        &mut self,
        export: &Export,
        tls: &Tls,
        body: Bytes,
    ) -> Result<Bytes, Failure> {
        // Given back when the call has come to its end, so that no other follows on it otherwise.
        let mut kept = self.connection(export, tls).await?;
        let request = request(export, body)?;
        let response = match &mut kept.sender {
            Sender::Http1(sender) => sender.send_request(request).await,
            Sender::Http2(sender) => sender.send_request(request).await,
        };
        let (head, body) = response.map_err(Failure::passing)?.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(Failure::passing)?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let answer = judge(&Response::from_parts(head, ()), &trailers, kept.grpc);
        self.kept = Some(kept);
        answer.map(|()| body.to_bytes())
    }

    async fn connection(&mut self, export: &Export, tls: &Tls) -> Result<Kept, Failure> {
        let (scheme, authority) = place(&export.endpoint)?;
        let grpc = export.protocol == SpanProtocol::OtlpGrpc;
        let protocol = if grpc { Protocol::Grpc } else { Protocol::Rest };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let client = match scheme {
            "https" => Some(tls.collector(host, protocol).ok_or_else(|| {
                Failure::passing("tls.yaml says nothing of tracing.Consumer any more")
            })?),
            _ => None,
        };
        if let Some(mut kept) = self.kept.take() {
            let same = match (&client, &kept.tls) {
                (Some(wanted), Some(made)) => wanted.is_same(made),
                (None, None) => true,
                _ => false,
            };
            let there = (kept.scheme_and_authority.0.as_str(), &kept.scheme_and_authority.1);
            let fits = same && kept.grpc == grpc && there == (scheme, authority);
            if fits && kept.is_open().await {
                return Ok(kept);
            }
        }
        let port = authority.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        let tcp = TcpStream::connect((host, port)).await;
        let tcp = tcp.map_err(|error| Failure::passing(format!("{authority}: {error}")))?;
        let _ = tcp.set_nodelay(true);
        let (sender, driver) = match &client {
            None => speak(tcp, grpc).await?,
            Some(client) => {
                let secured = tls::connect(client, tcp, export.timeout).await;
                speak(secured.map_err(Failure::passing)?, grpc).await?
            }
        };
        let scheme_and_authority = (scheme.to_owned(), authority.clone());
        Ok(Kept { sender, scheme_and_authority, grpc, tls: client, driver })
    }
}

impl Kept {
    /// Whether another call can be made on it.
    async fn is_open(&mut self) -> bool {
        match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await.is_ok(),
            Sender::Http2(sender) => sender.ready().await.is_ok(),
        }
    }
}

/// Scheme, and host with port.
fn place(endpoint: &Uri) -> Result<(&str, &Authority), Failure> {
    let parts = endpoint.scheme_str().zip(endpoint.authority());
    parts.ok_or_else(|| Failure::Lasting(format!("{endpoint} is no address")))
}

async fn speak<S>(stream: S, grpc: bool) -> Result<(Sender, AbortHandle), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    // What ends the connection is told to who waits for an answer on it.
    Ok(if grpc {
        let made = http2::handshake(TokioExecutor::new(), io).await;
        let (sender, connection) = made.map_err(Failure::passing)?;
        let driver = tokio::spawn(async { drop(connection.await) });
        (Sender::Http2(sender), driver.abort_handle())
    } else {
        let (sender, connection) = http1::handshake(io).await.map_err(Failure::passing)?;
        let driver = tokio::spawn(async { drop(connection.await) });
        (Sender::Http1(sender), driver.abort_handle())
    })
}

fn request(export: &Export, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
    let (_, authority) = place(&export.endpoint)?;
    let content = match export.protocol {
        SpanProtocol::Zipkin | SpanProtocol::OtlpJson => "application/json",
        SpanProtocol::OtlpProtobuf => "application/x-protobuf",
        SpanProtocol::OtlpGrpc => "application/grpc",
    };
    let grpc = export.protocol == SpanProtocol::OtlpGrpc;
    let path = export.endpoint.path_and_query().map_or("/", |path| path.as_str());
    let (uri, body) = if grpc {
        (export.endpoint.clone(), framed(&body))
    } else {
        (path.parse().map_err(Failure::passing)?, body)
    };
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.extend(export.headers.iter().cloned());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
    headers.insert(USER_AGENT, AGENT);
    if grpc {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    } else {
        let host = HeaderValue::from_str(authority.as_str()).map_err(Failure::passing)?;
        headers.insert(HOST, host);
    }
    Ok(request)
}

/// A message of gRPC: not compressed, its length, itself.
fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0][..], &length.to_be_bytes(), message].concat().into()
}

/// What an answer says. The statuses that may be tried again are those of the OTLP specification.
fn judge(head: &Response<()>, trailers: &HeaderMap, grpc: bool) -> Result<(), Failure> {
    let status = head.status();
    let later = || {
        let after = head.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
        Some(Duration::from_secs(after))
    };
    if !status.is_success() {
        let reason = format!("the collector answers with {status}");
        let passing = [
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        return Err(if passing.contains(&status) {
            Failure::Passing(reason, later())
        } else {
            Failure::Lasting(reason)
        });
    }
    if !grpc {
        return Ok(());
    }
    let status = trailers.get(GRPC_STATUS).or_else(|| head.headers().get(GRPC_STATUS));
    let status = status.map_or(GrpcStatus::UNKNOWN, |value| GrpcStatus::read(value.as_bytes()));
    if status == GrpcStatus::OK {
        return Ok(());
    }
    let reason = format!("the collector answers with grpc-status {}", status.code());
    let passing = [
        GrpcStatus::CANCELLED,
        GrpcStatus::DEADLINE_EXCEEDED,
        GrpcStatus::UNAVAILABLE,
        GrpcStatus::RESOURCE_EXHAUSTED,
        GrpcStatus::DATA_LOSS,
    ];
    Err(if passing.contains(&status) { Failure::passing(reason) } else { Failure::Lasting(reason) })
}
