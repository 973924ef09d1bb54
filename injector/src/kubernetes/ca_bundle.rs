//! Keeps `caBundle` of our own webhook entries equal to the CA we serve under. Of several replicas
//! the one that leads writes; every one looks, and knows since when the API server was told which
//! CAs to trust: from then on a new CA's settling time counts.
//!
//! The field is written by server-side apply under a field manager of its own, naming only entries
//! that exist: the rest of the object stays whoever's it is. The object is read first, and its
//! `uid` and `resourceVersion` are sent along: an object that was changed or deleted meanwhile
//! answers with a conflict, and is read again. So a configuration that an operator deleted is
//! never made again; once it is applied anew, its watch event fills it at once.
//!
//! As with every field that a controller sets in a list of named items, server-side apply by the
//! manifest's owner cannot take an entry out while this field stands in it (the API server answers
//! 422 about the fields it misses then): delete the configuration and apply it anew.

use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use certs::{Backoff, Bundle, Pace, Trust};
use futures::StreamExt;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Api, PartialObjectMeta, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Error, Settings, call, interrupted};

/// Owner of `caBundle` in the object's managed fields.
const MANAGER: &str = "sidecar-injector-ca";
/// How often the object is read though nothing was heard of it.
const RESYNC: Duration = Duration::from_mins(1);

/// How `caBundle` stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaBundle {
    /// The verdict of the last look.
    pub state: State,
    /// When `state` last became another.
    pub since: SystemTime,
    /// How often the field was written.
    pub writes: u64,
    /// Why changes are not reported at present (they are then seen every minute); `None` when
    /// they are.
    pub watch_error: Option<String>,
}

impl Default for CaBundle {
    fn default() -> Self {
        let since = SystemTime::UNIX_EPOCH;
        Self { state: State::Unknown, since, writes: 0, watch_error: None }
    }
}

/// The verdict on `caBundle`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not looked at yet.
    Unknown,
    /// There is no bundle to write: certificates are not loaded yet, or `files` names no CA file
    /// and somebody else fills the field.
    Unmanaged,
    /// All our entries hold our bundle: the API server can call us.
    Current,
    /// Some entry of ours holds another bundle, and the replica that leads is to write it.
    Stale,
    /// The configuration does not exist: no pod gets a sidecar. It is filled when it is applied.
    Missing,
    /// The configuration exists, and no entry of it is ours.
    NotOurs,
    /// It could not be read or written; tried again.
    Error {
        /// What is wrong, and what to do.
        message: String,
    },
}

impl State {
    /// Every word [`Self::as_str`] can say, for the label of a metric.
    pub const WORDS: [&'static str; 7] =
        ["unknown", "unmanaged", "current", "stale", "missing", "not_ours", "error"];

    /// The state in one word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Unmanaged => "unmanaged",
            Self::Current => "current",
            Self::Stale => "stale",
            Self::Missing => "missing",
            Self::NotOurs => "not_ours",
            Self::Error { .. } => "error",
        }
    }
}

/// What others are told.
pub(super) struct Report {
    pub(super) state: watch::Sender<CaBundle>,
    pub(super) trust: watch::Sender<Trust>,
}

/// Looks whenever the object, our bundle, who leads or the minute changes, and after a failure
/// sooner.
pub(super) async fn run(
    client: Client,
    settings: Settings,
    mut certificates: watch::Receiver<certs::Status>,
    mut leads: Option<watch::Receiver<bool>>,
    report: Report,
) {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    // An event only says that it is time to look, so metadata is enough.
    let watched: Api<PartialObjectMeta<MutatingWebhookConfiguration>> = Api::all(client);
    // A watch that lost its server is back within five seconds of the server, whatever the outage.
    let patience = Backoff::new(Duration::from_millis(200), Duration::from_secs(4));
    let mut events =
        pin!(watcher::watch_object(watched, &settings.configuration).backoff(patience.clone()));
    let mut backoff = patience;
    // Somebody else may want another value there: then neither of us should write without rest.
    let calm = || Pace::new(Duration::from_millis(100), Duration::from_secs(4));
    let (mut pace, mut written) = (calm(), None);
    loop {
        let bundle = certificates.borrow_and_update().bundle.clone();
        // What is new with us was undone by nobody.
        if written != bundle {
            (pace, written) = (calm(), bundle.clone());
        }
        // Whoever told is gone: no.
        let writes = leads
            .as_mut()
            .is_none_or(|leads| *leads.borrow_and_update() && leads.has_changed().is_ok());
        let pause = match look(&api, &settings, bundle.as_ref(), writes).await {
            Ok((found, wrote)) => {
                backoff.reset();
                report.trusts(bundle, &found, wrote);
                publish(&report.state, found, wrote);
                if wrote {
                    sleep(pace.rest(Instant::now())).await;
                }
                RESYNC
            }
            Err(error) => {
                if !error.is_conflict() {
                    publish(&report.state, State::Error { message: error.to_string() }, false);
                }
                backoff.delay()
            }
        };
        tokio::select! {
            event = events.next() => heard(&report.state, event),
            changed = certificates.changed() => {
                if changed.is_err() {
                    // Nobody issues any more; what we wrote last stays true.
                    return;
                }
            }
            () = elected(leads.as_mut()) => {}
            () = sleep(pause) => {}
        }
    }
}

/// Waits until this replica leads, or leads no more; for ever where that is no question.
async fn elected(leads: Option<&mut watch::Receiver<bool>>) {
    let told = match leads {
        Some(leads) => leads.changed().await.is_ok(),
        None => false,
    };
    if !told {
        std::future::pending::<()>().await;
    }
}

/// Reads the object and, if need be and this replica `writes`, writes our bundle into our entries.
async fn look(
    api: &Api<MutatingWebhookConfiguration>,
    settings: &Settings,
    bundle: Option<&Bundle>,
    writes: bool,
) -> Result<(State, bool), Error> {
    let Some(bundle) = bundle else {
        return Ok((State::Unmanaged, false));
    };
    let read = api.get_opt(&settings.configuration);
    let Some(found) = call("reading the MutatingWebhookConfiguration", read).await? else {
        return Ok((State::Missing, false));
    };
    match plan(&found, &settings.webhooks, bundle.to_pem().as_bytes()) {
        Plan::NotOurs => Ok((State::NotOurs, false)),
        Plan::Current => Ok((State::Current, false)),
        Plan::Apply(_) if !writes => Ok((State::Stale, false)),
        Plan::Apply(body) => {
            let params = PatchParams::apply(MANAGER).force();
            let body = Patch::Apply(body);
            let write = api.patch(&settings.configuration, &params, &body);
            call("writing caBundle", write).await?;
            Ok((State::Current, true))
        }
    }
}

impl Report {
    /// Tells what clients trust, as far as this look shows.
    fn trusts(&self, bundle: Option<Bundle>, found: &State, wrote: bool) {
        let now = SystemTime::now();
        self.trust.send_if_modified(|trust| {
            let next = match (found, bundle) {
                (State::Current, Some(bundle)) => match trust {
                    Trust::Confirmed { bundle: known, .. } if !wrote && *known == bundle => {
                        return false;
                    }
                    _ => Trust::Confirmed { bundle, since: now },
                },
                // No API server calls us, and before one does it is given all our CAs: who is to
                // settle would wait for nobody.
                (State::Missing | State::NotOurs, _) => Trust::Assumed,
                _ => Trust::Unconfirmed,
            };
            let another = *trust != next;
            *trust = next;
            another
        });
    }
}

/// What to do about a configuration.
#[derive(Debug, PartialEq)]
enum Plan {
    NotOurs,
    Current,
    Apply(Value),
}

fn plan(found: &MutatingWebhookConfiguration, webhooks: &[String], pem: &[u8]) -> Plan {
    let entries = found.webhooks.iter().flatten();
    let ours: Vec<_> = entries.filter(|entry| is_ours(&entry.name, webhooks)).collect();
    if ours.is_empty() {
        return Plan::NotOurs;
    }
    let filled = |b: &k8s_openapi::ByteString| b.0 == pem;
    if ours.iter().all(|entry| entry.client_config.ca_bundle.as_ref().is_some_and(filled)) {
        return Plan::Current;
    }
    let ca_bundle = k8s_openapi::ByteString(pem.to_vec());
    // All of ours, also those that are right already: an entry left out of an apply is disowned,
    // and its field removed.
    let named: Vec<Value> = ours
        .iter()
        .map(|entry| json!({"name": entry.name, "clientConfig": {"caBundle": &ca_bundle}}))
        .collect();
    Plan::Apply(json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {
            "name": found.name_any(),
            "uid": found.uid(),
            "resourceVersion": found.resource_version(),
        },
        "webhooks": named,
    }))
}

/// Whether an entry of a webhook configuration is one of ours.
pub(crate) fn is_ours(entry: &str, webhooks: &[String]) -> bool {
    webhooks.iter().any(|name| {
        entry.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

fn heard<T>(state: &watch::Sender<CaBundle>, event: Option<Result<T, watcher::Error>>) {
    let problem = match event {
        Some(Err(error)) => Some(interrupted(&error)),
        _ => None,
    };
    state.send_if_modified(|current| {
        if current.watch_error == problem {
            return false;
        }
        if let Some(error) = &problem {
            tracing::warn!(%error, "watching the MutatingWebhookConfiguration is interrupted");
        }
        current.watch_error = problem;
        true
    });
}

fn publish(state: &watch::Sender<CaBundle>, found: State, wrote: bool) {
    state.send_if_modified(|current| {
        current.writes += u64::from(wrote);
        if wrote {
            tracing::info!("caBundle written");
        }
        if current.state == found {
            return wrote;
        }
        match &found {
            State::Missing => tracing::warn!(
                "the MutatingWebhookConfiguration does not exist: no pod gets a sidecar until it \
                 is applied (kubectl apply -k manifests/...)"
            ),
            State::NotOurs => tracing::warn!(
                "no entry of the MutatingWebhookConfiguration is ours; check `kubernetes.webhooks`"
            ),
            State::Error { message } => tracing::warn!(error = %message, "caBundle"),
            other => tracing::info!(state = other.as_str(), "caBundle"),
        }
        current.state = found;
        current.since = SystemTime::now();
        true
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(entries: &[(&str, Option<&str>)]) -> MutatingWebhookConfiguration {
        let webhooks = entries
            .iter()
            .map(|(name, pem)| {
                let mut entry = json!({
                    "name": name, "sideEffects": "None", "admissionReviewVersions": ["v1"],
                    "clientConfig": {"url": "https://127.0.0.1:9443/mutate"},
                });
                if let Some(pem) = pem {
                    entry["clientConfig"]["caBundle"] =
                        json!(k8s_openapi::ByteString(pem.as_bytes().to_vec()));
                }
                entry
            })
            .collect::<Vec<_>>();
        let object = json!({
            "metadata": {"name": "sidecar-injector", "uid": "u", "resourceVersion": "7"},
            "webhooks": webhooks,
        });
        serde_json::from_value(object).expect("a configuration")
    }

    #[test]
    fn ours_by_name_or_by_suffix_after_a_dot() {
        let webhooks = ["sidecar-injector.mesher.io".to_owned(), "other.io".to_owned()];
        for (entry, ours) in [
            ("sidecar-injector.mesher.io", true),
            ("pods.sidecar-injector.mesher.io", true),
            ("other.io", true),
            ("not-sidecar-injector.mesher.io", false),
            ("sidecar-injector.mesher.io.example.com", false),
            ("", false),
        ] {
            assert_eq!(is_ours(entry, &webhooks), ours, "{entry}");
        }
        assert!(!is_ours("sidecar-injector.mesher.io", &[]));
    }

    #[test]
    fn an_apply_names_ours_alone_and_pins_what_was_read() {
        let found = configuration(&[
            ("a.injector.io", Some("new")),
            ("other.io", None),
            ("b.injector.io", Some("old")),
        ]);
        let Plan::Apply(body) = plan(&found, &["injector.io".into()], b"new") else {
            panic!("no apply")
        };
        let expected = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "sidecar-injector", "uid": "u", "resourceVersion": "7"},
            "webhooks": [
                {"name": "a.injector.io", "clientConfig": {"caBundle": "bmV3"}},
                {"name": "b.injector.io", "clientConfig": {"caBundle": "bmV3"}},
            ],
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn nothing_is_written_where_nothing_changes_or_is_ours() {
        let found = configuration(&[("a.injector.io", Some("new")), ("other.io", Some("x"))]);
        assert_eq!(plan(&found, &["injector.io".into()], b"new"), Plan::Current);
        assert_eq!(plan(&found, &["elsewhere.io".into()], b"new"), Plan::NotOurs);
        assert_eq!(plan(&configuration(&[]), &["injector.io".into()], b"new"), Plan::NotOurs);
    }
}
