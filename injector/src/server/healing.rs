//! Healing beside the server: what it needs of the others, and what they show of it.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::error::ServerError;
use super::live::Live;
use super::metrics::Metrics;
use crate::config::{Config, Heal};
use crate::healing::{Healing, Hold, Rules, Settings, State, Surroundings};
use crate::kubernetes::{Election, Keeper, connect_without_retry};
use crate::policy::Policy;

/// Whether somebody is to look for pods without their sidecar.
pub(super) fn is_wanted(config: &Config) -> bool {
    config.kubernetes.enabled && config.healing.mode != Heal::Off
}

/// Starts to look, where that is wanted and replicas elect who does.
pub(super) async fn start(
    config: &Config,
    namespace: &str,
    keeper: &Keeper,
    election: &Election,
    live: &Arc<Live>,
    metrics: &Arc<Metrics>,
) -> Result<Healing, ServerError> {
    let client = connect_without_retry().await?;
    let settings = Settings {
        terms: config.healing.clone(),
        namespace: namespace.to_owned(),
        instance: config.kubernetes.lease.candidacy(namespace).identity,
        configuration: config.kubernetes.webhook_configuration.clone(),
        webhooks: config.kubernetes.webhooks.clone(),
    };
    let surroundings = Surroundings {
        rules: Arc::clone(live) as Arc<dyn Rules>,
        ca_bundle: keeper.ca_bundle(),
        api_server: keeper.api_server(),
    };
    let metrics = Arc::clone(metrics);
    let attempted = move |attempt| metrics.healing.attempted(attempt);
    Ok(Healing::start(client, settings, surroundings, election.leads(), attempted))
}

/// What `/status` says of it; `null` where nobody looks.
pub(super) fn status(state: Option<&watch::Receiver<State>>) -> Value {
    state.map_or(Value::Null, |state| {
        let state = state.borrow();
        let State { complete, lacking, waiting, hold, error } = &*state;
        json!({
            "complete": complete,
            "withoutSidecar": lacking,
            "waiting": waiting,
            "hold": hold.map(Hold::as_str),
            "error": error,
        })
    })
}

impl Rules for Live {
    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&Self::policy(self))
    }

    fn is_faulty(&self) -> bool {
        self.reloads().error.is_some()
    }
}
