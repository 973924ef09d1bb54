//! `/govern/…`: what consoles and people ask about everything at once.

use axum::extract::State;
use serde_json::json;

use super::Shared;
use super::client::Client;
use super::reply::{self, Answer};

pub(super) async fn apps(State(service): Shared, client: Client) -> Answer {
    let apps = service.live.read(|store| store.apps(&client.tenant));
    let body = if apps.is_empty() { json!({}) } else { json!({"appIds": apps}) };
    Ok(reply::json(&body))
}

/// All services. `options` is not needed: everything is told.
pub(super) async fn list(State(service): Shared, client: Client) -> Answer {
    let app = client.query("appId");
    let details = service.live.read(|store| store.details(&client.tenant, app));
    let body = if details.is_empty() { json!({}) } else { json!({"allServicesDetail": details}) };
    Ok(reply::json(&body))
}

pub(super) async fn one(State(service): Shared, client: Client) -> Answer {
    let detail = service.live.read(|it| it.detail(&client.tenant, &client.path.service))?;
    Ok(reply::json(&json!({"service": detail})))
}

pub(super) async fn statistics(State(service): Shared, client: Client) -> Answer {
    let counts = service.live.read(|store| store.counts(&client.tenant));
    Ok(reply::json(&json!({"statistics": {
        "services": {"count": counts.services, "onlineCount": counts.online},
        "instances": {"count": counts.instances},
        "apps": {"count": counts.apps},
    }})))
}
