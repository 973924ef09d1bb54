//! What is done about pods that asked for a sidecar and have none.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;

/// What the replica that leads does about pods that asked for a sidecar and have none, as they were
/// created while no injector answered. It takes rights that only the components `healing-report`
/// and `healing-evict` of the manifests give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Healing {
    /// `off`, `report` them, or `evict` those that would get their sidecar if they were created
    /// anew, and that a controller makes anew.
    pub mode: Heal,
    /// Nothing is evicted before the replica has led, and everything that injection needs was in
    /// order, for so long.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub settle: Duration,
    /// At most one pod of the whole cluster is evicted in it.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub interval: Duration,
    /// After one pod of a ReplicaSet, StatefulSet, DaemonSet or ReplicationController, another of
    /// the same not before it. It doubles, up to an hour, as long as pods come back without a
    /// sidecar.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub backoff: Duration,
}

impl Default for Healing {
    fn default() -> Self {
        Self {
            mode: Heal::Off,
            settle: Duration::from_mins(1),
            interval: Duration::from_secs(10),
            backoff: Duration::from_mins(5),
        }
    }
}

/// What is done about pods without the sidecar they asked for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Heal {
    /// Nothing: nobody looks for them
    #[default]
    Off,
    /// A metric, Events and the log say which they are, and why
    Report,
    /// And a pod that would get its sidecar now is evicted, if a controller makes it anew
    Evict,
}

impl Healing {
    /// What is wrong, and with which key.
    pub(super) fn check(&self, kubernetes: bool) -> Result<(), (&'static str, &'static str)> {
        let (day, hour) = (Duration::from_hours(24), Duration::from_hours(1));
        if self.mode != Heal::Off && !kubernetes {
            return Err(("mode", "finds pods in a cluster: it needs kubernetes.enabled"));
        }
        if self.settle > day {
            return Err(("settle", "has to be at most 1day"));
        }
        if self.interval < Duration::from_secs(1) || self.interval > day {
            return Err(("interval", "has to be from 1s to 1day"));
        }
        if self.backoff < Duration::from_secs(1) || self.backoff > hour {
            return Err(("backoff", "has to be from 1s to 1h"));
        }
        Ok(())
    }
}
