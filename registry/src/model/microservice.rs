//! One version of a service.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Properties, ServiceName};

/// One version of a service: what consumers find, and what instances belong to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Microservice {
    /// 40 hexadecimal digits derived from its name (see [`super::service_id`]), unless the client
    /// chose it.
    pub service_id: String,
    /// The application it belongs to; others see it only where `allowCrossApp` says so.
    pub app_id: String,
    /// Its name.
    pub service_name: String,
    /// `x[.y[.z[.w]]]`.
    pub version: String,
    /// Text for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// `FRONT`, `MIDDLE` or `BACK`.
    pub level: String,
    /// The names of its contracts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<String>,
    /// Kept as they came: nothing here reads them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<Value>,
    /// `UP` or `DOWN`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// What the client wants others to know; `allowCrossApp` is also obeyed.
    #[serde(skip_serializing_if = "Properties::is_empty")]
    pub properties: Properties,
    /// When it was registered, in seconds since 1970.
    pub timestamp: String,
    /// Another name to find it by.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub alias: String,
    /// When it was last changed, in seconds since 1970.
    pub mod_timestamp: String,
    /// Empty, or `development`, `testing`, `acceptance`, `production`. They never see each other.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub environment: String,
    /// `SDK`, `SIDECAR` or `PLATFORM`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub register_by: String,
    /// What registered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub framework: Option<Framework>,
}

/// The software that registered a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Framework {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
}

impl Microservice {
    /// The name that its versions share.
    pub fn name(&self) -> ServiceName {
        ServiceName::new(&self.environment, &self.app_id, &self.service_name)
    }

    /// The name that its versions share when they are looked up by their alias.
    pub fn alias_name(&self) -> Option<ServiceName> {
        (!self.alias.is_empty())
            .then(|| ServiceName::new(&self.environment, &self.app_id, &self.alias))
    }

    /// Whether services of other applications may see it.
    pub fn allows_cross_app(&self) -> bool {
        self.properties
            .get("allowCrossApp")
            .is_some_and(|allowed| allowed.eq_ignore_ascii_case("true"))
    }
}
