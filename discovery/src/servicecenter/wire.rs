//! The bodies of service-center's v4 API, as far as a proxy uses them.
//!
//! Field names are those of the API. What may be absent is optional, whatever the documentation
//! says: a status can be lost, and a service without instances has no list of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Place;

/// `POST /microservices`.
#[derive(Debug, Serialize)]
pub(super) struct NewService<'a> {
    pub(super) service: ServiceBody<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceBody<'a> {
    pub(super) app_id: &'a str,
    pub(super) service_name: &'a str,
    pub(super) version: &'a str,
    pub(super) environment: &'a str,
    pub(super) level: &'a str,
    pub(super) status: &'a str,
    pub(super) properties: &'a BTreeMap<String, String>,
    pub(super) framework: Framework<'a>,
    /// `SIDECAR`: who spoke for the application.
    pub(super) register_by: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct Framework<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceId {
    pub(super) service_id: String,
}

/// `PUT /microservices/{id}/properties`: replaces the whole map.
#[derive(Debug, Serialize)]
pub(super) struct Properties<'a> {
    pub(super) properties: &'a BTreeMap<String, String>,
}

/// `POST /microservices/{id}/instances`.
#[derive(Debug, Serialize)]
pub(super) struct NewInstance<'a> {
    pub(super) instance: InstanceBody<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstanceBody<'a> {
    pub(super) instance_id: &'a str,
    pub(super) service_id: &'a str,
    pub(super) host_name: &'a str,
    pub(super) endpoints: &'a [String],
    pub(super) status: &'a str,
    pub(super) properties: &'a BTreeMap<String, String>,
    pub(super) health_check: HealthCheck,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data_center_info: Option<&'a Place>,
}

/// The lease is `max(interval, 5) × 4` seconds; `times` is ignored, but has to be there.
#[derive(Debug, Serialize)]
pub(super) struct HealthCheck {
    pub(super) mode: &'static str,
    pub(super) interval: u64,
    pub(super) times: u32,
}

/// An instance as find and watch tell of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstanceRecord {
    pub(super) instance_id: String,
    #[serde(default)]
    pub(super) endpoints: Vec<String>,
    #[serde(default)]
    pub(super) status: Option<String>,
    #[serde(default)]
    pub(super) properties: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) version: String,
    #[serde(default)]
    pub(super) data_center_info: Option<DataCenter>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataCenter {
    #[serde(default)]
    pub(super) region: String,
    #[serde(default)]
    pub(super) available_zone: String,
}

/// `GET /instances`. An empty result has no list.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Instances {
    #[serde(default)]
    pub(super) instances: Vec<InstanceRecord>,
}

/// `POST /instances/action?type=query`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchFind<'a> {
    pub(super) consumer_service_id: &'a str,
    pub(super) services: Vec<FindOne<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct FindOne<'a> {
    pub(super) service: FindKey<'a>,
    pub(super) rev: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FindKey<'a> {
    pub(super) app_id: &'a str,
    pub(super) service_name: &'a str,
    /// Required, and ignored: all versions come.
    pub(super) version: &'a str,
    pub(super) environment: &'a str,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct BatchFound {
    #[serde(default)]
    pub(super) services: BatchServices,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BatchServices {
    pub(super) updated: Vec<Updated>,
    pub(super) not_modified: Vec<usize>,
    pub(super) failed: Vec<Failed>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Updated {
    pub(super) index: usize,
    #[serde(default)]
    pub(super) rev: String,
    #[serde(default)]
    pub(super) instances: Vec<InstanceRecord>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Failed {
    pub(super) indexes: Vec<usize>,
    pub(super) error: Refusal,
}

/// What every refusal carries; the code is a string of digits.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Refusal {
    pub(super) error_code: String,
    pub(super) error_message: String,
    pub(super) detail: String,
}

/// One frame of the watcher.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub(super) action: String,
    pub(super) key: EventKey,
    pub(super) instance: InstanceRecord,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventKey {
    pub(super) app_id: String,
    pub(super) service_name: String,
}

/// `POST /v4/token`.
#[derive(Debug, Serialize)]
pub(super) struct Account<'a> {
    pub(super) name: &'a str,
    pub(super) password: &'a str,
}

#[derive(Debug, Deserialize)]
pub(super) struct Token {
    pub(super) token: String,
}
