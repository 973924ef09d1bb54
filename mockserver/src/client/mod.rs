//! Calls, made as an application makes them: kept-alive connections, and through `http_proxy` if
//! the environment names one, which is how a sidecar gets to see them.

mod connect;
mod proxy;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::PROXY_AUTHORIZATION;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::error::in_one_line;
use connect::Connector;
pub use proxy::Proxy;

/// Idle connections are given up before most servers give them up.
const IDLE: Duration = Duration::from_secs(20);

/// Sends requests; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: legacy::Client<Connector, Full<Bytes>>,
    proxy: Arc<Proxy>,
}

/// Which protocol a client speaks; nothing is negotiated without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// Why no answer came.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody listens, or the name is unknown: nothing was sent.
    #[error("{0}")]
    NotReached(String),
    /// Something was sent, perhaps, and no whole answer received.
    #[error("{0}")]
    Broken(String),
    /// Time ran out.
    #[error("no complete answer within {} (-timeout)", humantime::format_duration(*.0))]
    Late(Duration),
}

impl NoAnswer {
    /// An answer that ended too early.
    pub(crate) fn broken_off(error: &hyper::Error) -> Self {
        Self::Broken(format!("the answer broke off: {}", in_one_line(error)))
    }
}

impl Client {
    /// A client that asks `proxy` for the way.
    pub fn new(proxy: Proxy, protocol: Protocol) -> Self {
        let proxy = Arc::new(proxy);
        let http = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http2_only(protocol == Protocol::Http2)
            .build(Connector::new(Arc::clone(&proxy)));
        Self { http, proxy }
    }

    /// Sends `request`, whose URI is absolute, and returns when the answer's head is there.
    pub async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let proxy = self.proxy.of(request.uri());
        if let Some(login) = proxy.as_ref().and_then(|proxy| proxy.basic_auth()) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, login.clone());
        }
        self.http.request(request).await.map_err(|error| {
            // The outermost error only says which part of the client met it.
            let reason = in_one_line(error.source().unwrap_or(&error));
            let reason = match proxy.and_then(|proxy| proxy.uri().authority().cloned()) {
                Some(proxy) => format!("through the proxy {proxy}: {reason}"),
                None => reason,
            };
            if error.is_connect() { NoAnswer::NotReached(reason) } else { NoAnswer::Broken(reason) }
        })
    }

    /// The proxy that a request to `uri` goes through, for people.
    pub fn proxy_for(&self, uri: &Uri) -> Option<String> {
        let proxy = self.proxy.of(uri)?;
        proxy.uri().authority().map(ToString::to_string)
    }
}
