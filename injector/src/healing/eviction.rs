//! One eviction, step by step: what was known of a pod may be old by now, so everything is looked at
//! anew, and the API server is told which pod it was that was looked at.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};

use super::owner::{Owner, created, is_ready};
use super::queue::{Candidate, Turn};
use super::rehearsal::successor;
use super::webhook::Webhook;
use super::{Settings, Surroundings};
use crate::check::workloads::Place;
use crate::kubernetes::{Error, call, get, post};
use crate::manifest;

/// How an attempt to evict a pod ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The API server took the pod away, or is about to.
    Evicted,
    /// A PodDisruptionBudget forbids it at present.
    DisruptionBudget,
    /// The pod serves, and its workload has others that do not.
    NotWhole,
    /// Its successor would get no sidecar: a dry run came back without.
    NotInjected,
    /// The API server would not take its successor, as with a quota that is used up.
    DryRunRefused,
    /// The pod is gone, or is not what it was: nothing to do.
    Changed,
    /// The API server did not do what was asked.
    Failed,
}

impl Attempt {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Evicted,
        Self::DisruptionBudget,
        Self::NotWhole,
        Self::NotInjected,
        Self::DryRunRefused,
        Self::Changed,
        Self::Failed,
    ];

    /// The word in the log and the metric.
    ///
    /// ```
    /// assert_eq!(injector::healing::Attempt::NotWhole.as_str(), "not_whole");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::DisruptionBudget => "disruption_budget",
            Self::NotWhole => "not_whole",
            Self::NotInjected => "not_injected",
            Self::DryRunRefused => "dry_run_refused",
            Self::Changed => "changed",
            Self::Failed => "failed",
        }
    }
}

/// What became of an attempt.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) attempt: Attempt,
    pub(super) turn: Turn,
    /// Details for the log.
    pub(super) detail: String,
    /// `replicaset/web-5d4f`; empty where it was not looked at.
    pub(super) owner: String,
}

impl Ended {
    fn new(attempt: Attempt, detail: impl Into<String>) -> Self {
        let turn = if attempt == Attempt::Changed { Turn::Gone } else { Turn::Later };
        Self { attempt, turn, detail: detail.into(), owner: String::new() }
    }
}

/// What an attempt needs.
pub(super) struct Evictor<'a> {
    pub(super) client: &'a Client,
    pub(super) settings: &'a Settings,
    pub(super) surroundings: &'a Surroundings,
}

impl Evictor<'_> {
    /// Evicts `candidate`, if everything that speaks for it still holds.
    pub(super) async fn attempt(&self, candidate: &Candidate) -> Ended {
        match self.go(candidate).await {
            Ok(ended) => ended,
            Err(error) => Ended::new(Attempt::Failed, error.to_string()),
        }
    }

    async fn go(&self, candidate: &Candidate) -> Result<Ended, Error> {
        let Candidate { namespace, name, .. } = candidate;
        let pods: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &ApiResource::erase::<Pod>(&()));
        let Some(found) = call("reading a pod", pods.get_opt(name)).await? else {
            return Ok(Ended::new(Attempt::Changed, "it is gone"));
        };
        if found.metadata.uid.as_deref() != Some(candidate.uid.as_str()) {
            return Ok(Ended::new(Attempt::Changed, "another has its name"));
        }
        let version = found.metadata.resource_version.clone();
        let pod = document(found);
        if !self.still_mends(&pod, namespace).await? {
            return Ok(Ended::new(Attempt::Changed, "it would not get a sidecar, or has one"));
        }
        let Ok(owner) = Owner::of(&pod, &self.settings.namespace) else {
            return Ok(Ended::new(Attempt::Changed, "no controller makes it anew"));
        };
        let read = self.client.request::<Value>(get(&owner.path(namespace)));
        let found = match call("reading the controller of a pod", read).await {
            Err(error) if code(&error) == 404 => Value::Null,
            found => found?,
        };
        if !owner.is(&found) {
            return Ok(Ended::new(Attempt::Changed, "its controller is gone"));
        }
        if is_ready(&pod) && !owner.is_whole(&found) {
            let detail = format!("not all pods of {} are ready", owner.label());
            return Ok(Ended::new(Attempt::NotWhole, detail));
        }
        let tried = match self.rehearse(&pods, &pod).await? {
            Ok(tried) => tried,
            Err(refusal) => return Ok(Ended::new(Attempt::DryRunRefused, refusal)),
        };
        if crate::uninject(&tried).is_none() {
            let detail = "a dry run of its successor came back without a sidecar";
            return Ok(Ended::new(Attempt::NotInjected, detail));
        }
        let mut ended = self.evict(candidate, version.as_deref()).await?;
        ended.owner = owner.label();
        if ended.attempt == Attempt::Evicted {
            ended.turn = Turn::Evicted(created(&tried).to_owned());
        }
        Ok(ended)
    }

    /// Judges the pod by the policy, the webhook configuration and the namespace of this moment.
    async fn still_mends(&self, pod: &Value, namespace: &str) -> Result<bool, Error> {
        let webhook = Webhook::read(self.client, self.settings).await?;
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let about = call("reading a namespace", namespaces.get_metadata(namespace)).await?;
        let settings = manifest_settings((*self.surroundings.rules.policy()).clone());
        let mut place = Place::new(&settings, webhook.sieve());
        place.note(&super::follow::namespace(&about));
        Ok(place.lack(pod).is_some_and(|lack| lack.mends))
    }

    /// Has the API server create the pod's successor, as far as it takes to know what it would be.
    async fn rehearse(
        &self,
        pods: &Api<DynamicObject>,
        pod: &Value,
    ) -> Result<Result<Value, String>, Error> {
        let Ok(successor) = serde_json::from_value::<DynamicObject>(successor(pod)) else {
            return Ok(Err("the pod cannot be copied".to_owned()));
        };
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let asked = call("creating a pod as a dry run", pods.create(&dry_run, &successor)).await;
        match asked {
            Ok(tried) => Ok(Ok(document(tried))),
            Err(error) if is_about_the_pod(&error) => Ok(Err(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// Asks the API server to evict this very pod, unless it has changed meanwhile.
    async fn evict(&self, candidate: &Candidate, version: Option<&str>) -> Result<Ended, Error> {
        let Candidate { namespace, name, uid, .. } = candidate;
        let body = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": uid, "resourceVersion": version}},
        });
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
        let sent = self.client.request::<Value>(post(&path, &body));
        match call("evicting a pod", sent).await {
            Ok(_) => Ok(Ended::new(Attempt::Evicted, "")),
            Err(error) => match code(&error) {
                404 | 409 => Ok(Ended::new(Attempt::Changed, "it changed meanwhile")),
                429 if names_budget(&error) => {
                    Ok(Ended::new(Attempt::DisruptionBudget, error.to_string()))
                }
                _ => Err(error),
            },
        }
    }
}

/// The HTTP status of a refusal; 0 where the API server said nothing.
fn code(error: &Error) -> u16 {
    error.status().map_or(0, |status| status.code)
}

/// Whether the API server would not take this pod, and it is no matter of rights, load or faults.
fn is_about_the_pod(error: &Error) -> bool {
    let lacks_right = |message: &str| message.contains("cannot create resource");
    let about = |code| (400..500).contains(&code) && ![401, 408, 429].contains(&code);
    error.status().is_some_and(|said| about(said.code) && !lacks_right(&said.message))
}

/// Whether a disruption budget is the cause: the API server also says 429 when it is busy.
fn names_budget(error: &Error) -> bool {
    let details = error.status().and_then(|status| status.details.as_ref());
    details.is_some_and(|details| details.causes.iter().any(|c| c.reason == "DisruptionBudget"))
}

/// How manifests are judged, of which this is none.
pub(super) fn manifest_settings(policy: crate::Policy) -> manifest::Settings {
    manifest::Settings { policy, namespace: "default".into(), reformat: false }
}

/// The pod as `check` reads it. Items of a list say neither version nor kind.
pub(super) fn document(pod: DynamicObject) -> Value {
    let DynamicObject { mut metadata, data: mut document, .. } = pod;
    metadata.managed_fields = None;
    document["apiVersion"] = json!("v1");
    document["kind"] = json!("Pod");
    document["metadata"] = json!(metadata);
    document
}
