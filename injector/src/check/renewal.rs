//! How a pod of a cluster is made anew: an existing pod's containers cannot be changed.

use crate::pod::{Pod, text};

/// The command that replaces `pod` by one that the injector sees.
pub(super) fn command(pod: Pod<'_>, namespace: &str) -> String {
    let restart = |kind: &str, name: &str| {
        format!("kubectl rollout restart {kind}/{name} --namespace {namespace}")
    };
    let delete =
        || format!("kubectl delete pod/{} --namespace {namespace}", text(pod.metadata(), "name"));
    match pod.controller() {
        Some(("StatefulSet", name)) => restart("statefulset", name),
        Some(("DaemonSet", name)) => restart("daemonset", name),
        Some(("ReplicaSet", name)) => {
            // A Deployment calls its ReplicaSets by its own name and the hash of their template.
            let hash = pod.label("pod-template-hash").map(|hash| format!("-{hash}"));
            match hash.and_then(|hash| name.strip_suffix(hash.as_str())) {
                Some(deployment) => restart("deployment", deployment),
                None => delete(),
            }
        }
        Some(_) => delete(),
        None => format!("{}, and create it again: nothing else does", delete()),
    }
}

#[cfg(test)]
mod tests {
    use super::command;
    use crate::pod::Pod;
    use serde_json::json;

    #[test]
    fn each_controller_has_its_command() {
        for (kind, owner, hash, expected) in [
            ("ReplicaSet", "web-5d4f", "5d4f", "rollout restart deployment/web"),
            ("ReplicaSet", "web-5d4f", "other", "delete pod/p"),
            ("ReplicaSet", "web", "", "delete pod/p"),
            ("StatefulSet", "db", "", "rollout restart statefulset/db"),
            ("DaemonSet", "log", "", "rollout restart daemonset/log"),
            ("Job", "once", "", "delete pod/p"),
        ] {
            let pod = json!({"metadata": {
                "name": "p",
                "labels": {"pod-template-hash": hash},
                "ownerReferences": [{"kind": kind, "name": owner, "controller": true}],
            }});
            let expected = format!("kubectl {expected} --namespace shop");
            assert_eq!(command(Pod(&pod), "shop"), expected, "{kind} {owner} {hash}");
        }
        let alone = json!({"metadata": {"name": "p"}});
        let fix = command(Pod(&alone), "shop");
        assert!(fix.starts_with("kubectl delete pod/p --namespace shop, and create"), "{fix}");
    }
}
