//! Who of several replicas writes.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;
use crate::kubernetes::Candidacy;

/// The Lease by which several replicas elect the one that writes certificates and `caBundle`.
/// Nobody needs it who keeps them in a folder or leaves both to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Lease {
    /// Its name, in the injector's own namespace.
    pub name: String,
    /// What this replica calls itself in it, different from all others; absent: `POD_NAME`, in a
    /// pod its host name, else host name and process id.
    pub identity: Option<String>,
    /// A leader that was not heard of for so long is gone, and another takes its place. Whole
    /// seconds.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub duration: Duration,
    /// A leader that could not renew the Lease for so long writes no more. Shorter than `duration`:
    /// what is between them is for a leader to notice before others take its place.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub renew: Duration,
    /// How often the leader renews it, and the others look. Shorter than `renew`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub retry: Duration,
}

impl Default for Lease {
    /// The times that Kubernetes' own components take.
    fn default() -> Self {
        let Candidacy { name, duration, renew, retry, .. } = Candidacy::default();
        Self { name, identity: None, duration, renew, retry }
    }
}

impl Lease {
    /// What is wrong with the times, and with which.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let Self { duration, renew, retry, .. } = *self;
        let longest = Duration::from_hours(1);
        if duration.subsec_nanos() != 0 || duration.is_zero() || duration > longest {
            return Err(("duration", "has to be whole seconds, from 1s to 1h"));
        }
        if renew >= duration {
            return Err(("renew", "has to be shorter than kubernetes.lease.duration"));
        }
        if retry >= renew || retry < Duration::from_millis(100) {
            return Err(("retry", "has to be from 100ms to less than kubernetes.lease.renew"));
        }
        if self.identity.as_deref() == Some("") {
            return Err(("identity", "write a name that no other replica has, or leave it out"));
        }
        Ok(())
    }

    /// Stands for the Lease of `namespace`.
    pub fn candidacy(&self, namespace: &str) -> Candidacy {
        let Self { name, identity, duration, renew, retry } = self.clone();
        let identity = identity.unwrap_or_else(own_identity);
        Candidacy { namespace: namespace.into(), name, identity, duration, renew, retry }
    }
}

/// A pod's host name is its name. On a machine several processes share one.
fn own_identity() -> String {
    let host = hostname::get()
        .map_or_else(|_| "injector".into(), |host| host.to_string_lossy().into_owned());
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        host
    } else {
        format!("{host}-{}", std::process::id())
    }
}
