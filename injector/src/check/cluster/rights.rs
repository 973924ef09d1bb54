//! What the injector's ServiceAccount may do, against the roles that ship.

use serde_json::{Value, json};

use super::Options;
use super::api::{About, Error, Inspection};
use super::injector::Injector;
use crate::check::Code;
use crate::check::findings::Remedy;
use crate::check::shipped::{Right, Rights, rights};
use crate::config::{Config, Heal, TlsMode};

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
    let (mut missing, mut files) = (Vec::new(), Vec::new());
    for Rights { file, all } in needed(config) {
        for right in all {
            let review = review(&right, namespace, account);
            let Some(answer) = on.post(about, path, &review).await?.found() else {
                return Ok(());
            };
            if answer.pointer("/status/allowed") != Some(&Value::Bool(true)) {
                missing.push(said(&right));
                files.push(file);
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    files.dedup();
    let problem = format!("it may not {}", missing.join(", "));
    let object = format!("serviceaccount/{account}");
    let remedy = if namespace == super::INJECTOR_NAMESPACE {
        Remedy::command(format!("kubectl apply -f {}", files.join(" -f ")))
    } else {
        Remedy::advice(format!("apply {} with {namespace} in it", files.join(" and ")))
    };
    on.found(Code::RightMissing, namespace, object, problem, remedy);
    Ok(())
}

/// The rights that ship, for the objects that the configuration names, and without those that it
/// makes needless.
fn needed(config: &Config) -> Vec<Rights> {
    let tls = &config.tls;
    let issues = tls.mode == TlsMode::SelfIssued && tls.folder.is_none();
    let publishes = tls.mode == TlsMode::SelfIssued || tls.ca.is_some();
    let heals = config.healing.mode != Heal::Off;
    let mut needed = rights(config.healing.mode);
    let named = [
        ("secrets", &tls.secret),
        ("leases", &config.kubernetes.lease.name),
        ("mutatingwebhookconfigurations", &config.kubernetes.webhook_configuration),
    ];
    let is_needed = |right: &mut Right| {
        let of = |(resource, _): &&(&str, &String)| *resource == right.resource;
        if let Some((_, name)) = named.iter().find(of).filter(|_| !right.name.is_empty()) {
            right.name.clone_from(name);
        }
        match right.resource.as_str() {
            // Healing looks at it too, and writes none.
            "mutatingwebhookconfigurations" => publishes || heals && right.verb == "get",
            "secrets" => issues,
            // Who writes what the replicas share, and who looks for pods.
            "leases" => heals || issues || tls.mode == TlsMode::Files && publishes,
            _ => true,
        }
    };
    for file in &mut needed {
        file.all.retain_mut(is_needed);
    }
    needed
}

fn review(right: &Right, namespace: &str, account: &str) -> Value {
    let (resource, part) = right.resource.split_once('/').unwrap_or((&right.resource, ""));
    let mut attributes = json!({
        "verb": right.verb, "group": right.group, "resource": resource, "subresource": part,
        "name": right.name,
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

    fn words(config: &Config) -> Vec<String> {
        needed(config).iter().flat_map(|file| &file.all).map(said).collect()
    }

    #[test]
    fn rights_follow_the_configuration() {
        let tls = Tls { secret: "own".into(), ..Tls::default() };
        let own = words(&Config { tls, ..Config::default() });
        assert!(own.contains(&"patch secrets/own".to_owned()), "{own:?}");
        assert_eq!(needed(&Config::default()), rights(Heal::Off));
        let folder = Some("/tls".into());
        let files = Tls { mode: TlsMode::Files, folder, ..Tls::default() };
        let mut config = Config { tls: files, ..Config::default() };
        assert_eq!(words(&config), Vec::<String>::new());
        config.healing.mode = Heal::Evict;
        let heals = words(&config);
        for (word, expected) in [
            ("list pods", true),
            ("create pods/eviction", true),
            ("update leases/sidecar-injector", true),
            ("get mutatingwebhookconfigurations/sidecar-injector", true),
            ("patch mutatingwebhookconfigurations/sidecar-injector", false),
            ("patch secrets/sidecar-injector-certificates", false),
        ] {
            assert_eq!(heals.contains(&word.to_owned()), expected, "{word}: {heals:?}");
        }
        config.healing.mode = Heal::Report;
        assert!(!words(&config).contains(&"create pods".to_owned()));
    }

    #[test]
    fn a_subresource_is_asked_about_as_one() {
        let rights = rights(Heal::Evict);
        let mut all = rights.iter().flat_map(|file| &file.all);
        let eviction = all.find(|right| right.resource == "pods/eviction").expect("a right");
        let asked = &review(eviction, "mesh", "injector")["spec"]["resourceAttributes"];
        assert_eq!(
            (&asked["resource"], &asked["subresource"]),
            (&json!("pods"), &json!("eviction"))
        );
    }
}
