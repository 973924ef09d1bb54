//! Signing in where a center asks for it: with a token of service-center, which knows the accounts.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::Error;
use crate::endpoints::{Endpoints, NoAddress, Silent, Tls};

/// A sign-in that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(5);

/// Whom a center's questions are asked as.
pub struct SignIn {
    registry: Endpoints,
    name: String,
    password: String,
    token: Mutex<Option<HeaderValue>>,
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignIn").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Account<'a> {
    name: &'a str,
    password: &'a str,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

impl SignIn {
    /// As `name`, with a token of the service-center at `registry`. By the documentation: not
    /// verified against servers with RBAC.
    pub fn new(
        registry: &[String],
        tls: Option<Tls>,
        (name, password): (String, String),
    ) -> Result<Self, Error> {
        let without_tls = "https needs registrator.Consumer in tls.yaml, with its caFile";
        let registry = Endpoints::new(registry, tls, without_tls).map_err(Error::from)?;
        Ok(Self { registry, name, password, token: Mutex::new(None) })
    }

    async fn sign_in(&self) -> Result<(), Error> {
        let account = Account { name: &self.name, password: &self.password };
        // Two words of text: nothing that JSON could not say.
        let body = Bytes::from(serde_json::to_vec(&account).unwrap_or_default());
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v4/token")
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let unreadable = |reason: String| {
            let address = self.registry.preferred().to_string();
            Error::Unreadable { address, reason }
        };
        let request = request.map_err(|error| unreadable(error.to_string()))?;
        let response = self.registry.ask(&request, DEADLINE).await.map_err(Error::from)?;
        if !response.status().is_success() {
            return Err(refused(&self.registry, &response));
        }
        let token: Token = serde_json::from_slice(response.body())
            .map_err(|error| unreadable(format!("the answer has no token: {error}")))?;
        let value = HeaderValue::try_from(format!("Bearer {}", token.token));
        let mut value =
            value.map_err(|_| unreadable("the token can't stand in a header".into()))?;
        value.set_sensitive(true);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        Ok(())
    }

    fn token(&self) -> Option<HeaderValue> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Asks; where that is refused for lack of a token, signs in and asks once more.
pub(super) async fn ask(
    endpoints: &Endpoints,
    sign_in: Option<&SignIn>,
    mut request: Request<Bytes>,
    deadline: Duration,
) -> Result<Response<Bytes>, Error> {
    let Some(sign_in) = sign_in else {
        return endpoints.ask(&request, deadline).await.map_err(Error::from);
    };
    if let Some(token) = sign_in.token() {
        request.headers_mut().insert(AUTHORIZATION, token);
    }
    let response = endpoints.ask(&request, deadline).await?;
    if response.status() != StatusCode::UNAUTHORIZED {
        return Ok(response);
    }
    sign_in.sign_in().await?;
    if let Some(token) = sign_in.token() {
        request.headers_mut().insert(AUTHORIZATION, token);
    }
    Ok(endpoints.ask(&request, deadline).await?)
}

/// What a refusal says, in the words of whoever refused.
pub(super) fn refused(endpoints: &Endpoints, response: &Response<Bytes>) -> Error {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Refusal {
        error_message: String,
        detail: String,
    }
    let body = response.body();
    let said = match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) if !refusal.error_message.is_empty() => {
            format!("{}: {}", refusal.error_message, refusal.detail)
        }
        _ => String::from_utf8_lossy(&body[..body.len().min(200)]).trim().to_owned(),
    };
    let status = response.status();
    let remedy = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "check account.name and account.password, and what they may read"
        }
        StatusCode::NOT_FOUND => "check config.client.type and config.client.serverUri",
        _ => "see the log of that server",
    };
    let address = endpoints.preferred().to_string();
    Error::Refused { address, status: status.as_u16(), message: said, remedy }
}

impl From<NoAddress> for Error {
    fn from(NoAddress { address, reason }: NoAddress) -> Self {
        Self::Address { address, reason }
    }
}

impl From<Silent> for Error {
    fn from(Silent { address, reason }: Silent) -> Self {
        Self::Unreachable { address, reason }
    }
}
