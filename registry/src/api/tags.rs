//! `/microservices/{service}/tags`

use axum::extract::State;
use serde::Deserialize;
use serde_json::json;

use super::Shared;
use super::body::Sent;
use super::client::Client;
use super::reply::{self, Answer};
use crate::model::Properties;

pub(super) async fn list(State(service): Shared, client: Client) -> Answer {
    let tags = service.live.read(|store| store.tags(&client.tenant, &client.path.service))?;
    let body = if tags.is_empty() { json!({}) } else { json!({"tags": tags}) };
    Ok(reply::json(&body))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NewTags {
    tags: Properties,
}

pub(super) async fn add(
    State(service): Shared,
    client: Client,
    Sent(NewTags { tags }): Sent<NewTags>,
) -> Answer {
    let (tenant, id) = (&client.tenant, &client.path.service);
    service.live.command(|store, now| store.add_tags(tenant, id, tags, now)).await?;
    Ok(reply::done())
}

pub(super) async fn update(State(service): Shared, client: Client) -> Answer {
    let (tenant, path, value) = (&client.tenant, &client.path, client.query("value"));
    service
        .live
        .command(|store, now| store.update_tag(tenant, &path.service, &path.key, value, now))
        .await?;
    Ok(reply::done())
}

/// Deletes one tag, or several that stand in the path with commas.
pub(super) async fn delete(State(service): Shared, client: Client) -> Answer {
    let (tenant, path) = (&client.tenant, &client.path);
    let keys: Vec<&str> = path.key.split(',').collect();
    service.live.command(|store, now| store.delete_tags(tenant, &path.service, &keys, now)).await?;
    Ok(reply::done())
}
