//! ServiceComb kie: keys with labels.
//!
//! What it does and its documentation does not say, seen on a real one: its revision is one for
//! all that it holds, so a change elsewhere is answered with what was held already; a 304 names no
//! revision; a key is `disabled` until somebody says otherwise; and what it lists by exact labels
//! comes from a cache behind the revision. Where it keeps its keys in an etcd of its own
//! (`embedded_etcd`), that cache does not hear of what is deleted, for ten minutes: disable a key.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::sign_in::{self, SignIn};
use super::{Answer, Center, Error, Identity, Item, Revision};
use crate::endpoints::{Endpoints, Tls};

/// An answer that comes later than this after it was due has not come.
const DEADLINE: Duration = Duration::from_secs(10);
/// It refuses to wait for longer than five minutes.
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// What stands in a query as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A client of kie.
#[derive(Debug)]
pub struct Kie {
    endpoints: Endpoints,
    sign_in: Option<SignIn>,
    addresses: String,
    project: String,
    /// Labels and their values, a list for each layer.
    layers: Vec<Vec<(&'static str, String)>>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    data: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    key: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    value_type: String,
    #[serde(default)]
    status: Option<String>,
}

impl Kie {
    /// For `addresses`, each `http://host:port` or `https://host:port`. What is held for the
    /// application, for the service and for its version is asked for, as java-chassis does; the
    /// original knew the first two.
    pub fn new(
        addresses: &[String],
        tls: Option<Tls>,
        project: &str,
        identity: &Identity,
        sign_in: Option<SignIn>,
    ) -> Result<Self, Error> {
        let without_tls = "https needs configcenter.Consumer in tls.yaml, with its caFile";
        let endpoints = Endpoints::new(addresses, tls, without_tls).map_err(Error::from)?;
        let Identity { app, service, version, environment } = identity.clone();
        let of_app = vec![("app", app), ("environment", environment)];
        let of_service = [of_app.clone(), vec![("service", service)]].concat();
        let of_version = [of_service.clone(), vec![("version", version)]].concat();
        Ok(Self {
            endpoints,
            sign_in,
            addresses: addresses.join(","),
            project: encoded(project),
            layers: vec![of_app, of_service, of_version],
        })
    }

    fn path(&self, layer: usize, since: Option<&Revision>, wait: Option<Duration>) -> String {
        let mut path = format!("/v1/{}/kie/kv?match=exact", self.project);
        for (label, value) in &self.layers[layer] {
            path.push_str("&label=");
            path.push_str(label);
            path.push(':');
            path.push_str(&encoded(value));
        }
        // Without a revision it would wait for a change and say nothing of what is there.
        if let Some(Revision(revision)) = since {
            path.push_str("&revision=");
            path.push_str(&encoded(revision));
            if let Some(wait) = wait {
                let seconds = wait.min(LONGEST_WAIT).as_secs().max(1);
                let _ = write!(path, "&wait={seconds}s");
            }
        }
        path
    }
}

impl Center for Kie {
    fn name(&self) -> String {
        format!("servicecomb-kie at {}", self.addresses)
    }

    fn layers(&self) -> Vec<String> {
        let label = |(label, value): &(&str, String)| format!("{label}={value}");
        let layer = |labels: &Vec<_>| labels.iter().map(label).collect::<Vec<_>>().join(",");
        self.layers.iter().map(layer).collect()
    }

    async fn ask(
        &self,
        layer: usize,
        since: Option<&Revision>,
        wait: Option<Duration>,
    ) -> Result<Answer, Error> {
        let unreadable = |reason: String| {
            let address = self.endpoints.preferred().to_string();
            Error::Unreadable { address, reason }
        };
        let request = Request::builder()
            .method(Method::GET)
            .uri(self.path(layer, since, wait))
            .body(Bytes::new())
            .map_err(|error| unreadable(error.to_string()))?;
        let deadline = DEADLINE + wait.unwrap_or_default();
        let sign_in = self.sign_in.as_ref();
        let response = sign_in::ask(&self.endpoints, sign_in, request, deadline).await?;
        match response.status() {
            StatusCode::NOT_MODIFIED => return Ok(Answer::Unchanged),
            StatusCode::OK => {}
            // As older versions say that there is nothing.
            StatusCode::NOT_FOUND if response.headers().contains_key("x-kie-revision") => {}
            _ => return Err(sign_in::refused(&self.endpoints, &response)),
        }
        let revision = response.headers().get("x-kie-revision").and_then(|it| it.to_str().ok());
        let revision = revision.map(|text| Revision(text.to_owned()));
        if revision.is_none() {
            return Err(unreadable("the answer has no X-Kie-Revision".to_owned()));
        }
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(Answer::Holds { revision, items: Vec::new() });
        }
        let found: Found = serde_json::from_slice(response.body())
            .map_err(|error| unreadable(format!("the answer holds no keys: {error}")))?;
        let enabled = |pair: &Pair| {
            pair.status.as_deref().is_none_or(|status| status.eq_ignore_ascii_case("enabled"))
        };
        let item = |pair: Pair| {
            let yaml =
                ["yaml", "json"].iter().any(|kind| pair.value_type.eq_ignore_ascii_case(kind));
            Item { key: pair.key, value: pair.value, yaml }
        };
        let items = found.data.into_iter().filter(enabled).map(item).collect();
        Ok(Answer::Holds { revision, items })
    }

    fn waits(&self) -> bool {
        true
    }
}

pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}
