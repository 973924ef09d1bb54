//! `/microservices/{service}/schemas`

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::Shared;
use super::body::Sent;
use super::client::Client;
use super::reply::{self, Answer, With};
use crate::store::{Schema, SchemaChange};

const SUMMARY: HeaderName = HeaderName::from_static("x-schema-summary");

/// Adds the summary of a schema, if it has one.
pub(super) fn with_summary(answer: Response, summary: &str) -> Response {
    match HeaderValue::from_str(summary) {
        Ok(value) if !summary.is_empty() => answer.with(SUMMARY, value),
        _ => answer,
    }
}

pub(super) async fn one(State(service): Shared, client: Client) -> Answer {
    let path = &client.path;
    let found =
        service.live.read(|store| store.schema(&client.tenant, &path.service, &path.schema))?;
    Ok(with_summary(reply::json(&json!({"schema": found.schema})), &found.summary))
}

pub(super) async fn list(State(service): Shared, client: Client) -> Answer {
    let mut schemas =
        service.live.read(|store| store.schemas(&client.tenant, &client.path.service))?;
    if !client.is_set("withSchema") {
        for schema in &mut schemas {
            schema.schema.clear();
        }
    }
    let body = if schemas.is_empty() { json!({}) } else { json!({"schemas": schemas}) };
    Ok(reply::json(&body))
}

pub(super) async fn put(
    State(service): Shared,
    client: Client,
    Sent(change): Sent<SchemaChange>,
) -> Answer {
    let (tenant, path) = (&client.tenant, &client.path);
    service
        .live
        .command(|store, now| store.put_schema(tenant, &path.service, &path.schema, change, now))
        .await?;
    Ok(reply::done())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Several {
    schemas: Vec<Schema>,
}

pub(super) async fn put_many(
    State(service): Shared,
    client: Client,
    Sent(Several { schemas }): Sent<Several>,
) -> Answer {
    let (tenant, id) = (&client.tenant, &client.path.service);
    service.live.command(|store, now| store.put_schemas(tenant, id, schemas, now)).await?;
    Ok(reply::done())
}

pub(super) async fn delete(State(service): Shared, client: Client) -> Answer {
    let (tenant, path) = (&client.tenant, &client.path);
    service
        .live
        .command(|store, now| store.delete_schema(tenant, &path.service, &path.schema, now))
        .await?;
    Ok(reply::done())
}
