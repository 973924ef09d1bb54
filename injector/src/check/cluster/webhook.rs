//! The webhook configuration: is it there, and is it as it ships?

use serde_json::{Value, json};

use super::Options;
use super::api::{About, Error, Inspection, Reply, quoted};
use crate::check::findings::Remedy;
use crate::check::workloads::Sieve;
use crate::check::{Code, shipped};
use crate::config::Config;
use crate::kubernetes::ca_bundle::is_ours;
use crate::pod::{list, text};

/// Fields of an entry that nobody has a reason to change. Not among them: where it is called and
/// whom it trusts, which differ by cluster, and `failurePolicy`, which is the operator's choice.
const FIELDS: [&str; 9] = [
    "rules",
    "matchPolicy",
    "namespaceSelector",
    "objectSelector",
    "matchConditions",
    "timeoutSeconds",
    "reinvocationPolicy",
    "sideEffects",
    "admissionReviewVersions",
];

/// What cannot be looked at without the configuration.
const WHAT: &str = "the webhook configuration, its certificates, the injector's Deployment, and \
                    whether the API server gets an answer";

/// The configuration with its entries of ours.
#[derive(Debug)]
pub(super) struct Webhook {
    /// `sidecar-injector`
    pub(super) name: String,
    /// When it was made.
    pub(super) since: String,
    pub(super) entries: Vec<Entry>,
}

/// An entry of ours.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its place among all entries.
    pub(super) index: usize,
    pub(super) value: Value,
}

/// Where the API server calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Called {
    Service { name: String, namespace: String },
    Url(String),
}

impl Webhook {
    pub(super) fn label(&self) -> String {
        format!("mutatingwebhookconfiguration/{}", self.name)
    }

    /// Where the first entry is called; all entries of ours are one injector's.
    pub(super) fn called(&self) -> Option<Called> {
        self.entries.first().and_then(Entry::called)
    }

    /// The selectors of the first entry.
    pub(super) fn sieve(&self) -> Option<Sieve> {
        self.entries.first().map(|entry| Sieve::of(&entry.value))
    }

    /// Whether pods are refused while no injector answers.
    pub(super) fn fails_closed(&self) -> bool {
        self.entries.iter().any(|entry| text(&entry.value, "failurePolicy") == "Fail")
    }

    /// The command that changes an entry, if it still stands at its place.
    pub(super) fn patch(&self, entry: &Entry, change: &Value) -> String {
        let at = format!("/webhooks/{}/name", entry.index);
        let same = json!({"op": "test", "path": at, "value": entry.name()});
        let patch = quoted(&json!([same, change]).to_string());
        format!("kubectl patch {} --type=json --patch {patch}", self.label())
    }
}

impl Entry {
    pub(super) fn name(&self) -> &str {
        text(&self.value, "name")
    }

    pub(super) fn called(&self) -> Option<Called> {
        let client = self.value.get("clientConfig")?;
        if let Some(url) = client.get("url").and_then(Value::as_str) {
            return Some(Called::Url(url.to_owned()));
        }
        let service = client.get("service")?;
        let [name, namespace] = ["name", "namespace"].map(|key| text(service, key).to_owned());
        Some(Called::Service { name, namespace })
    }
}

/// Reads the configuration. `None`: there is none of ours, or it may not be read.
pub(super) async fn read(
    on: &mut Inspection<'_>,
    config: &Config,
) -> Result<Option<Webhook>, Error> {
    let name = config.kubernetes.webhook_configuration.clone();
    let needs = format!("get the mutatingwebhookconfiguration {name}");
    let about = About { what: WHAT, needs: &needs };
    let path =
        format!("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{name}");
    let problem = match on.get(about, &path).await? {
        Reply::Unknown => return Ok(None),
        Reply::Absent => "it does not exist: no pod gets a sidecar".to_owned(),
        Reply::Found(found) => {
            let entries: Vec<Entry> = list(&found, "webhooks")
                .iter()
                .enumerate()
                .filter(|(_, entry)| is_ours(text(entry, "name"), &config.kubernetes.webhooks))
                .map(|(index, entry)| Entry { index, value: entry.clone() })
                .collect();
            let since = text(&found["metadata"], "creationTimestamp").to_owned();
            if !entries.is_empty() {
                return Ok(Some(Webhook { name, since, entries }));
            }
            let wanted = config.kubernetes.webhooks.join(", ");
            format!("none of its entries is the injector's ({wanted}): no pod gets a sidecar")
        }
    };
    let remedy = Remedy::advice(
        "apply the manifests as you did to install: kubectl apply -k manifests/base, or the \
         overlay you chose",
    );
    let object = format!("mutatingwebhookconfiguration/{name}");
    on.found(Code::WebhookMissing, "", object, problem, remedy);
    Ok(None)
}

/// Compares each entry with the one that ships.
pub(super) fn check(on: &mut Inspection<'_>, webhook: &Webhook, options: &Options) {
    for entry in &webhook.entries {
        for (field, expected) in drifts(&entry.value, &options.injector_namespace) {
            let is = entry.value.get(field).unwrap_or(&Value::Null);
            let problem =
                format!("{}: {field} is {is}, where {expected} is expected", entry.name());
            let path = format!("/webhooks/{}/{field}", entry.index);
            let change = json!({"op": "add", "path": path, "value": expected});
            let remedy = Remedy::command(webhook.patch(entry, &change));
            on.found(Code::WebhookDrift, "", webhook.label(), problem, remedy);
        }
    }
}

/// The fields that are not as they ship, and what they should be.
fn drifts(entry: &Value, injector_namespace: &str) -> Vec<(&'static str, Value)> {
    let mut expected = shipped::webhook().clone();
    // An injector that is installed elsewhere leaves that namespace alone.
    let own = super::INJECTOR_NAMESPACE;
    let names = expected.pointer_mut("/namespaceSelector/matchExpressions/0/values");
    for name in names.and_then(Value::as_array_mut).into_iter().flatten() {
        if name == own {
            *name = json!(injector_namespace);
        }
    }
    let differs = |field: &&str| entry.get(field) != expected.get(field);
    FIELDS.into_iter().filter(differs).map(|field| (field, expected[field].clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ships_does_not_drift_wherever_it_is_installed() {
        let shipped = shipped::webhook();
        assert_eq!(drifts(shipped, "sidecar-injector"), []);
        let elsewhere = shipped
            .to_string()
            .replace("\"kube-node-lease\",\"sidecar-injector\"", "\"kube-node-lease\",\"mesh\"");
        let elsewhere = serde_json::from_str(&elsewhere).unwrap();
        assert_eq!(drifts(&elsewhere, "mesh"), []);
        assert_eq!(drifts(&elsewhere, "sidecar-injector")[0].0, "namespaceSelector");
    }

    #[test]
    fn failing_closed_is_a_choice_and_the_rest_is_not() {
        let mut entry = shipped::webhook().clone();
        entry["failurePolicy"] = json!("Fail");
        assert_eq!(drifts(&entry, "sidecar-injector"), []);
        for field in FIELDS {
            let mut entry = entry.clone();
            entry[field] = Value::Null;
            let expected = (field, shipped::webhook()[field].clone());
            assert!(!expected.1.is_null(), "{field} ships");
            assert_eq!(drifts(&entry, "sidecar-injector"), [expected]);
        }
    }
}
