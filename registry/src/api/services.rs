//! `/microservices` and `/existence`

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::body::Sent;
use super::client::Client;
use super::reply::{self, Answer};
use super::schemas::with_summary;
use crate::live::fresh_id;
use crate::model::{Properties, ServiceName};
use crate::store::{Deleted, NewService, Refusal};

pub(super) async fn register(
    State(service): Shared,
    client: Client,
    Sent(new): Sent<NewService>,
) -> Answer {
    let registered = service
        .live
        .command(|store, now| store.register_service(&client.tenant, new, fresh_id, now));
    Ok(reply::json(&json!({"serviceId": registered.await?})))
}

pub(super) async fn list(State(service): Shared, client: Client) -> Answer {
    let services = service.live.read(|store| store.list_services(&client.tenant));
    let body = if services.is_empty() { json!({}) } else { json!({"services": services}) };
    Ok(reply::json(&body))
}

pub(super) async fn one(State(service): Shared, client: Client) -> Answer {
    let found = service.live.read(|it| it.get_service(&client.tenant, &client.path.service))?;
    Ok(reply::json(&json!({"service": found})))
}

pub(super) async fn exists(State(service): Shared, client: Client) -> Answer {
    match client.query("type") {
        "microservice" => {
            let app = client.query("appId");
            let name = ServiceName::new(client.query("env"), app, client.query("serviceName"));
            let version = client.query("version");
            let id = service.live.read(|it| it.service_exists(&client.tenant, &name, version))?;
            Ok(reply::json(&json!({"serviceId": id})))
        }
        "schema" => {
            let (id, schema) = (client.query("serviceId"), client.query("schemaId"));
            let found = service.live.read(|store| store.schema(&client.tenant, id, schema))?;
            let answer = reply::json(&json!({"serviceId": id, "schemaId": schema}));
            Ok(with_summary(answer, &found.summary))
        }
        _ => Err(Refusal::invalid("Only micro-service and schema can be used as type.")),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NewProperties {
    pub(super) properties: Properties,
}

pub(super) async fn set_properties(
    State(service): Shared,
    client: Client,
    Sent(new): Sent<NewProperties>,
) -> Answer {
    let (tenant, id) = (&client.tenant, &client.path.service);
    service
        .live
        .command(|store, now| store.set_service_properties(tenant, id, new.properties, now))
        .await?;
    Ok(reply::done())
}

pub(super) async fn delete(State(service): Shared, client: Client) -> Answer {
    let (tenant, id, force) = (&client.tenant, &client.path.service, client.is_set("force"));
    service.live.command(|store, now| store.delete_service(tenant, id, force, now)).await?;
    Ok(reply::done())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Several {
    service_ids: Vec<String>,
    force: bool,
}

pub(super) async fn delete_many(
    State(service): Shared,
    client: Client,
    Sent(Several { service_ids, force }): Sent<Several>,
) -> Answer {
    let deleted = service
        .live
        .command(|store, now| store.delete_services(&client.tenant, service_ids, force, now))
        .await?;
    let entries: Vec<Value> = deleted
        .into_iter()
        .map(|Deleted { service, refusal }| match refusal {
            Some(refusal) => json!({"serviceId": service, "errMessage": refusal.to_string()}),
            None => json!({"serviceId": service}),
        })
        .collect();
    Ok(reply::json(&json!({"services": entries})))
}
