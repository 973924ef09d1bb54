//! The pod whose creation is tried: what the successor of a pod will be, as far as the pod tells.

use serde_json::{Value, json};

use crate::pod::{Pod, text};

/// What the API server, the scheduler and the garbage collector have added to metadata.
const OF_THE_OLD: [&str; 10] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "name",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// `pod` to be created anew, under a name that the API server makes up.
pub(super) fn successor(pod: &Value) -> Value {
    let mut metadata = pod.get("metadata").cloned().unwrap_or_default();
    let mut spec = pod.get("spec").cloned().unwrap_or_default();
    let base = match text(&metadata, "generateName") {
        "" => format!("{}-", Pod::of(pod).metadata().text("name")),
        base => base.to_owned(),
    };
    if let Some(metadata) = metadata.as_object_mut() {
        for key in OF_THE_OLD {
            metadata.remove(key);
        }
        metadata.insert("generateName".into(), json!(base));
        // Whoever blocks the deletion of an owner needs a right to it.
        let owners = metadata.get_mut("ownerReferences").and_then(Value::as_array_mut);
        for owner in owners.into_iter().flatten().filter_map(Value::as_object_mut) {
            owner.remove("blockOwnerDeletion");
        }
    }
    if let Some(spec) = spec.as_object_mut() {
        // Where it runs, and what was put into it while it ran.
        for key in ["nodeName", "ephemeralContainers"] {
            spec.remove(key);
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_old_pod_alone_is_left_out() {
        let pod = json!({
            "metadata": {
                "name": "web-5d4f-x7", "generateName": "web-5d4f-", "namespace": "shop",
                "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z",
                "managedFields": [{}], "labels": {"app": "web"},
                "annotations": {"sidecar.mesher.io/inject": "yes"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "web-5d4f", "uid": "r",
                    "controller": true, "blockOwnerDeletion": true}],
            },
            "spec": {
                "nodeName": "node-1", "ephemeralContainers": [{"name": "debug"}],
                "containers": [{"name": "app", "image": "app:1"}],
            },
            "status": {"phase": "Running"},
        });
        let expected = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "generateName": "web-5d4f-", "namespace": "shop", "labels": {"app": "web"},
                "annotations": {"sidecar.mesher.io/inject": "yes"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "web-5d4f", "uid": "r",
                    "controller": true}],
            },
            "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        });
        assert_eq!(successor(&pod), expected);
    }

    #[test]
    fn a_pod_with_a_name_of_its_own_lends_it() {
        let pod = json!({"metadata": {"name": "db-0"}, "spec": {}});
        assert_eq!(successor(&pod)["metadata"], json!({"generateName": "db-0-"}));
    }
}
