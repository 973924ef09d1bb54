//! What the injector's ServiceAccount may do, against the Role and ClusterRole that ship.

use serde_json::{Value, json};

use super::Options;
use super::api::{About, Error, Inspection};
use super::injector::Injector;
use crate::check::Code;
use crate::check::findings::Remedy;
use crate::check::shipped::{Right, rights};
use crate::config::{Config, TlsMode};

pub(super) async fn check(
    on: &mut Inspection<'_>,
    injector: &Injector,
    config: &Config,
    options: &Options,
) -> Result<(), Error> {
    let (namespace, account) = (&options.injector_namespace, injector.account());
    let about = About {
        what: "the rights of the injector's ServiceAccount",
        needs: "create subjectaccessreviews.authorization.k8s.io",
    };
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let mut missing = Vec::new();
    for right in needed(config) {
        let review = review(&right, namespace, account);
        let Some(answer) = on.post(about, path, &review).await?.found() else {
            return Ok(());
        };
        if answer.pointer("/status/allowed") != Some(&Value::Bool(true)) {
            missing.push(said(&right));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let problem = format!("it may not {}", missing.join(", "));
    let object = format!("serviceaccount/{account}");
    let remedy = if namespace == super::INJECTOR_NAMESPACE {
        Remedy::command("kubectl apply -f manifests/base/rbac.yaml")
    } else {
        Remedy::advice(format!("apply manifests/base/rbac.yaml with {namespace} in it"))
    };
    on.found(Code::RightMissing, namespace, object, problem, remedy);
    Ok(())
}

/// The rights that ship, for the objects that the configuration names, and without those that it
/// makes needless.
fn needed(config: &Config) -> Vec<Right> {
    let tls = &config.tls;
    let issues = tls.mode == TlsMode::SelfIssued && tls.folder.is_none();
    let publishes = tls.mode == TlsMode::SelfIssued || tls.ca.is_some();
    let mut needed = rights();
    needed.retain(|right| match right.resource.as_str() {
        "mutatingwebhookconfigurations" => publishes,
        "secrets" => issues,
        // Who writes what the replicas share.
        "leases" => issues || tls.mode == TlsMode::Files && publishes,
        _ => true,
    });
    let named = [
        ("secrets", &tls.secret),
        ("leases", &config.kubernetes.lease.name),
        ("mutatingwebhookconfigurations", &config.kubernetes.webhook_configuration),
    ];
    for right in needed.iter_mut().filter(|right| !right.name.is_empty()) {
        if let Some((_, name)) = named.iter().find(|(resource, _)| *resource == right.resource) {
            right.name.clone_from(name);
        }
    }
    needed
}

fn review(right: &Right, namespace: &str, account: &str) -> Value {
    let mut attributes = json!({
        "verb": right.verb, "group": right.group, "resource": right.resource, "name": right.name,
    });
    if right.namespaced {
        attributes["namespace"] = json!(namespace);
    }
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": format!("system:serviceaccount:{namespace}:{account}"),
            "groups": [
                "system:serviceaccounts",
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated",
            ],
            "resourceAttributes": attributes,
        },
    })
}

fn said(right: &Right) -> String {
    let Right { verb, resource, name, .. } = right;
    if name.is_empty() { format!("{verb} {resource}") } else { format!("{verb} {resource}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Tls;

    #[test]
    fn rights_follow_the_configuration() {
        let tls = Tls { secret: "own".into(), ..Tls::default() };
        let own = needed(&Config { tls, ..Config::default() });
        assert!(own.iter().any(|right| said(right) == "patch secrets/own"));
        let folder = Some("/tls".into());
        let tls = Tls { mode: TlsMode::Files, folder, ..Tls::default() };
        assert_eq!(needed(&Config { tls, ..Config::default() }), []);
        assert_eq!(needed(&Config::default()), rights());
    }
}
