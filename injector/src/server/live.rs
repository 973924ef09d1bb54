//! The policy in force, and what it is made from.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;

use crate::config::{Config, ConfigError};
use crate::policy::Policy;
use crate::template::Templates;

/// Publishes a [`Policy`] as a whole: a request sees the old or the new, never parts of both.
#[derive(Debug)]
pub(super) struct Live {
    policy: ArcSwap<Policy>,
    inputs: Mutex<Inputs>,
}

#[derive(Debug)]
struct Inputs {
    config: Config,
    templates: Templates,
    /// What the API server's version allows.
    native: bool,
    own_namespace: Option<String>,
    state: Reloads,
}

/// How the last changes of configuration and templates went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reloads {
    /// How often a configuration was put in force; 1 is the one of the start.
    pub(super) generation: u64,
    /// When the present one was.
    pub(super) since: SystemTime,
    /// Why a newer one was not; `None` when the present one is the newest.
    pub(super) error: Option<String>,
    /// Sections of the file that differ from what runs, and are read only at the start.
    pub(super) restart_needed: Vec<&'static str>,
}

impl Live {
    /// The start: `config` and `templates` have to be usable.
    pub(super) fn new(
        config: Config,
        templates: Templates,
        own_namespace: Option<String>,
    ) -> Result<Self, ConfigError> {
        // Until the API server has told its version: plain containers run everywhere. Without
        // one, as on the command line: native.
        let native = !config.kubernetes.enabled;
        let policy = config.policy(templates.clone(), native, own_namespace.as_deref())?;
        let state = Reloads {
            generation: 1,
            since: SystemTime::now(),
            error: None,
            restart_needed: Vec::new(),
        };
        Ok(Self {
            policy: ArcSwap::from_pointee(policy),
            inputs: Mutex::new(Inputs { config, templates, native, own_namespace, state }),
        })
    }

    /// The policy for one review.
    pub(super) fn policy(&self) -> arc_swap::Guard<Arc<Policy>> {
        self.policy.load()
    }

    /// How reloading went.
    pub(super) fn reloads(&self) -> Reloads {
        self.lock().state.clone()
    }

    /// Puts the reloadable parts of `config` in force, or notes why not and keeps what runs.
    pub(super) fn reload(&self, loaded: Result<(Config, Templates), ConfigError>) {
        let mut inputs = self.lock();
        let outcome = loaded.and_then(|(new, templates)| {
            let restart_needed = new.restart_needed(&inputs.config);
            let mut config = inputs.config.clone();
            config.policy = new.policy;
            config.templates = new.templates;
            let policy =
                config.policy(templates.clone(), inputs.native, inputs.own_namespace.as_deref())?;
            Ok((config, templates, policy, restart_needed))
        });
        match outcome {
            Ok((config, templates, policy, restart_needed)) => {
                self.policy.store(Arc::new(policy));
                inputs.config = config;
                inputs.templates = templates;
                inputs.state = Reloads {
                    generation: inputs.state.generation + 1,
                    since: SystemTime::now(),
                    error: None,
                    restart_needed,
                };
                let Reloads { generation, restart_needed, .. } = &inputs.state;
                tracing::info!(generation, "configuration and templates in force");
                if !restart_needed.is_empty() {
                    let sections = restart_needed.join(", ");
                    tracing::warn!(sections, "changed, but read only at the start: restart to use");
                }
            }
            Err(error) => {
                tracing::error!(%error, "configuration not taken over; the last good one stays");
                inputs.state.error = Some(error.to_string());
            }
        }
    }

    /// Takes over what the API server's version allows.
    pub(super) fn set_native(&self, native: bool) {
        let mut inputs = self.lock();
        inputs.native = native;
        let namespace = inputs.own_namespace.as_deref();
        if let Ok(policy) = inputs.config.policy(inputs.templates.clone(), native, namespace) {
            self.policy.store(Arc::new(policy));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inputs> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_templates;
    use std::path::Path;

    fn config(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("f"), text)
    }

    fn loaded(text: &str) -> Result<(Config, Templates), ConfigError> {
        Ok((config(text)?, load_templates(None)?))
    }

    #[test]
    fn the_last_good_configuration_stays() {
        let live = Live::new(config("").unwrap(), load_templates(None).unwrap(), None).unwrap();
        live.reload(loaded("policy: {ignoredNamespaces: [first]}"));
        assert!(live.policy().ignored_namespaces.contains("first"));
        live.reload(loaded("policy: {ignoredNamespaces: 7}"));
        live.reload(loaded("policy: {defaultTemplate: nowhere}"));
        let state = live.reloads();
        assert!(live.policy().ignored_namespaces.contains("first"));
        assert_eq!(state.generation, 2);
        assert!(state.error.unwrap().contains("nowhere"));
        live.reload(loaded(""));
        assert_eq!(live.reloads().error, None);
        assert!(!live.policy().ignored_namespaces.contains("first"));
    }

    #[test]
    fn what_needs_a_restart_is_named_and_not_taken_over() {
        let live = Live::new(config("").unwrap(), load_templates(None).unwrap(), None).unwrap();
        live.reload(loaded("drain: {delay: 9s}\nlog: {level: debug}"));
        assert_eq!(live.reloads().restart_needed, ["drain", "log"]);
        live.reload(loaded(""));
        assert!(live.reloads().restart_needed.is_empty());
    }

    #[test]
    fn the_version_of_the_api_server_survives_a_reload() {
        let live = Live::new(config("").unwrap(), load_templates(None).unwrap(), None).unwrap();
        assert!(!live.policy().native_by_default);
        live.set_native(true);
        live.reload(loaded("policy: {ignoredNamespaces: []}"));
        assert!(live.policy().native_by_default);
        live.reload(loaded("policy: {nativeSidecar: false}"));
        assert!(!live.policy().native_by_default);
    }
}
