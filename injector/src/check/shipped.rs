//! The manifests that ship, as they were when this program was built: what an installation is
//! measured by.

use std::sync::LazyLock;

use serde_json::Value;

use crate::config::Heal;
use crate::manifest::read;
use crate::pod::{list, text};

/// Every object of a manifest of ours.
fn objects(manifest: &str) -> Vec<Value> {
    read(manifest).expect("the manifests that ship are YAML")
}

/// The only entry of the webhook configuration.
pub(super) fn webhook() -> &'static Value {
    static WEBHOOK: LazyLock<Value> = LazyLock::new(|| {
        let found = objects(include_str!("../../../manifests/base/webhook.yaml"));
        list(&found[0], "webhooks")[0].clone()
    });
    &WEBHOOK
}

/// A right of the injector's ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Right {
    pub(super) verb: String,
    pub(super) group: String,
    pub(super) resource: String,
    /// The only object it is for; empty: all.
    pub(super) name: String,
    /// In the injector's own namespace rather than for the whole cluster.
    pub(super) namespaced: bool,
}

/// A manifest that gives rights, and every right in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rights {
    /// Its path in the checkout.
    pub(super) file: &'static str,
    pub(super) all: Vec<Right>,
}

/// The rights of each manifest that an installation needs which heals so.
pub(super) fn rights(heal: Heal) -> Vec<Rights> {
    let of = |file, text| Rights { file, all: objects(text).iter().flat_map(of_role).collect() };
    let base = of("manifests/base/rbac.yaml", include_str!("../../../manifests/base/rbac.yaml"));
    let report = || {
        of(
            "manifests/components/healing-report/rbac.yaml",
            include_str!("../../../manifests/components/healing-report/rbac.yaml"),
        )
    };
    let evict = || {
        of(
            "manifests/components/healing-evict/rbac.yaml",
            include_str!("../../../manifests/components/healing-evict/rbac.yaml"),
        )
    };
    match heal {
        Heal::Off => vec![base],
        Heal::Report => vec![base, report()],
        Heal::Evict => vec![base, report(), evict()],
    }
}

/// The rights of a Role or ClusterRole; none of what binds them.
fn of_role(role: &Value) -> Vec<Right> {
    let namespaced = text(role, "kind") == "Role";
    let mut rights = Vec::new();
    for rule in list(role, "rules") {
        let strings = |key| list(rule, key).iter().filter_map(Value::as_str);
        let names: Vec<&str> = match rule.get("resourceNames") {
            Some(_) => strings("resourceNames").collect(),
            None => vec![""],
        };
        for group in strings("apiGroups") {
            for resource in strings("resources") {
                for name in &names {
                    rights.extend(strings("verbs").map(|verb| Right {
                        verb: verb.to_owned(),
                        group: group.to_owned(),
                        resource: resource.to_owned(),
                        name: (*name).to_owned(),
                        namespaced,
                    }));
                }
            }
        }
    }
    rights
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_manifests_are_read_as_they_are_meant() {
        assert_eq!(text(webhook(), "name"), "sidecar-injector.mesher.io");
        let has = |verb: &str, resource: &str, name: &str| {
            let matches = |r: &Right| r.verb == verb && r.resource == resource && r.name == name;
            let given = rights(Heal::Evict);
            let mut given = given.iter().flat_map(|file| &file.all);
            assert!(given.any(matches), "{verb} {resource} {name}");
        };
        has("create", "secrets", "");
        has("watch", "secrets", "sidecar-injector-certificates");
        has("patch", "mutatingwebhookconfigurations", "sidecar-injector");
        has("watch", "pods", "");
        has("create", "pods/eviction", "");
    }

    #[test]
    fn a_rule_is_every_verb_on_every_resource() {
        let role = json!({"kind": "ClusterRole", "rules": [
            {"apiGroups": ["a"], "resources": ["r", "s"], "verbs": ["get", "list"],
             "resourceNames": ["x"]},
        ]});
        let rights = of_role(&role);
        assert_eq!(rights.len(), 4);
        assert!(rights.iter().all(|right| !right.namespaced && right.name == "x"));
        assert_eq!(of_role(&json!({"kind": "RoleBinding"})), []);
    }
}
