//! How the pods of a cluster are made anew: the containers of an existing pod cannot be changed.

use std::collections::BTreeSet;

use super::Fix;
use super::owner::Owner;
use crate::pod::Pod;

/// How pods are replaced by such that the injector sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// A workload that replaces its pods when told to: `deployment/web`.
    Restart(String),
    /// A controller makes up for each of these pods when it is gone; there may be none.
    Delete(BTreeSet<String>),
    /// The next run of this CronJob makes new pods.
    NextRun(String),
    /// This Job makes no other pods.
    Again(String),
    /// Nobody makes this pod again.
    Alone(String),
}

impl Renewal {
    /// What replaces `pod`, which `owner` controls.
    pub(super) fn of(pod: Pod<'_>, owner: Option<&Owner>) -> Self {
        let name = || pod.metadata().text("name").to_owned();
        match owner {
            Some(owner) => match Self::of_workload(owner) {
                Self::Delete(_) => Self::Delete([name()].into()),
                other => other,
            },
            None => Self::Alone(name()),
        }
    }

    /// What replaces the pods of a workload, none of which is known yet.
    pub(super) fn of_workload(owner: &Owner) -> Self {
        let label = owner.label();
        match owner.kind.as_str() {
            "Deployment" | "StatefulSet" | "DaemonSet" => Self::Restart(label),
            "CronJob" => Self::NextRun(label),
            "Job" => Self::Again(label),
            _ => Self::Delete(BTreeSet::new()),
        }
    }

    /// Whether nothing has to be done: there is no pod, or new ones come by themselves.
    pub(crate) fn comes_by_itself(&self) -> bool {
        matches!(self, Self::NextRun(_)) || matches!(self, Self::Delete(pods) if pods.is_empty())
    }

    /// Takes in what another pod of the same workload needs.
    pub(crate) fn absorb(&mut self, other: Self) {
        if let (Self::Delete(pods), Self::Delete(more)) = (self, other) {
            pods.extend(more);
        }
    }

    /// What to do.
    pub(crate) fn fix(&self, namespace: &str) -> Fix {
        match self {
            Self::Restart(workload) => {
                Fix::Command(format!("kubectl rollout restart {workload} --namespace {namespace}"))
            }
            Self::Delete(pods) => {
                let pods = pods.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
                Fix::Command(format!("kubectl delete pod {pods} --namespace {namespace}"))
            }
            Self::NextRun(cron_job) => Fix::Advice(format!(
                "wait for the next run of {cron_job}: its pods are new, those that run now stay \
                 as they are"
            )),
            Self::Again(job) => Fix::Advice(format!(
                "kubectl delete {job} --namespace {namespace}, and create it again, if its work \
                 may be done twice: a Job keeps the pods it has"
            )),
            Self::Alone(pod) => Fix::Advice(format!(
                "kubectl delete pod {pod} --namespace {namespace}, and create it again: nothing \
                 else does"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fix, Owner, Renewal};
    use crate::pod::Pod;
    use serde_json::json;

    #[test]
    fn each_owner_has_its_way() {
        let pod = json!({"metadata": {"name": "p"}});
        for (owner, expected) in [
            (Some("Deployment"), "kubectl rollout restart deployment/x --namespace shop"),
            (Some("StatefulSet"), "kubectl rollout restart statefulset/x --namespace shop"),
            (Some("DaemonSet"), "kubectl rollout restart daemonset/x --namespace shop"),
            (Some("ReplicaSet"), "kubectl delete pod p --namespace shop"),
            (Some("Game"), "kubectl delete pod p --namespace shop"),
            (Some("CronJob"), "wait for the next run of cronjob/x"),
            (Some("Job"), "kubectl delete job/x --namespace shop, and create it again"),
            (None, "kubectl delete pod p --namespace shop, and create it again"),
        ] {
            let owner = owner.map(|kind| Owner { kind: kind.into(), name: "x".into() });
            let fix = Renewal::of(Pod::of(&pod), owner.as_ref()).fix("shop");
            assert!(fix.as_str().starts_with(expected), "{owner:?} {fix:?}");
            let command = matches!(fix, Fix::Command(_));
            assert_eq!(command, fix.as_str() == expected, "{owner:?}: advice is no command");
        }
    }

    #[test]
    fn pods_without_a_workload_to_restart_are_deleted_at_once() {
        let mut renewal = Renewal::Delete(["b".into()].into());
        renewal.absorb(Renewal::Delete(["a".into()].into()));
        let fix = Fix::Command("kubectl delete pod a b --namespace shop".into());
        assert_eq!(renewal.fix("shop"), fix);
    }
}
