//! The manifests that ship, as they were when this program was built: what an installation is
//! measured by.

use std::sync::LazyLock;

use serde_json::Value;

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

/// Every right that `manifests/base/rbac.yaml` gives.
pub(super) fn rights() -> Vec<Right> {
    let roles = objects(include_str!("../../../manifests/base/rbac.yaml"));
    roles.iter().flat_map(of_role).collect()
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
            assert!(rights().iter().any(matches), "{verb} {resource} {name}");
        };
        has("create", "secrets", "");
        has("watch", "secrets", "sidecar-injector-certificates");
        has("patch", "mutatingwebhookconfigurations", "sidecar-injector");
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
