//! Everything the operator decided, parsed once; the core knows no file, flag or environment.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::annotations::{Problem, check};
pub use crate::discovery::Discovery;
use crate::interception::Interception;
use crate::template::{Template, Templates, hex};

/// What holds for every pod. Cheap to clone; the server publishes a new one on each reload.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Version of this injector, written into the record.
    pub version: String,
    /// Templates by name.
    pub templates: Templates,
    /// Name of the template for pods that name none.
    pub default_template: String,
    /// What `nativeSidecar: auto` means: `true` when the API server is 1.32 or newer.
    pub native_by_default: bool,
    /// Namespaces whose pods are never touched.
    pub ignored_namespaces: BTreeSet<String>,
    /// What to do with a pod whose annotations cannot be used.
    pub invalid_annotation: OnInvalid,
    /// What to do with a pod on an error of ours.
    pub on_error: OnError,
    /// What to do with a pod that says neither yes nor no.
    pub unannotated: Unannotated,
    /// A sidecar made by another version of the template: `false` leaves it (webhook), `true`
    /// removes it by its record and injects anew (command line).
    pub renew: bool,
    /// Defaults of the sidecar.
    pub sidecar: SidecarDefaults,
    /// What makes its sidecars, hashed when it is first needed.
    pub hashes: Hashes,
}

/// By the hash of each template's text, the hash of the sidecars that it makes with the defaults
/// beside it. Other defaults void it.
#[derive(Debug, Clone, Default)]
pub struct Hashes(OnceLock<(SidecarDefaults, BTreeMap<String, String>)>);

/// Defaults of the injected container, each overridden by the pod's annotation of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SidecarDefaults {
    /// Image of the proxy, for example `mesher:0.1.0`.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub image_pull_policy: String,
    /// Names of Secrets added to the pod's `imagePullSecrets`.
    pub image_pull_secrets: Vec<String>,
    /// The discovery backend of pods that name none.
    pub discovery_type: Discovery,
    /// Address of service-center, for example `http://service-center.servicecomb:30100`. A pod's
    /// own files and `CSE_REGISTRY_ADDR` win over it.
    pub registry_address: Option<String>,
    /// Address of istiod, for example `istiod.istio-system.svc:15010`. `ISTIO_PILOT_ADDR` wins over it.
    pub pilot_address: Option<String>,
    /// Application the services belong to, where the pod does not say.
    pub app_id: Option<String>,
    /// Name of the ConfigMap of the pod's namespace mounted at `/etc/mesher/conf`, if it exists.
    pub config_map: String,
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub log_level: String,
    /// CPU request, a Kubernetes quantity.
    pub cpu: String,
    /// Memory request.
    pub memory: String,
    /// CPU limit; where absent, one is set only where all the pod's own containers have one.
    pub cpu_limit: Option<String>,
    /// Memory limit.
    pub memory_limit: String,
    /// How the pod's own containers are led to the proxy: `none`, or `env` with any of
    /// `java`, `node` and `https`, separated by commas.
    pub interception: Interception,
}

impl Default for SidecarDefaults {
    fn default() -> Self {
        Self {
            image: concat!("mesher:", env!("CARGO_PKG_VERSION")).into(),
            image_pull_policy: "IfNotPresent".into(),
            image_pull_secrets: Vec::new(),
            discovery_type: Discovery::ServiceCenter,
            registry_address: Some("http://service-center.servicecomb:30100".into()),
            pilot_address: Some("istiod.istio-system.svc:15010".into()),
            app_id: None,
            config_map: "mesher-configmap".into(),
            log_level: "info".into(),
            cpu: "50m".into(),
            memory: "32Mi".into(),
            cpu_limit: None,
            memory_limit: "128Mi".into(),
            interception: Interception::default(),
        }
    }
}

impl SidecarDefaults {
    /// Checks every value by the rules of the annotation of the same name; the error names the
    /// field as the configuration file spells it.
    pub fn validate(&self) -> Result<(), Problem> {
        check::image(&self.image).map_err(|e| Problem::new("image", e))?;
        check::pull_policy(&self.image_pull_policy)
            .map_err(|e| Problem::new("imagePullPolicy", e))?;
        check::config_map(&self.config_map).map_err(|e| Problem::new("configMap", e))?;
        check::log_level(&self.log_level).map_err(|e| Problem::new("logLevel", e))?;
        for secret in &self.image_pull_secrets {
            check::config_map(secret).map_err(|e| Problem::new("imagePullSecrets", e))?;
        }
        let quantity = |key, text: &str| check::quantity(text).map_err(|e| Problem::new(key, e));
        let (cpu, memory) = (quantity("cpu", &self.cpu)?, quantity("memory", &self.memory)?);
        if let Some(limit) = &self.cpu_limit
            && quantity("cpuLimit", limit)? < cpu
        {
            return Err(Problem::new("cpuLimit", format!("{limit} is below cpu: {}", self.cpu)));
        }
        if quantity("memoryLimit", &self.memory_limit)? < memory {
            let (limit, request) = (&self.memory_limit, &self.memory);
            return Err(Problem::new("memoryLimit", format!("{limit} is below memory: {request}")));
        }
        Ok(())
    }
}

/// What to do with a pod whose annotations cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnInvalid {
    /// Refuse it, naming the key and the allowed values.
    #[default]
    Reject,
    /// Let it through without a sidecar, with a warning.
    Skip,
}

/// What to do with a pod on an error of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// Let it through without a sidecar, with a warning.
    #[default]
    Allow,
    /// Refuse it.
    Deny,
}

/// What to do with a pod that says neither yes nor no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unannotated {
    /// No sidecar: the webhook's rule.
    Skip,
    /// A sidecar: the command line's rule, as the user named the file.
    Inject,
}

impl Policy {
    /// The policy without any configuration: the shipped template, the built-in defaults.
    pub fn builtin() -> Self {
        let template = Arc::new(Template::builtin());
        Self {
            default_template: template.name().into(),
            templates: BTreeMap::from([(template.name().to_owned(), template)]),
            ..Self::without_templates()
        }
    }

    /// The built-in defaults, and no template at all.
    pub(crate) fn without_templates() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            default_template: String::new(),
            templates: BTreeMap::new(),
            native_by_default: true,
            ignored_namespaces: ["kube-system", "kube-public", "kube-node-lease"]
                .map(String::from)
                .into(),
            invalid_annotation: OnInvalid::default(),
            on_error: OnError::default(),
            unannotated: Unannotated::Skip,
            renew: false,
            sidecar: SidecarDefaults::default(),
            hashes: Hashes::default(),
        }
    }

    /// What makes a sidecar: the template's text and the defaults that fill it, as 16 hex digits.
    pub(crate) fn hash(&self, template: &Template) -> Cow<'_, str> {
        let hash = |template: &Template| {
            let mut digest = Sha256::new();
            digest.update(template.hash());
            digest.update(serde_json::to_vec(&self.sidecar).expect("strings always serialize"));
            hex(&digest.finalize()[..8])
        };
        let (defaults, hashes) = self.hashes.0.get_or_init(|| {
            let templates = self.templates.values();
            let hashes = templates.map(|template| (template.hash().to_owned(), hash(template)));
            (self.sidecar.clone(), hashes.collect())
        });
        match hashes.get(template.hash()) {
            Some(known) if *defaults == self.sidecar => known.into(),
            _ => hash(template).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_the_defaults_as_they_are() {
        let mut policy = Policy::builtin();
        let template = Arc::clone(&policy.templates["mesher"]);
        let first = policy.hash(&template).into_owned();
        assert_eq!(policy.hash(&template), first);
        policy.sidecar.image = "other:1".into();
        let second = policy.hash(&template).into_owned();
        assert_ne!(second, first);
        let anew = Policy { hashes: Hashes::default(), ..policy.clone() };
        assert_eq!(anew.hash(&template), second);
        policy.sidecar = SidecarDefaults::default();
        assert_eq!(policy.hash(&template), first);
        let unknown = Policy::without_templates();
        assert_eq!(unknown.hash(&template), first);
    }
}
