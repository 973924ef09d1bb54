//! What a command changes: what is applied, and what a data file keeps.

use serde::{Deserialize, Serialize};

use crate::model::{Instance, Microservice, Properties, ServiceName, Tenant};

/// One step of the state. Applying a change twice is the same as once, and a state is the same as
/// the changes that [`super::Store::snapshot`] gives for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Whose state.
    pub tenant: Tenant,
    /// What becomes of it.
    pub what: What,
}

/// What becomes of a tenant's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum What {
    /// A service is new or has other content.
    Service(Box<Microservice>),
    /// A service is gone, with all that belongs to it.
    ServiceGone {
        /// Its id.
        service: String,
    },
    /// An instance is new or has other content.
    Instance(Box<Instance>),
    /// An instance is gone.
    InstanceGone {
        /// Its service.
        service: String,
        /// Its id.
        instance: String,
    },
    /// The tags of a service.
    Tags {
        /// The service.
        service: String,
        /// All of them.
        tags: Properties,
    },
    /// A schema of a service is new or has other content.
    Schema {
        /// The service.
        service: String,
        /// The schema.
        schema: Box<Schema>,
    },
    /// A schema is gone.
    SchemaGone {
        /// The service.
        service: String,
        /// The schema's id.
        schema: String,
    },
    /// What a service looks up.
    LooksUp {
        /// The consumer's id.
        service: String,
        /// All that it looks up.
        providers: Vec<ServiceName>,
    },
}

/// A contract of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "these are their names on the wire")]
pub struct Schema {
    /// Its id within the service.
    pub schema_id: String,
    /// The text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub schema: String,
    /// A digest of the text that the client chose.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub summary: String,
}
