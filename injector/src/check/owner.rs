//! The workload that a user would name for a pod.

use std::collections::BTreeMap;

use crate::pod::Pod;

/// A workload of the pod's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// For example `Deployment`.
    pub(super) kind: String,
    pub(super) name: String,
}

impl Owner {
    /// `deployment/web`
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.kind.to_ascii_lowercase(), self.name)
    }
}

/// Who controls the Jobs that CronJobs made: a pod names its Job only.
#[derive(Debug, Default)]
pub(super) struct Owners(BTreeMap<(String, String), String>);

impl Owners {
    /// Takes down the CronJob of a Job.
    pub(super) fn note(&mut self, namespace: &str, job: &str, controller: (&str, &str)) {
        if let ("CronJob", cron_job) = controller {
            self.0.insert((namespace.to_owned(), job.to_owned()), cron_job.to_owned());
        }
    }

    /// The workload that makes `pod`; `None` for a pod that nobody makes again.
    pub(super) fn of(&self, pod: Pod<'_>, namespace: &str) -> Option<Owner> {
        let (kind, name) = pod.controller()?;
        let own = |kind: &str, name: &str| Owner { kind: kind.to_owned(), name: name.to_owned() };
        if kind == "ReplicaSet" {
            // A Deployment calls its ReplicaSets by its own name and the hash of their template.
            let hash = pod.label("pod-template-hash").map(|hash| format!("-{hash}"));
            if let Some(deployment) = hash.and_then(|hash| name.strip_suffix(hash.as_str())) {
                return Some(own("Deployment", deployment));
            }
        }
        if kind == "Job"
            && let Some(cron_job) = self.0.get(&(namespace.to_owned(), name.to_owned()))
        {
            return Some(own("CronJob", cron_job));
        }
        Some(own(kind, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_workload_behind_each_controller() {
        let mut owners = Owners::default();
        owners.note("shop", "report-1", ("CronJob", "report"));
        for (kind, name, hash, expected) in [
            ("ReplicaSet", "web-5d4f", "5d4f", "deployment/web"),
            ("ReplicaSet", "web-5d4f", "other", "replicaset/web-5d4f"),
            ("ReplicaSet", "web", "", "replicaset/web"),
            ("StatefulSet", "db", "", "statefulset/db"),
            ("Job", "once", "", "job/once"),
            ("Job", "report-1", "", "cronjob/report"),
        ] {
            let pod = json!({"metadata": {
                "name": "p",
                "labels": {"pod-template-hash": hash},
                "ownerReferences": [{"kind": kind, "name": name, "controller": true}],
            }});
            let owner = owners.of(Pod::of(&pod), "shop").map(|owner| owner.label());
            assert_eq!(owner.as_deref(), Some(expected), "{kind} {name} {hash}");
        }
        assert_eq!(owners.of(Pod::of(&json!({"metadata": {"name": "p"}})), "shop"), None);
    }
}
