//! Calls to service-center, each with a deadline, and every answer counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::Error;
use super::metrics::Metrics;
use super::options::Options;
use super::wire::{Account, Refusal, Token};
use crate::endpoints::{Endpoints, NoAddress, Silent};

/// A call that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(5);
/// What is missing for an address with https.
const WITHOUT_TLS: &str = "https needs registrator.Consumer in tls.yaml, with its caFile";

const DOMAIN: HeaderName = HeaderName::from_static("x-domain-name");
const CONSUMER: HeaderName = HeaderName::from_static("x-consumerid");
const REVISION: HeaderName = HeaderName::from_static("x-resource-revision");

/// Speaks with service-center.
pub(super) struct Client {
    endpoints: Endpoints,
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
        let endpoints = Endpoints::new(&options.addresses, options.tls.clone(), WITHOUT_TLS);
        let wrong = |NoAddress { address, reason }| Error::Address { address, reason };
        Ok(Self {
            endpoints: endpoints.map_err(wrong)?,
            tenant: header(&options.tenant),
            account: options.account.clone(),
            token: Mutex::new(None),
            metrics,
        })
    }

    /// The address that answered last.
    pub(super) fn address(&self) -> &Uri {
        self.endpoints.preferred()
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

    async fn sign_in(&self, name: &str, password: &str) -> Result<(), Error> {
        let call = Call::new("sign in", Method::POST, "/v4/token".to_owned());
        let token: Token = self.ask_any(&call.with(&Account { name, password })).await?.json()?;
        let mut value = header(&format!("Bearer {}", token.token));
        value.set_sensitive(true);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        Ok(())
    }

    async fn ask_any(&self, call: &Call<'_>) -> Result<Reply, Error> {
        let operation = call.operation;
        let mut request = Request::builder().method(call.method.clone()).uri(&call.path);
        for (name, value) in self.headers(call.consumer) {
            request = request.header(name, value);
        }
        if !call.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(call.body.clone())
            .map_err(|error| Error::Unreadable { operation, reason: error.to_string() })?;
        let asked = self.endpoints.ask(&request, DEADLINE).await;
        let response =
            asked.map_err(|Silent { address, reason }| Error::Unreachable { address, reason })?;
        let revision = response.headers().get(REVISION).and_then(|v| v.to_str().ok());
        judge(Reply {
            status: response.status(),
            revision: revision.unwrap_or_default().to_owned(),
            body: response.into_body(),
            operation,
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

/// As a header's value; what can't stand in one is left out.
fn header(text: &str) -> HeaderValue {
    let plain: String = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    HeaderValue::try_from(plain).unwrap_or_else(|_| HeaderValue::from_static(""))
}
