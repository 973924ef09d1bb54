//! Calls to service-center: addresses in turn, a deadline each, and every answer counted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::error::Error;
use super::metrics::Metrics;
use super::options::{Options, Tls};
use super::wire::{Account, Refusal, Token};

/// A call that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(5);
/// 10,000 instances of a kilobyte each, and then some.
const LARGEST_ANSWER: usize = 32 << 20;

const DOMAIN: HeaderName = HeaderName::from_static("x-domain-name");
const CONSUMER: HeaderName = HeaderName::from_static("x-consumerid");
const REVISION: HeaderName = HeaderName::from_static("x-resource-revision");

/// Keeps connections; a clone shares them.
type Http = HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Speaks HTTP with whichever address answers.
pub(super) struct Client {
    http: Mutex<(Http, Option<Tls>)>,
    addresses: Vec<Uri>,
    /// Index of the address that answered last.
    preferred: AtomicUsize,
    tenant: HeaderValue,
    account: Option<(String, String)>,
    token: Mutex<Option<HeaderValue>>,
    metrics: Arc<Metrics>,
}

/// What is to be asked.
#[derive(Debug, Clone)]
pub(super) struct Call<'a> {
    /// In words, for errors and metrics.
    pub(super) operation: &'static str,
    pub(super) method: Method,
    /// With query.
    pub(super) path: String,
    /// The id of the service that asks.
    pub(super) consumer: Option<&'a str>,
    pub(super) body: Bytes,
}

impl<'a> Call<'a> {
    pub(super) fn new(operation: &'static str, method: Method, path: String) -> Self {
        Self { operation, method, path, consumer: None, body: Bytes::new() }
    }

    pub(super) fn with(mut self, body: &impl Serialize) -> Self {
        // The bodies are our own plain structures: they have nothing that JSON could not say.
        self.body = serde_json::to_vec(body).unwrap_or_default().into();
        self
    }

    pub(super) fn by(mut self, consumer: Option<&'a str>) -> Self {
        self.consumer = consumer;
        self
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) revision: String,
    body: Bytes,
    operation: &'static str,
}

impl Reply {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| Error::Unreadable {
            operation: self.operation,
            reason: error.to_string(),
        })
    }
}

impl Client {
    pub(super) fn new(options: &Options, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let mut addresses = Vec::new();
        for address in &options.addresses {
            addresses.push(parse(address, options.tls.is_some())?);
        }
        if addresses.is_empty() {
            return Err(Error::Address { address: String::new(), reason: "there is none" });
        }
        let mut tls = options.tls.clone();
        let http = match &mut tls {
            Some(tls) => {
                let config = (**tls.config.borrow_and_update()).clone();
                http(config, tls.server_name.as_deref())?
            }
            None => http(no_trust()?, None)?,
        };
        Ok(Self {
            http: Mutex::new((http, tls)),
            addresses,
            preferred: AtomicUsize::new(0),
            tenant: header(&options.tenant),
            account: options.account.clone(),
            token: Mutex::new(None),
            metrics,
        })
    }

    /// The address that answered last.
    pub(super) fn address(&self) -> &Uri {
        let preferred = self.preferred.load(Ordering::Relaxed) % self.addresses.len();
        &self.addresses[preferred]
    }

    /// What every request carries.
    pub(super) fn headers(&self, consumer: Option<&str>) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![(DOMAIN, self.tenant.clone())];
        headers.extend(consumer.map(|id| (CONSUMER, header(id))));
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        headers.extend(token.clone().map(|token| (AUTHORIZATION, token)));
        headers
    }

    /// Asks, at one address after the other until one answers. An answer that is neither success
    /// nor 304 is an error.
    pub(super) async fn ask(&self, call: Call<'_>) -> Result<Reply, Error> {
        let operation = call.operation;
        let mut result = self.ask_any(&call).await;
        if let (Err(Error::Refused { code, .. }), Some((name, password))) = (&result, &self.account)
            && (code == "401" || code.starts_with("401"))
        {
            result = match self.sign_in(name, password).await {
                Ok(()) => self.ask_any(&call).await,
                Err(error) => Err(error),
            };
        }
        self.metrics.count(operation, result.as_ref().err());
        result
    }

    /// With what TLS is made with now; where that is another, connections are new ones.
    fn http(&self) -> Http {
        let mut made = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        let (client, tls) = &mut *made;
        if let Some(tls) = tls
            && tls.config.has_changed().unwrap_or(false)
        {
            let config = (**tls.config.borrow_and_update()).clone();
            if let Ok(new) = http(config, tls.server_name.as_deref()) {
                *client = new;
            }
        }
        client.clone()
    }

    async fn sign_in(&self, name: &str, password: &str) -> Result<(), Error> {
        let call = Call::new("sign in", Method::POST, "/v4/token".to_owned());
        let token: Token = self.ask_any(&call.with(&Account { name, password })).await?.json()?;
        let mut value = header(&format!("Bearer {}", token.token));
        value.set_sensitive(true);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        Ok(())
    }

    async fn ask_any(&self, call: &Call<'_>) -> Result<Reply, Error> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failure = None;
        for step in 0..self.addresses.len() {
            let index = (first + step) % self.addresses.len();
            let address = &self.addresses[index];
            match timeout(DEADLINE, self.ask_one(address, call)).await {
                Ok(Ok(reply)) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return judge(reply);
                }
                Ok(Err(reason)) => failure = Some((address, reason)),
                Err(_) => failure = Some((address, format!("no answer within {DEADLINE:?}"))),
            }
        }
        let (address, reason) = failure.unwrap_or((&self.addresses[0], String::new()));
        Err(Error::Unreachable { address: address.to_string(), reason })
    }

    async fn ask_one(&self, address: &Uri, call: &Call<'_>) -> Result<Reply, String> {
        let base = address.to_string();
        let uri = format!("{}{}", base.trim_end_matches('/'), call.path);
        let mut request = Request::builder().method(call.method.clone()).uri(uri);
        for (name, value) in self.headers(call.consumer) {
            request = request.header(name, value);
        }
        if !call.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(call.body.clone())).map_err(|e| e.to_string())?;
        let response = self.http().request(request).await.map_err(|error| reason(&error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(|e| e.to_string())?;
        let revision = parts.headers.get(REVISION).and_then(|v| v.to_str().ok());
        Ok(Reply {
            status: parts.status,
            revision: revision.unwrap_or_default().to_owned(),
            body: body.to_bytes(),
            operation: call.operation,
        })
    }
}

/// Tells success from refusal. Every refusal seen has a body that says why; a proxy in between may
/// send others.
fn judge(reply: Reply) -> Result<Reply, Error> {
    if reply.status.is_success() || reply.status == StatusCode::NOT_MODIFIED {
        return Ok(reply);
    }
    let refusal: Refusal = reply.json().unwrap_or_default();
    let code = Some(refusal.error_code).filter(|code| !code.is_empty());
    let words = [refusal.error_message, refusal.detail];
    let message = words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(": ");
    Err(Error::Refused {
        operation: reply.operation,
        code: code.unwrap_or_else(|| reply.status.as_str().to_owned()),
        message,
    })
}

fn parse(address: &str, tls: bool) -> Result<Uri, Error> {
    let wrong = |reason| Error::Address { address: address.to_owned(), reason };
    let text = address.trim();
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = text.parse().map_err(|_| wrong("it is not a URL"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") if tls => {}
        Some("https") => {
            return Err(wrong("https needs registrator.Consumer in tls.yaml, with its caFile"));
        }
        _ => return Err(wrong("neither http nor https")),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(wrong("it names no host"));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong("something stands after the port"));
    }
    Ok(uri)
}

fn http(tls: rustls::ClientConfig, server_name: Option<&str>) -> Result<Http, Error> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(Duration::from_secs(2)));
    let mut https = HttpsConnectorBuilder::new().with_tls_config(without_alpn(tls)).https_or_http();
    if let Some(name) = server_name {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| Error::Address {
            address: name.to_owned(),
            reason: "serverName in tls.yaml can't be a certificate's name",
        })?;
        https = https.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let builder = HttpClient::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_mins(1))
        .clone();
    Ok(builder.build(https.enable_http1().wrap_connector(connector)))
}

/// The builder asks for it: it puts in itself what it can speak.
fn without_alpn(mut tls: rustls::ClientConfig) -> rustls::ClientConfig {
    tls.alpn_protocols.clear();
    tls
}

/// Never used: an address with https is refused where no configuration was given.
fn no_trust() -> Result<rustls::ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| {
        Error::Unreadable { operation: "set up TLS", reason: error.to_string() }
    })?;
    Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

/// As a header's value; what can't stand in one is left out.
fn header(text: &str) -> HeaderValue {
    let plain: String = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    HeaderValue::try_from(plain).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The innermost cause says what happened; the outer ones that a request failed.
fn reason(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn addresses() {
        for good in ["http://127.0.0.1:30100", "http://sc:30100/", "sc:30100", "http://[::1]:1"] {
            assert!(parse(good, false).is_ok(), "{good}");
        }
        for (wrong, why) in [
            ("", "not a URL"),
            ("https://sc:1", "https needs"),
            ("ftp://sc:1", "neither http"),
            ("http://sc:1/v4", "after the port"),
            ("http://a b", "not a URL"),
        ] {
            let error = parse(wrong, false).unwrap_err().to_string();
            assert!(error.contains(why), "{wrong}: {error}");
        }
        assert!(parse("https://sc:1", true).is_ok());
    }
}
