//! Who asks, and about what: tenant, consumer, and the ids in the path.

use std::collections::HashMap;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::Deserialize;

use crate::model::Tenant;
use crate::store::Refusal;

/// A domain or project has at most so many characters: it is part of every key.
const LONGEST_NAME: usize = 64;

/// Who asks, and about what.
#[derive(Debug)]
pub(super) struct Client {
    /// Domain from a header, project from the path.
    pub(super) tenant: Tenant,
    /// The id in `X-ConsumerId`, or nothing.
    pub(super) consumer: String,
    /// What the path names.
    pub(super) path: Named,
    /// The query of the URL.
    query: HashMap<String, String>,
}

/// What a path names; what it has no place for is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Named {
    project: String,
    pub(super) service: String,
    pub(super) instance: String,
    pub(super) schema: String,
    pub(super) key: String,
}

impl Client {
    /// A parameter of the query, or nothing.
    pub(super) fn query(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Whether a parameter says yes.
    pub(super) fn is_set(&self, name: &str) -> bool {
        matches!(self.query(name), "1" | "true" | "True" | "TRUE" | "t" | "T")
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::<Named>::from_request_parts(parts, state).await;
        let Path(path) = path.map_err(|error| Refusal::invalid(error.body_text()))?;
        let Query(query) = Query::<HashMap<String, String>>::from_request_parts(parts, state)
            .await
            .map_err(|error| Refusal::invalid(error.body_text()))?;
        let header = |name| {
            let value = parts.headers.get(name).filter(|value| !value.is_empty())?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        // The older paths have no project, and their domain has another name.
        let (domain, project) = if path.project.is_empty() {
            (header("x-tenant-name").or_else(|| header("x-domain-name")), "default".to_owned())
        } else {
            (header("x-domain-name"), path.project.clone())
        };
        let tenant = Tenant { domain: domain.unwrap_or_else(|| "default".into()), project };
        for (what, name) in [("domain", &tenant.domain), ("project", &tenant.project)] {
            if name.chars().count() > LONGEST_NAME || name.contains('/') {
                let rule = format!("at most {LONGEST_NAME} characters, none of them a slash");
                return Err(Refusal::invalid(format!("the {what} is not acceptable: {rule}")));
            }
        }
        let consumer = header("x-consumerid").unwrap_or_default();
        Ok(Self { tenant, consumer, path, query })
    }
}
