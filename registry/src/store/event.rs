//! What watchers are told.

use std::sync::Arc;

use serde::Serialize;

use crate::model::{Instance, Microservice, Tenant};

/// Something happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where.
    pub tenant: Tenant,
    /// The ids of the services that look its service up: theirs are the watchers to tell.
    pub to: Vec<String>,
    /// What they are told.
    pub notice: Arc<Notice>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Action {
    /// It is new.
    Create,
    /// Its status or properties are others.
    Update,
    /// It is gone, deleted or expired; the record is the last one.
    Delete,
}

/// One message to a watcher.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    action: Action,
    key: Key,
    instance: Arc<Instance>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    tenant: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    environment: String,
    app_id: String,
    service_name: String,
    version: String,
}

impl Notice {
    pub(super) fn new(
        action: Action,
        tenant: &Tenant,
        service: &Microservice,
        instance: Arc<Instance>,
    ) -> Self {
        let key = Key {
            tenant: tenant.to_string(),
            environment: service.environment.clone(),
            app_id: service.app_id.clone(),
            service_name: service.service_name.clone(),
            version: service.version.clone(),
        };
        Self { action, key, instance }
    }

    /// What happened.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The instance it happened to.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }
}
