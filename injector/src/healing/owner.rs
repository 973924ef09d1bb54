//! Whose pods may be evicted: those that a controller makes anew, and whose absence its workload
//! bears.

use serde_json::Value;

use crate::pod::{Pod, list, text};

/// Never touched, whatever `policy.ignoredNamespaces` says.
const SYSTEM: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];
/// By this the cluster's autoscaler is told too that a pod must stay where it is.
const SAFE: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";

/// A controller that makes up for each pod it loses, and never counts one as done.
#[derive(Debug)]
struct Kind {
    group: &'static str,
    name: &'static str,
    /// Its resource, below `/api/v1` or `/apis/apps/v1`.
    plural: &'static str,
    wanted: &'static str,
    ready: &'static str,
}

/// Of others it is not known what they make of an eviction: a Job counts it as a failure.
const KINDS: [Kind; 4] = [
    Kind {
        group: "apps",
        name: "ReplicaSet",
        plural: "replicasets",
        wanted: "/spec/replicas",
        ready: "/status/readyReplicas",
    },
    Kind {
        group: "apps",
        name: "StatefulSet",
        plural: "statefulsets",
        wanted: "/spec/replicas",
        ready: "/status/readyReplicas",
    },
    Kind {
        group: "apps",
        name: "DaemonSet",
        plural: "daemonsets",
        wanted: "/status/desiredNumberScheduled",
        ready: "/status/numberReady",
    },
    Kind {
        group: "",
        name: "ReplicationController",
        plural: "replicationcontrollers",
        wanted: "/spec/replicas",
        ready: "/status/readyReplicas",
    },
];

/// The controller of a pod that may be evicted.
#[derive(Debug)]
pub(super) struct Owner<'p> {
    kind: &'static Kind,
    pub(super) name: &'p str,
    pub(super) uid: &'p str,
}

/// Why a pod is left alone though a new one would get its sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spared {
    /// In a namespace of the cluster's own, or the injector's.
    System,
    /// Nobody makes it anew.
    Alone,
    /// What controls it is none of those that just make it anew.
    Controller,
    /// It says itself that it is not to be moved.
    Unsafe,
}

impl Spared {
    #[cfg(test)]
    pub(super) const ALL: [Self; 4] = [Self::System, Self::Alone, Self::Controller, Self::Unsafe];

    /// The word in the log.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system_namespace",
            Self::Alone => "no_controller",
            Self::Controller => "controller_kind",
            Self::Unsafe => "not_safe_to_evict",
        }
    }
}

impl<'p> Owner<'p> {
    /// The controller of `pod`, unless it is to be left alone.
    pub(super) fn of(pod: &'p Value, own_namespace: &str) -> Result<Self, Spared> {
        let metadata = pod.get("metadata").unwrap_or(&Value::Null);
        let namespace = text(metadata, "namespace");
        if namespace == own_namespace || SYSTEM.contains(&namespace) {
            return Err(Spared::System);
        }
        let annotations = metadata.get("annotations").unwrap_or(&Value::Null);
        if text(annotations, SAFE) == "false" {
            return Err(Spared::Unsafe);
        }
        let owners = list(metadata, "ownerReferences").iter();
        let mut controllers = owners.filter(|owner| owner["controller"] == true);
        let controller = controllers.next().ok_or(Spared::Alone)?;
        let api_version = text(controller, "apiVersion");
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let is = |kind: &&Kind| kind.group == group && kind.name == text(controller, "kind");
        let kind = KINDS.iter().find(is).ok_or(Spared::Controller)?;
        // What ends by itself would be missed rather than made anew.
        let restarts = text(pod.get("spec").unwrap_or(&Value::Null), "restartPolicy");
        if !["", "Always"].contains(&restarts) {
            return Err(Spared::Controller);
        }
        // It becomes part of a path, and the API server takes any text for a reference.
        let name = text(controller, "name");
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(Spared::Controller);
        }
        Ok(Self { kind, name, uid: text(controller, "uid") })
    }

    /// Where it is read.
    pub(super) fn path(&self, namespace: &str) -> String {
        let group = if self.kind.group.is_empty() { "/api/v1" } else { "/apis/apps/v1" };
        format!("{group}/namespaces/{namespace}/{}/{}", self.kind.plural, self.name)
    }

    /// `replicaset/web-5d4f`
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.kind.name.to_ascii_lowercase(), self.name)
    }

    /// Whether `found`, which is at [`Self::path`], is what the pod says, and to stay.
    pub(super) fn is(&self, found: &Value) -> bool {
        let metadata = found.get("metadata").unwrap_or(&Value::Null);
        let ends = metadata.get("deletionTimestamp").is_some_and(|time| !time.is_null());
        text(metadata, "uid") == self.uid && !ends
    }

    /// Whether `found`, the controller as it stands, has all the pods it wants, each ready. Where
    /// the last successor did not become ready, the next would not either.
    pub(super) fn is_whole(&self, found: &Value) -> bool {
        let count = |path: &str| found.pointer(path).and_then(Value::as_u64);
        count(self.kind.ready).unwrap_or(0) >= count(self.kind.wanted).unwrap_or(1)
    }
}

/// Whether a pod serves: one that does not is missed by nobody.
pub(super) fn is_ready(pod: &Value) -> bool {
    let status = pod.get("status").unwrap_or(&Value::Null);
    let ready = |c: &Value| text(c, "type") == "Ready" && text(c, "status") == "True";
    list(status, "conditions").iter().any(ready)
}

/// When the API server made the pod; every time is written alike, so that text sorts as time does.
pub(super) fn created(pod: &Value) -> &str {
    Pod::of(pod).metadata().text("creationTimestamp")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(namespace: &str, api_version: &str, kind: &str) -> Value {
        let owner = json!({
            "apiVersion": api_version, "kind": kind, "name": "x", "uid": "u", "controller": true,
        });
        json!({"metadata": {"namespace": namespace, "ownerReferences": [owner]}, "spec": {}})
    }

    fn verdict(pod: &Value) -> Result<String, Spared> {
        Owner::of(pod, "mesh").map(|owner| owner.path("shop"))
    }

    #[test]
    fn only_what_a_controller_makes_anew_may_go() {
        for (api_version, kind, expected) in [
            ("apps/v1", "ReplicaSet", Ok("/apis/apps/v1/namespaces/shop/replicasets/x")),
            ("apps/v1", "StatefulSet", Ok("/apis/apps/v1/namespaces/shop/statefulsets/x")),
            ("apps/v1", "DaemonSet", Ok("/apis/apps/v1/namespaces/shop/daemonsets/x")),
            ("v1", "ReplicationController", Ok("/api/v1/namespaces/shop/replicationcontrollers/x")),
            ("batch/v1", "Job", Err(Spared::Controller)),
            ("argoproj.io/v1alpha1", "Workflow", Err(Spared::Controller)),
            ("games.example/v1", "ReplicaSet", Err(Spared::Controller)),
            ("v1", "Node", Err(Spared::Controller)),
        ] {
            let found = verdict(&pod("shop", api_version, kind));
            assert_eq!(found, expected.map(String::from), "{api_version} {kind}");
        }
    }

    #[test]
    fn bare_pods_system_pods_and_those_that_say_so_stay() {
        for namespace in ["mesh", "kube-system", "kube-public", "kube-node-lease"] {
            let found = verdict(&pod(namespace, "apps/v1", "ReplicaSet"));
            assert_eq!(found, Err(Spared::System), "{namespace}");
        }
        let mut stays = pod("shop", "apps/v1", "ReplicaSet");
        stays["metadata"]["annotations"] = json!({SAFE: "false"});
        assert_eq!(verdict(&stays), Err(Spared::Unsafe));
        for name in ["", "../../../secrets/x", "a b", "..", "x?y"] {
            let mut forged = pod("shop", "apps/v1", "ReplicaSet");
            forged["metadata"]["ownerReferences"][0]["name"] = json!(name);
            assert_eq!(verdict(&forged), Err(Spared::Controller), "{name:?}");
        }
        let mut ends = pod("shop", "apps/v1", "ReplicaSet");
        ends["spec"]["restartPolicy"] = json!("Never");
        assert_eq!(verdict(&ends), Err(Spared::Controller));
        let bare = json!({"metadata": {"namespace": "shop"}});
        assert_eq!(verdict(&bare), Err(Spared::Alone));
        let mut owned = pod("shop", "apps/v1", "ReplicaSet");
        owned["metadata"]["ownerReferences"][0]["controller"] = json!(false);
        assert_eq!(verdict(&owned), Err(Spared::Alone), "an owner is no controller");
    }

    #[test]
    fn a_controller_is_told_by_its_uid() {
        let pod = pod("shop", "apps/v1", "ReplicaSet");
        let owner = Owner::of(&pod, "mesh").expect("an owner");
        assert!(owner.is(&json!({"metadata": {"uid": "u"}})));
        assert!(!owner.is(&json!({"metadata": {"uid": "another"}})));
        let ends = json!({"metadata": {"uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
        assert!(!owner.is(&ends));
    }

    #[test]
    fn a_workload_is_whole_when_all_its_pods_are_ready() {
        let replicas = pod("shop", "apps/v1", "ReplicaSet");
        let replicas = Owner::of(&replicas, "mesh").expect("an owner");
        let daemons = pod("shop", "apps/v1", "DaemonSet");
        let daemons = Owner::of(&daemons, "mesh").expect("an owner");
        for (owner, found, whole) in [
            (&replicas, json!({"spec": {"replicas": 2}, "status": {"readyReplicas": 2}}), true),
            (&replicas, json!({"spec": {"replicas": 2}, "status": {"readyReplicas": 1}}), false),
            (&replicas, json!({"spec": {"replicas": 1}, "status": {}}), false),
            (&daemons, json!({"status": {"desiredNumberScheduled": 3, "numberReady": 3}}), true),
            (&daemons, json!({"status": {"desiredNumberScheduled": 3, "numberReady": 2}}), false),
        ] {
            assert_eq!(owner.is_whole(&found), whole, "{found}");
        }
    }
}
