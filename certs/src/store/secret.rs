//! A Kubernetes Secret as the store. Needs `get`, `list`, `watch` and `patch` on that one Secret
//! (list and watch name it by field selector, so `resourceNames` may restrict them) and `create`.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PartialObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use zeroize::Zeroizing;

use super::{Changes, Store, Stored};
use crate::backoff::Backoff;
use crate::error::Error;
use crate::self_issued::Texts;

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Names the writer in the Secret's managed fields.
const MANAGER: &str = "mesher-certs";

/// The Secret `name` of `namespace`, of type `kubernetes.io/tls` with `ca.crt` and `ca.key`
/// beside. Labels, annotations and other keys of an existing one stay.
#[derive(Clone)]
pub struct SecretStore {
    api: Api<Secret>,
    namespace: String,
    name: String,
}

impl SecretStore {
    /// Uses the Secret `name` of `namespace`.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    async fn call<T>(
        &self,
        answer: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(Error::Api { place: self.place(), source: Box::new(source) }),
            Err(_) => Err(Error::Deadline { place: self.place(), deadline: DEADLINE }),
        }
    }
}

impl Store for SecretStore {
    fn place(&self) -> String {
        format!("Secret {}/{}", self.namespace, self.name)
    }

    async fn load(&self) -> Result<Stored, Error> {
        let Some(secret) = self.call(self.api.get_opt(&self.name)).await? else {
            return Ok(Stored::default());
        };
        let version = secret.resource_version();
        let mut data = secret.data.unwrap_or_default();
        let mut take = |key: &str| data.remove(key).map(|b| b.0).unwrap_or_default();
        let texts = Texts {
            ca_crt: take("ca.crt"),
            ca_key: Zeroizing::new(take("ca.key")),
            tls_crt: take("tls.crt"),
            tls_key: Zeroizing::new(take("tls.key")),
        };
        Ok(Stored { texts: Some(texts), version })
    }

    async fn save(&self, texts: &Texts, version: Option<&str>) -> Result<(), Error> {
        let mut secret = Secret { data: Some(data(texts)), ..Secret::default() };
        let answer = if let Some(version) = version {
            secret.metadata.resource_version = Some(version.to_owned());
            let params = PatchParams { field_manager: Some(MANAGER.into()), ..Default::default() };
            self.call(self.api.patch(&self.name, &params, &Patch::Merge(&secret))).await
        } else {
            secret.metadata.name = Some(self.name.clone());
            secret.type_ = Some("kubernetes.io/tls".into());
            let params = PostParams { field_manager: Some(MANAGER.into()), ..Default::default() };
            self.call(self.api.create(&params, &secret)).await
        };
        match answer {
            Ok(_) => Ok(()),
            Err(Error::Api { source, .. }) if lost_the_race(&source) => {
                Err(Error::Conflict { place: self.place() })
            }
            Err(other) => Err(other),
        }
    }

    fn watch(&self) -> Changes {
        // Metadata alone: the keys need not travel, nor lie in memory, to learn of a change.
        let api: Api<PartialObjectMeta<Secret>> =
            Api::namespaced(self.api.clone().into_client(), &self.namespace);
        let (name, place) = (self.name.clone(), self.place());
        Changes::from_task(|notify| async move {
            let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
            let mut events = std::pin::pin!(watcher::watch_object(api, &name).backoff(backoff));
            while let Some(event) = events.next().await {
                match event {
                    Ok(_) => notify.notify_one(),
                    Err(error) => tracing::debug!(%place, %error, "watch interrupted"),
                }
            }
        })
    }
}

/// Somebody else created, changed or deleted the Secret since it was read.
fn lost_the_race(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 404 | 409) && !missing_namespace(status))
}

/// A 404 that names the namespace is no race: the namespace does not exist.
fn missing_namespace(status: &kube::core::Status) -> bool {
    status.details.as_ref().is_some_and(|d| d.kind == "namespaces")
}

fn data(texts: &Texts) -> BTreeMap<String, ByteString> {
    [
        ("ca.crt", texts.ca_crt.as_slice()),
        ("ca.key", texts.ca_key.as_slice()),
        ("tls.crt", texts.tls_crt.as_slice()),
        ("tls.key", texts.tls_key.as_slice()),
    ]
    .map(|(key, text)| (key.to_owned(), ByteString(text.to_vec())))
    .into()
}
