//! Instances: registering, heartbeats, and changes.

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::body::Sent;
use super::client::Client;
use super::reply::{self, Answer};
use super::services::NewProperties;
use crate::live::fresh_id;
use crate::model::Properties;
use crate::store::{Beat, NewInstance};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Registration {
    instance: Option<NewInstance>,
}

pub(super) async fn register(
    State(service): Shared,
    client: Client,
    Sent(new): Sent<Registration>,
) -> Answer {
    let (tenant, id) = (&client.tenant, &client.path.service);
    let registered = service
        .live
        .command(|store, now| store.register_instance(tenant, id, new.instance, fresh_id, now))
        .await?;
    Ok(reply::json(&json!({"instanceId": registered})))
}

pub(super) async fn delete(State(service): Shared, client: Client) -> Answer {
    let (tenant, path) = (&client.tenant, &client.path);
    service
        .live
        .command(|store, now| store.delete_instance(tenant, &path.service, &path.instance, now))
        .await?;
    Ok(reply::done())
}

pub(super) async fn heartbeat(State(service): Shared, client: Client) -> Answer {
    let (tenant, path) = (&client.tenant, &client.path);
    service
        .live
        .command(|store, now| store.heartbeat(tenant, &path.service, &path.instance, now))
        .await?;
    service.metrics.heartbeats(1);
    Ok(reply::done())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Beats {
    instances: Vec<Key>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Key {
    service_id: String,
    instance_id: String,
}

pub(super) async fn heartbeats(
    State(service): Shared,
    client: Client,
    Sent(Beats { instances }): Sent<Beats>,
) -> Answer {
    let beats = instances
        .into_iter()
        .map(|Key { service_id: service, instance_id: instance }| Beat {
            service,
            instance,
            refusal: None,
        })
        .collect();
    let beats =
        service.live.command(|store, now| store.heartbeats(&client.tenant, beats, now)).await?;
    service.metrics.heartbeats(beats.iter().filter(|beat| beat.refusal.is_none()).count());
    let entries: Vec<Value> = beats
        .into_iter()
        .map(|Beat { service, instance, refusal }| {
            let mut entry = json!({"serviceId": service, "instanceId": instance});
            if let Some(refusal) = refusal {
                entry["errMessage"] = refusal.to_string().into();
            }
            entry
        })
        .collect();
    Ok(reply::json(&json!({"instances": entries})))
}

pub(super) async fn set_status(State(service): Shared, client: Client) -> Answer {
    let (tenant, path, status) = (&client.tenant, &client.path, client.query("value"));
    service
        .live
        .command(|store, now| store.set_status(tenant, &path.service, &path.instance, status, now))
        .await?;
    Ok(reply::done())
}

pub(super) async fn set_properties(
    State(service): Shared,
    client: Client,
    Sent(NewProperties { properties }): Sent<NewProperties>,
) -> Answer {
    let (tenant, path) = (&client.tenant, &client.path);
    service
        .live
        .command(|store, now| {
            let (service, instance) = (&path.service, &path.instance);
            store.set_instance_properties(tenant, service, instance, properties, now)
        })
        .await?;
    Ok(reply::done())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ManyStatuses {
    matches: Matches,
    status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Matches {
    properties: Properties,
}

pub(super) async fn set_many_statuses(
    State(service): Shared,
    client: Client,
    Sent(ManyStatuses { matches, status }): Sent<ManyStatuses>,
) -> Answer {
    let (tenant, properties) = (&client.tenant, &matches.properties);
    service
        .live
        .command(|store, now| store.set_many_statuses(tenant, properties, &status, now))
        .await?;
    Ok(reply::done())
}
