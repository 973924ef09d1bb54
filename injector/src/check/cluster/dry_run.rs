//! Whether the API server gets an answer: a pod that asks, created as a dry run.

use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

use super::Options;
use super::api::{About, Error, Inspection};
use super::injector::Injector;
use super::served;
use super::webhook::{Called, Webhook};
use crate::annotations::{INJECT, status};
use crate::check::Code;
use crate::check::findings::Remedy;
use crate::check::workloads::Sieve;
use crate::kubernetes::{get, post};
use crate::pod::{Pod, list, text};

const WHAT: &str = "whether the API server gets an answer from the injector";
/// How the API server names the policy of `manifests/components/strict`.
const STRICT: &str = "ValidatingAdmissionPolicy 'sidecar-injector'";
const PROBE: &str = "sidecar-injector-check";

/// What came back.
enum Answer {
    /// The pod as it would be, and what the API server warned of.
    Pod(Value, Vec<String>),
    /// The status, and what it says.
    Refused(u16, String),
}

pub(super) async fn check(
    on: &mut Inspection<'_>,
    webhook: &Webhook,
    injector: &Injector,
    sieve: &Sieve,
    mut enabled: Vec<String>,
    options: &Options,
) -> Result<(), Error> {
    if enabled.is_empty() && options.namespace.is_some() {
        // The one to look at is not enabled: another will do.
        enabled = others(on, sieve).await?;
    }
    let mut refusals = Vec::new();
    for namespace in &enabled {
        match create(on, namespace).await? {
            Answer::Pod(pod, warnings) => {
                judge(on, webhook, injector, &pod, &warnings).await;
                return Ok(());
            }
            // The policy of the component `strict` refuses what no injector answered for.
            Answer::Refused(_, message) if message.contains(STRICT) => {
                let problem = format!("the API server says: {message}");
                let remedy = injector.restart();
                on.found(Code::WebhookUnreachable, "", webhook.label(), problem, remedy);
                return Ok(());
            }
            Answer::Refused(_, message) if message.contains("failed calling webhook") => {
                let ours = webhook.entries.iter().any(|entry| message.contains(entry.name()));
                let whose = if ours { "" } else { "another webhook stands in the way: " };
                let problem = format!("the API server says: {whose}{message}");
                on.found(
                    Code::WebhookUnreachable,
                    "",
                    webhook.label(),
                    problem,
                    injector.restart(),
                );
                return Ok(());
            }
            // Quotas and other admission may keep a pod out of one namespace and not of another.
            Answer::Refused(code, message) => refusals.push((code, message, namespace.clone())),
        }
    }
    match refusals.pop() {
        Some((403, message, namespace)) if message.contains("cannot create resource") => {
            let needs = format!("create pods in namespace {namespace} (as a dry run)");
            on.denied(About { what: WHAT, needs: &needs }, message);
        }
        Some((_, message, namespace)) => {
            on.not_checked(WHAT, format!("namespace {namespace} takes no pod: {message}"));
        }
        None => on.not_checked(WHAT, "no enabled namespace is known to create a pod in"),
    }
    Ok(())
}

/// Some namespaces that are enabled.
async fn others(on: &mut Inspection<'_>, sieve: &Sieve) -> Result<Vec<String>, Error> {
    let path = format!("/api/v1/namespaces?limit=3&labelSelector={}", sieve.query());
    let about = About { what: WHAT, needs: "list namespaces" };
    let client = on.client.clone();
    let found = on.ask(about, client.request::<Value>(get(&path))).await?.found();
    let items = found.as_ref().map_or(&[][..], |found| list(found, "items"));
    let names = items.iter().map(|item| Pod::of(item).metadata().text("name").to_owned());
    Ok(names.collect())
}

async fn create(on: &mut Inspection<'_>, namespace: &str) -> Result<Answer, Error> {
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    let client = on.client.clone();
    let about = About { what: WHAT, needs: "" };
    let request = post(&path, &probe()).map(Body::from);
    let sent = async {
        let response = client.send(request).await?;
        let status = response.status().as_u16();
        let warnings = response.headers().get_all("warning").iter();
        let warnings: Vec<String> =
            warnings.filter_map(|value| warning(value.to_str().ok()?)).collect();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, warnings, body))
    };
    let Some((status, warnings, body)) = on.ask(about, sent).await?.found() else {
        return Ok(Answer::Refused(0, "no answer".to_owned()));
    };
    let object: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status < 300 {
        return Ok(Answer::Pod(object, warnings));
    }
    if status == 401 {
        return Err(Error::Unauthorized(text(&object, "message").to_owned()));
    }
    Ok(Answer::Refused(status, text(&object, "message").to_owned()))
}

/// The text of a header `299 - "text"` (RFC 7234 §5.5).
fn warning(header: &str) -> Option<String> {
    let text = header.split_once('"')?.1.rsplit_once('"')?.0;
    Some(text.replace("\\\"", "\""))
}

async fn judge(
    on: &mut Inspection<'_>,
    webhook: &Webhook,
    injector: &Injector,
    pod: &Value,
    warnings: &[String],
) {
    if crate::uninject(pod).is_some() {
        return;
    }
    if let Some(reason) = status(Pod::of(pod)).strip_prefix("skipped:") {
        let said = warnings.join("; ");
        let problem = format!("the injector gives a pod that asks no sidecar ({reason}): {said}");
        let remedy = Remedy::advice("see the injector's log and its configuration");
        on.found(Code::PodSkipped, "", "pod/".to_owned() + PROBE, problem, remedy);
        return;
    }
    // Under failurePolicy Ignore the API server tells nobody why.
    let why = match webhook.called() {
        Some(Called::Url(url)) => served::chain(&url).await.err(),
        _ => None,
    };
    let why = why.unwrap_or_else(|| "the API server's log says why".to_owned());
    let problem = format!(
        "a pod that asks, created as a dry run, came back without a sidecar: no injector answered, \
         and failurePolicy Ignore lets it through; {why}"
    );
    on.found(Code::WebhookUnreachable, "", webhook.label(), problem, injector.restart());
}

/// A pod that every namespace takes: it satisfies Pod Security `restricted`, and quotas that want
/// requests and limits.
fn probe() -> Value {
    let resources = json!({"cpu": "1m", "memory": "16Mi"});
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": PROBE, "annotations": {INJECT: "yes"}},
        "spec": {
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "probe",
                "image": "probe:1",
                "resources": {"requests": resources, "limits": resources},
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_would_get_its_sidecar() {
        let request = crate::RequestInfo::pod_create("shop");
        let policy = crate::Policy::builtin();
        let outcome = crate::inject(&probe(), &request, &policy);
        assert!(matches!(outcome, crate::Outcome::Injected(_)), "{outcome:?}");
    }

    #[test]
    fn warnings_are_read_out_of_their_header() {
        let header = r#"299 - "no sidecar (template_error): \"x\" is unknown""#;
        let expected = r#"no sidecar (template_error): "x" is unknown"#;
        assert_eq!(warning(header).as_deref(), Some(expected));
        assert_eq!(warning("299 -"), None);
    }
}
