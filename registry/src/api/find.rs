//! Finding instances. Each answer has its revision; who sends it back as `rev` is told 304 for as
//! long as nothing has changed.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::Shared;
use super::body::Sent;
use super::client::Client;
use super::reply::{self, Answer, With};
use crate::store::{Batch, BatchAnswer, Found, Query, Refusal};

const REVISION: HeaderName = HeaderName::from_static("x-resource-revision");

pub(super) async fn find(State(service): Shared, client: Client) -> Answer {
    let tags = client.query("tags").split(',').filter(|tag| !tag.is_empty());
    let query = Query {
        environment: client.query("env").into(),
        app: client.query("appId").into(),
        service: client.query("serviceName").into(),
        tags: tags.map(str::to_owned).collect(),
    };
    let found = service
        .live
        .command(|store, now| store.find(&client.tenant, &client.consumer, &query, now))
        .await?;
    Ok(instances(&client, &found))
}

pub(super) async fn list(State(service): Shared, client: Client) -> Answer {
    let (tenant, consumer) = (&client.tenant, &client.consumer);
    let found =
        service.live.read(|store| store.list_instances(tenant, consumer, &client.path.service))?;
    Ok(instances(&client, &found))
}

pub(super) async fn one(State(service): Shared, client: Client) -> Answer {
    let (tenant, consumer, path) = (&client.tenant, &client.consumer, &client.path);
    let found = service
        .live
        .read(|store| store.get_instance(tenant, consumer, &path.service, &path.instance))?;
    let body = json!({"instance": found.instances.first()});
    Ok(unless_known(&client, &found, || reply::json(&body)))
}

fn instances(client: &Client, found: &Found) -> Response {
    #[derive(Serialize)]
    struct Body<'a> {
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        instances: &'a [std::sync::Arc<crate::model::Instance>],
    }
    unless_known(client, found, || reply::json(&Body { instances: &found.instances }))
}

fn unless_known(client: &Client, found: &Found, answer: impl FnOnce() -> Response) -> Response {
    let revision = HeaderValue::from_str(&found.revision).expect("hexadecimal digits");
    if client.query("rev") == found.revision {
        return StatusCode::NOT_MODIFIED.into_response().with(REVISION, revision);
    }
    answer().with(REVISION, revision)
}

pub(super) async fn find_many(
    State(service): Shared,
    client: Client,
    Sent(batch): Sent<Batch>,
) -> Answer {
    #[derive(Serialize)]
    struct Body {
        #[serde(skip_serializing_if = "Option::is_none")]
        services: Option<BatchAnswer>,
        #[serde(skip_serializing_if = "Option::is_none")]
        instances: Option<BatchAnswer>,
    }
    let action = client.query("type");
    if action != "query" {
        return Err(Refusal::invalid(format!("Invalid action: {action}")));
    }
    let (services, instances) = service
        .live
        .command(|store, now| store.find_many(&client.tenant, &client.consumer, batch, now))
        .await?;
    Ok(reply::json(&Body { services, instances }))
}
