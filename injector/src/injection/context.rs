//! What the expressions of a template can name.

use minijinja::Value;

use super::identity;
use crate::annotations::Settings;
use crate::pod::{Pod, name};
use crate::policy::{Discovery, Policy};
use crate::request::RequestInfo;
use crate::template::Scope;

/// Every variable and what it holds.
pub(crate) const VARIABLES: [(&str, &str); 30] = [
    ("native", "true for an init container with restartPolicy: Always"),
    ("pilot", "true where the discovery backend is Istio"),
    ("image", "image of the proxy"),
    ("imagePullPolicy", "Always, IfNotPresent or Never"),
    ("logLevel", "trace, debug, info, warn or error"),
    ("cpu", "CPU request"),
    ("memory", "memory request"),
    ("cpuLimit", "CPU limit, or none"),
    ("memoryLimit", "memory limit"),
    ("configMap", "name of the ConfigMap with the proxy's files"),
    ("passthrough", "external, all, none (text), or none at all"),
    ("discoveryType", "sc or pilot as the pod says, or none"),
    ("servicePorts", "as the pod says, or none"),
    ("serviceName", "as the pod says, or none"),
    ("version", "as the pod says, or none"),
    ("appId", "as the pod says, or none"),
    ("defaultDiscoveryType", "sc or pilot as the operator says"),
    ("defaultRegistryAddress", "address of service-center, or none"),
    ("defaultPilotAddress", "address of istiod, or none"),
    ("defaultAppId", "application as the operator says, or none"),
    ("defaultVersion", "label version, or none"),
    ("defaultServiceName", "from labels, then the owner, then the pod's name, or none"),
    ("appPorts", "declared TCP ports, as in 8080,9000, or none"),
    ("namespace", "namespace of the pod"),
    ("firstContainer", "name of the pod's first container, or none"),
    ("scraped", "true where the pod has prometheus.io annotations of its own"),
    ("annotations", "the pod's annotations, by key"),
    ("labels", "the pod's labels, by key"),
    ("injectorVersion", "version of this injector"),
    ("omit", "as the value of a leaf: removes its key or list item"),
];

/// The variables for one pod. One that does not apply is `none`; one that is not listed here is an
/// error in the template.
pub(crate) struct Variables<'a> {
    pub(crate) pod: Pod<'a>,
    pub(crate) request: &'a RequestInfo,
    pub(crate) policy: &'a Policy,
    pub(crate) settings: &'a Settings,
    pub(crate) native: bool,
}

impl Variables<'_> {
    fn is_scraped(&self) -> bool {
        let annotations = self.pod.annotations().into_iter().flatten();
        annotations.into_iter().any(|(key, _)| key.starts_with("prometheus.io/"))
    }
}

impl Scope for Variables<'_> {
    fn get(&self, variable: &str) -> Option<Value> {
        let Self { pod, request, policy, settings, native } = *self;
        let defaults = &policy.sidecar;
        Some(match variable {
            // The sidecar itself.
            "injectorVersion" => text(&policy.version),
            "native" => native.into(),
            "image" => text(settings.image.as_ref().unwrap_or(&defaults.image)),
            "imagePullPolicy" => {
                text(settings.image_pull_policy.as_ref().unwrap_or(&defaults.image_pull_policy))
            }
            "logLevel" => text(settings.log_level.as_ref().unwrap_or(&defaults.log_level)),
            "cpu" => text(&defaults.cpu),
            "memory" => text(&defaults.memory),
            "cpuLimit" => optional(defaults.cpu_limit.as_deref()),
            "memoryLimit" => text(&defaults.memory_limit),
            "configMap" => text(settings.config_map.as_ref().unwrap_or(&defaults.config_map)),
            "passthrough" => optional(settings.passthrough.as_deref()),
            // What the pod's annotations say.
            "discoveryType" => optional(settings.discovery.map(Discovery::as_str)),
            "servicePorts" => {
                let ports = settings.service_ports.as_ref().map(ToString::to_string);
                optional(ports.as_deref())
            }
            "serviceName" => optional(settings.service_name.as_deref()),
            "version" => optional(settings.version.as_deref()),
            "appId" => optional(settings.app_id.as_deref()),
            // What holds where neither the pod nor its files say.
            "pilot" => {
                let discovery = settings.discovery.unwrap_or(defaults.discovery_type);
                (discovery == Discovery::Pilot).into()
            }
            "defaultDiscoveryType" => defaults.discovery_type.as_str().into(),
            "defaultRegistryAddress" => optional(defaults.registry_address.as_deref()),
            "defaultPilotAddress" => optional(defaults.pilot_address.as_deref()),
            "defaultAppId" => optional(defaults.app_id.as_deref()),
            "defaultVersion" => optional(pod.label("version")),
            "defaultServiceName" => optional(identity::default_service_name(pod, request)),
            // Facts.
            "appPorts" => optional(identity::app_ports(pod).as_deref()),
            "namespace" => text(&request.namespace),
            "firstContainer" => {
                optional(pod.containers().first().map(name).filter(|name| !name.is_empty()))
            }
            "scraped" => self.is_scraped().into(),
            "annotations" => strings(pod, "annotations"),
            "labels" => strings(pod, "labels"),
            _ => return None,
        })
    }

    fn all(&self) -> Value {
        let names = VARIABLES.iter().map(|(name, _)| *name);
        Value::from_pairs(names.filter_map(|name| Some((name, self.get(name)?))))
    }
}

fn text(text: &str) -> Value {
    text.into()
}

fn optional(text: Option<&str>) -> Value {
    text.map_or(Value::from(()), Value::from)
}

/// The pod's labels or annotations.
fn strings(pod: Pod<'_>, of: &str) -> Value {
    let map = pod.metadata().get(of).and_then(serde_json::Value::as_object);
    let pairs = map.into_iter().flatten().filter_map(|(key, v)| Some((key.as_str(), v.as_str()?)));
    Value::from_pairs(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_variables_are_the_variables() {
        let pod = serde_json::json!({});
        let (policy, request) = (Policy::builtin(), RequestInfo::default());
        let settings = &Settings::read(Pod(&pod), &policy.templates).unwrap();
        let variables = Variables {
            pod: Pod(&pod),
            request: &request,
            policy: &policy,
            settings,
            native: true,
        };
        for (name, _) in VARIABLES.iter().filter(|(name, _)| *name != "omit") {
            assert!(variables.get(name).is_some(), "{name}");
        }
        assert!(variables.get("other").is_none());
        assert_eq!(variables.all().len(), Some(VARIABLES.len() - 1));
    }
}
