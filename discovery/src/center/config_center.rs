//! The configuration center of the first generation, `config_center`: keys by dimension.
//!
//! It is polled. The original could also be told of changes, on another port; what it was told was
//! what had changed and not what is, so a missed message was a missed change.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::Value;

use super::kie::encoded;
use super::sign_in::{self, SignIn};
use super::{Answer, Center, Error, Identity, Item, Revision};
use crate::endpoints::{Endpoints, Tls};

const DEADLINE: Duration = Duration::from_secs(10);
/// What an answer says about itself rather than about keys.
const ABOUT: &str = "revision";
/// What holds for everybody.
const EVERYBODY: &str = "application";

/// Where its API is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ApiVersion {
    /// `/configuration/v2/items`
    V2,
    /// `/v3/PROJECT/configuration/items`
    #[default]
    V3,
}

/// A client of `config_center`.
#[derive(Debug)]
pub struct ConfigCenter {
    endpoints: Endpoints,
    sign_in: Option<SignIn>,
    addresses: String,
    path: String,
    tenant: String,
    environment: String,
    /// The dimension asked for, and those whose keys count, the most general first.
    dimension: String,
    dimensions: Vec<String>,
}

impl ConfigCenter {
    /// For `addresses`. `dimension` is asked for, `SERVICE@APP#VERSION` where none is given.
    pub fn new(
        addresses: &[String],
        tls: Option<Tls>,
        api: (ApiVersion, &str),
        tenant: &str,
        identity: &Identity,
        dimension: Option<&str>,
        sign_in: Option<SignIn>,
    ) -> Result<Self, Error> {
        let without_tls = "https needs configcenter.Consumer in tls.yaml, with its caFile";
        let endpoints = Endpoints::new(addresses, tls, without_tls).map_err(Error::from)?;
        let Identity { app, service, version, environment } = identity;
        let whole = format!("{service}@{app}#{version}");
        let dimension = dimension.map_or(whole, str::to_owned);
        let mut dimensions = vec![EVERYBODY.to_owned()];
        let service = dimension.split('#').next().unwrap_or_default().to_owned();
        dimensions.extend([service, dimension.clone()]);
        dimensions.dedup();
        let path = match api {
            (ApiVersion::V2, _) => "/configuration/v2/items".to_owned(),
            (ApiVersion::V3, project) => format!("/v3/{}/configuration/items", encoded(project)),
        };
        Ok(Self {
            endpoints,
            sign_in,
            addresses: addresses.join(","),
            path,
            tenant: tenant.to_owned(),
            environment: environment.clone(),
            dimension,
            dimensions,
        })
    }
}

impl Center for ConfigCenter {
    fn name(&self) -> String {
        format!("config_center at {}", self.addresses)
    }

    fn layers(&self) -> Vec<String> {
        vec![self.dimension.clone()]
    }

    async fn ask(
        &self,
        _layer: usize,
        since: Option<&Revision>,
        _wait: Option<Duration>,
    ) -> Result<Answer, Error> {
        let unreadable = |reason: String| {
            let address = self.endpoints.preferred().to_string();
            Error::Unreadable { address, reason }
        };
        let mut uri = format!("{}?dimensionsInfo={}", self.path, encoded(&self.dimension));
        if let Some(Revision(revision)) = since {
            uri.push_str("&revision=");
            uri.push_str(&encoded(revision));
        }
        let request = Request::builder()
            .method(Method::GET)
            .uri(uri)
            .header("x-tenant-name", &self.tenant)
            .header("x-domain-name", &self.tenant)
            .header("x-environment", &self.environment)
            .body(Bytes::new())
            .map_err(|error| unreadable(error.to_string()))?;
        let sign_in = self.sign_in.as_ref();
        let response = sign_in::ask(&self.endpoints, sign_in, request, DEADLINE).await?;
        match response.status() {
            StatusCode::NOT_MODIFIED => return Ok(Answer::Unchanged),
            StatusCode::OK => {}
            _ => return Err(sign_in::refused(&self.endpoints, &response)),
        }
        let mut found: BTreeMap<String, BTreeMap<String, Value>> =
            serde_json::from_slice(response.body())
                .map_err(|error| unreadable(format!("the answer holds no keys: {error}")))?;
        let revision = found.remove(ABOUT).and_then(|mut about| about.remove("version"));
        let revision = revision.map(|version| Revision(text(version)));
        let mut items = Vec::new();
        for dimension in &self.dimensions {
            for (key, value) in found.remove(dimension).into_iter().flatten() {
                let yaml = value.is_array() || value.is_object();
                items.push(Item { key, value: text(value), yaml });
            }
        }
        Ok(Answer::Holds { revision, items })
    }

    fn waits(&self) -> bool {
        false
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
