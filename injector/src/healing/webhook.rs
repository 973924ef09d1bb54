//! The webhook configuration as it is: whose pods the API server shows to the injector.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::Api;
use kube::{Client, ResourceExt};
use serde_json::Value;

use super::Settings;
use crate::check::workloads::Sieve;
use crate::kubernetes::ca_bundle::is_ours;
use crate::kubernetes::{Error, call};

/// What of it decides about pods.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Webhook {
    /// The first of our entries; `None`: there is none, and what ships is taken for it.
    entry: Option<Value>,
    /// When the configuration was made.
    pub(super) since: Option<String>,
}

impl Webhook {
    pub(super) async fn read(client: &Client, settings: &Settings) -> Result<Self, Error> {
        let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
        let read = api.get_opt(&settings.configuration);
        let Some(found) = call("reading the MutatingWebhookConfiguration", read).await? else {
            return Ok(Self { entry: None, since: None });
        };
        let mut entries = found.webhooks.iter().flatten();
        let ours = entries.find(|entry| is_ours(&entry.name, &settings.webhooks));
        let mut entry = ours.and_then(|entry| serde_json::to_value(entry).ok());
        // A new CA changes nothing about whose pods are seen.
        if let Some(client) = entry.as_mut().and_then(|e| e["clientConfig"].as_object_mut()) {
            client.remove("caBundle");
        }
        let since = found.creation_timestamp().map(|time| {
            let written = serde_json::to_value(time).unwrap_or_default();
            written.as_str().unwrap_or_default().to_owned()
        });
        Ok(Self { entry, since })
    }

    /// The selectors of the entry.
    pub(super) fn sieve(&self) -> Sieve {
        self.entry.as_ref().map_or_else(Sieve::shipped, Sieve::of)
    }
}
