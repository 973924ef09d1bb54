//! What holds for the pods of a manifest: the flags that `inject`, `explain` and `check` share.

use std::path::PathBuf;

use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::config::{Config, NativeSidecar, load_templates};
use crate::manifest::Settings;
use crate::policy::Discovery;

/// Where objects live that do not say it.
#[derive(Debug, clap::Args)]
pub(super) struct NamespaceArg {
    /// Namespace of the objects that name none
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    pub(super) namespace: String,
}

/// The policy of a cluster, or the built-in one, and flags above it.
#[derive(Debug, clap::Args)]
pub(super) struct PolicyArgs {
    /// Discovery of the pods that name none: sc (ServiceComb service-center) or pilot (Istio)
    /// [default: sc, or what the configuration says]
    #[arg(long, value_name = "TYPE", hide_possible_values = true, value_parser = discovery())]
    default_discovery: Option<Discovery>,
    /// The injector's configuration file, for the policy and the templates of a cluster
    #[arg(long, value_name = "FILE", env = "SIDECAR_INJECTOR_CONFIG")]
    config: Option<PathBuf>,
    /// Use this template for pods that name none
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Make the sidecar an init container that goes on running (Kubernetes 1.29 and newer)
    /// [default: auto, which is true without a cluster to ask]
    #[arg(long, value_name = "WHEN", value_enum)]
    native: Option<NativeSidecar>,
}

impl PolicyArgs {
    /// Whether any of it was named.
    pub(super) fn is_given(&self) -> bool {
        self.default_discovery.is_some()
            || self.config.is_some()
            || self.template.is_some()
            || self.native.is_some()
    }

    /// The webhook's answer to every pod of a manifest.
    pub(super) fn settings(&self, namespace: &str) -> anyhow::Result<Settings> {
        let config = self.config()?;
        self.settings_of(&config, namespace)
    }

    /// The configuration file, or what is built in.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        Ok(self.config.as_deref().map_or_else(|| Ok(Config::default()), Config::read)?)
    }

    /// What flags and `config` make of pods.
    pub(super) fn settings_of(&self, config: &Config, namespace: &str) -> anyhow::Result<Settings> {
        let mut config = config.clone();
        if let Some(native) = self.native {
            config.policy.native_sidecar = native;
        }
        let mut templates = load_templates(config.templates.as_deref())?;
        if let Some(file) = &self.template {
            let name = file.file_stem().context("--template has to name a file")?;
            config.policy.default_template = name.to_string_lossy().into_owned();
            templates.extend(load_templates(Some(file))?);
        }
        let mut policy = config.policy(templates, true, None)?;
        if let Some(discovery) = self.default_discovery {
            policy.sidecar.discovery_type = discovery;
        }
        Ok(Settings { policy, namespace: namespace.to_owned(), reformat: false })
    }
}

fn discovery() -> impl TypedValueParser<Value = Discovery> {
    PossibleValuesParser::new(["sc", "pilot"]).map(|word| match word.as_str() {
        "pilot" => Discovery::Pilot,
        _ => Discovery::ServiceCenter,
    })
}
