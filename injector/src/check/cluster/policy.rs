//! The policy of the cluster: what the injector's ConfigMaps make of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::Options;
use super::api::{About, Error, Inspection, Reply};
use super::injector::Injector;
use crate::check::Code;
use crate::check::findings::Remedy;
use crate::config::{Config, ConfigError, load_templates, templates_of};
use crate::kubernetes::api_server::NATIVE_SINCE;
use crate::manifest::Settings;
use crate::policy::Policy;

/// The ConfigMap of the manifests, and its key.
const CONFIGURATION: (&str, &str) = ("sidecar-injector", "config.yaml");
/// The ConfigMap of templates beside the built-in one.
const TEMPLATES: &str = "sidecar-injector-templates";

/// A policy that the user names instead of the cluster's.
#[derive(Debug)]
pub struct Given {
    /// The configuration it comes from.
    pub config: Config,
    /// What it makes of pods.
    pub settings: Settings,
}

/// What the injector of the cluster goes by.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) config: Config,
    pub(super) settings: Settings,
    /// Whether that is sure: sidecars are then told stale or not.
    pub(super) sure: bool,
}

/// What `nativeSidecar: auto` means on an API server of this version.
pub fn native_by_default(version: Option<(u32, u32)>) -> bool {
    version.is_none_or(|version| version >= NATIVE_SINCE)
}

/// What the ConfigMaps say.
#[derive(Debug)]
pub(super) struct Written {
    /// The configuration file; what is built in where there is none, or none that can be used.
    pub(super) config: Config,
    templates: BTreeMap<String, String>,
    sure: bool,
}

/// Reads the ConfigMaps, unless the user named a policy.
pub(super) async fn read(on: &mut Inspection<'_>, options: &Options) -> Result<Written, Error> {
    let namespace = &options.injector_namespace;
    if let Some(given) = &options.given {
        let config = given.config.clone();
        return Ok(Written { config, templates: BTreeMap::new(), sure: true });
    }
    let maps = [
        data(on, namespace, CONFIGURATION.0, "the injector's configuration").await?,
        data(on, namespace, TEMPLATES, "the injector's templates").await?,
    ];
    let mut sure = maps.iter().all(|map| !matches!(map, Reply::Unknown));
    let [configuration, templates] = maps.map(|map| map.found().unwrap_or_default());
    let text = configuration.get(CONFIGURATION.1).map_or("", String::as_str);
    let config = Config::parse(Path::new(CONFIGURATION.1), text).unwrap_or_else(|error| {
        sure = false;
        invalid(on, namespace, CONFIGURATION.0, &error);
        Config::default()
    });
    Ok(Written { config, templates, sure })
}

/// The policy, as the injector makes it of what is written and of its flags.
pub(super) fn make(
    on: &mut Inspection<'_>,
    written: Written,
    injector: &Injector,
    options: &Options,
    version: Option<(u32, u32)>,
) -> Known {
    let Written { mut config, templates, mut sure } = written;
    if let Some(Given { settings, .. }) = &options.given {
        return Known { config, settings: settings.clone(), sure };
    }
    match injector.overrides() {
        Ok(overrides) => overrides.apply(&mut config),
        Err(problem) => {
            sure = false;
            on.not_checked("the flags and the environment of the injector's Deployment", problem);
        }
    }
    let namespace = &options.injector_namespace;
    let native = native_by_default(version);
    let of = |map| move |error| (map, error);
    let made = templates_of(&templates).map_err(of(TEMPLATES)).and_then(|templates| {
        config.policy(templates, native, Some(namespace)).map_err(of(CONFIGURATION.0))
    });
    let policy = made.unwrap_or_else(|(map, error)| {
        sure = false;
        invalid(on, namespace, map, &error);
        builtin(native, namespace)
    });
    if !sure {
        on.not_checked(
            "whether sidecars are stale",
            "the policy of this cluster is not known; --config names a file of it",
        );
    }
    let settings = Settings { policy, namespace: "default".into(), reformat: false };
    Known { config, settings, sure }
}

fn invalid(on: &mut Inspection<'_>, namespace: &str, map: &str, error: &ConfigError) {
    let edit = format!("correct it: kubectl edit configmap {map} --namespace {namespace}");
    let problem = format!("the injector cannot use it: {error}");
    let (code, object) = (Code::ConfigurationInvalid, format!("configmap/{map}"));
    on.found(code, namespace, object, problem, Remedy::advice(edit));
}

async fn data(
    on: &mut Inspection<'_>,
    namespace: &str,
    name: &str,
    what: &str,
) -> Result<Reply<BTreeMap<String, String>>, Error> {
    let needs = format!("get the configmap {name} in namespace {namespace}");
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
    let about = About { what, needs: &needs };
    Ok(match on.get(about, &path).await? {
        Reply::Found(map) => {
            let data = map.get("data").cloned().unwrap_or(Value::Null);
            Reply::Found(serde_json::from_value(data).unwrap_or_default())
        }
        Reply::Absent => Reply::Absent,
        Reply::Unknown => Reply::Unknown,
    })
}

fn builtin(native: bool, namespace: &str) -> Policy {
    let templates = load_templates(None).expect("the built-in template");
    let policy = Config::default().policy(templates, native, Some(namespace));
    policy.expect("the built-in configuration makes a policy")
}
