//! `/dependencies`, `/microservices/{service}/providers` and `…/consumers`

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::json;

use super::body::Sent;
use super::client::Client;
use super::reply::{self, Answer, With};
use super::{Service, Shared};
use crate::store::Dependency;

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SINCE: HeaderValue = HeaderValue::from_static("version=\"v4\"");

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Stated {
    dependencies: Vec<Dependency>,
}

pub(super) async fn replace(
    State(service): Shared,
    client: Client,
    Sent(stated): Sent<Stated>,
) -> Answer {
    depend(&service, &client, &stated, true).await
}

pub(super) async fn add(
    State(service): Shared,
    client: Client,
    Sent(stated): Sent<Stated>,
) -> Answer {
    depend(&service, &client, &stated, false).await
}

async fn depend(service: &Service, client: &Client, stated: &Stated, instead: bool) -> Answer {
    service
        .live
        .command(|store, now| store.depend(&client.tenant, &stated.dependencies, instead, now))
        .await?;
    Ok(reply::done().with(DEPRECATION, SINCE))
}

pub(super) async fn providers(State(service): Shared, client: Client) -> Answer {
    let found = service.live.read(|it| it.providers(&client.tenant, &client.path.service))?;
    let body = if found.is_empty() { json!({}) } else { json!({"providers": found}) };
    Ok(reply::json(&body))
}

pub(super) async fn consumers(State(service): Shared, client: Client) -> Answer {
    let found = service.live.read(|it| it.consumers(&client.tenant, &client.path.service))?;
    let body = if found.is_empty() { json!({}) } else { json!({"consumers": found}) };
    Ok(reply::json(&body))
}
