//! Finds pods that asked for a sidecar and have none, since no injector answered when they were
//! created; says which they are and why, and, where that is wanted, has them made anew.
//!
//! Only the replica that leads looks ([`follow`]). It follows all pods and keeps none: a small record
//! of each that lacks its sidecar ([`roll`]), judged as `check` judges it. What there is to say about
//! one goes out at a bounded rate ([`tidings`]). A pod is evicted only where a controller makes it
//! anew ([`owner`]), when its turn has come ([`queue`]), while all that injection needs is in order
//! ([`calm`]), and when a rehearsal shows that its successor gets a sidecar ([`eviction`]).
//!
//! Nothing here is needed for answering reviews, or for being ready.

mod calm;
mod eviction;
mod follow;
mod key;
mod owner;
mod queue;
mod rehearsal;
mod roll;
mod state;
mod tidings;
mod webhook;

use std::fmt;
use std::sync::Arc;

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Healing as Terms;
use crate::kubernetes::{ApiServer, CaBundle};
use crate::policy::Policy;

pub use calm::Hold;
pub use eviction::Attempt;
pub use state::State;

/// What the injector goes by at present.
pub trait Rules: Send + Sync {
    /// The policy in force. Another one is another `Arc`.
    fn policy(&self) -> Arc<Policy>;
    /// Whether a newer configuration or template is faulty, and so not in force.
    fn is_faulty(&self) -> bool;
}

/// Where this replica is, and what it is to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is done, and how fast.
    pub terms: Terms,
    /// The injector's own namespace: its pods are never evicted.
    pub namespace: String,
    /// What this replica calls itself in Events.
    pub instance: String,
    /// Name of the MutatingWebhookConfiguration.
    pub configuration: String,
    /// Our entries in it, as in [`crate::kubernetes::Settings::webhooks`].
    pub webhooks: Vec<String>,
}

/// What others know that has to be in order before a pod is evicted.
#[derive(Clone)]
pub struct Surroundings {
    /// The policy.
    pub rules: Arc<dyn Rules>,
    /// Whether the API server can call us.
    pub ca_bundle: watch::Receiver<CaBundle>,
    /// Whether it is known what sidecars it takes.
    pub api_server: watch::Receiver<ApiServer>,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}

/// The task. Dropped, it ends at once: each write is one call, which is sent whole or not at all.
#[derive(Debug)]
pub struct Healing {
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

impl Healing {
    /// Starts to look whenever this replica `leads`. `attempted` hears how each attempt to evict a
    /// pod ended. Returns at once; what goes wrong stands in [`Self::state`].
    pub fn start(
        client: Client,
        settings: Settings,
        surroundings: Surroundings,
        leads: watch::Receiver<bool>,
        attempted: impl Fn(Attempt) + Send + Sync + 'static,
    ) -> Self {
        let (sender, state) = watch::channel(State::default());
        let healer = follow::Healer::new(client, settings, surroundings, sender, attempted);
        Self { state, task: tokio::spawn(healer.run(leads)) }
    }

    /// What was found; changes are announced.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }
}

impl Drop for Healing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::owner::Spared;
    use super::{Attempt, Hold};

    #[test]
    fn every_word_is_documented() {
        let documented = include_str!("../../../docs/healing.md");
        let attempts = Attempt::ALL.map(Attempt::as_str);
        let words = Spared::ALL.map(Spared::as_str).into_iter().chain(Hold::ALL.map(Hold::as_str));
        for word in words.chain(attempts) {
            assert!(documented.contains(&format!("`{word}`")), "{word} is not in docs/healing.md");
        }
    }
}
