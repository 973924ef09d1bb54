//! What the expressions of a template can name.

use minijinja::Value;

use super::identity;
use crate::annotations::Settings;
use crate::pod::{Pod, name};
use crate::policy::{Discovery, Policy};
use crate::request::RequestInfo;

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

/// Builds the variables for one pod. A variable that does not apply is `none`; one that is not
/// listed here is an error in the template.
pub(crate) fn variables(
    pod: Pod<'_>,
    request: &RequestInfo,
    policy: &Policy,
    settings: &Settings,
    native: bool,
) -> Value {
    let defaults = &policy.sidecar;
    let discovery = settings.discovery.unwrap_or(defaults.discovery_type);
    let scraped = pod
        .annotations()
        .is_some_and(|map| map.keys().any(|key| key.starts_with("prometheus.io/")));
    let or =
        |own: &Option<String>, default: &str| own.clone().unwrap_or_else(|| default.to_owned());
    let mut all: Vec<(&'static str, Value)> = Vec::with_capacity(VARIABLES.len());
    let mut set = |key, value: Value| all.push((key, value));
    // The sidecar itself.
    set("injectorVersion", policy.version.clone().into());
    set("native", native.into());
    set("image", or(&settings.image, &defaults.image).into());
    set("imagePullPolicy", or(&settings.image_pull_policy, &defaults.image_pull_policy).into());
    set("logLevel", or(&settings.log_level, &defaults.log_level).into());
    set("cpu", defaults.cpu.clone().into());
    set("memory", defaults.memory.clone().into());
    set("cpuLimit", optional(defaults.cpu_limit.clone()));
    set("memoryLimit", defaults.memory_limit.clone().into());
    set("configMap", or(&settings.config_map, &defaults.config_map).into());
    set("passthrough", optional(settings.passthrough.clone()));
    // What the pod's annotations say.
    set("discoveryType", optional(settings.discovery.map(|d| d.as_str().to_owned())));
    set("servicePorts", optional(settings.service_ports.as_ref().map(ToString::to_string)));
    set("serviceName", optional(settings.service_name.clone()));
    set("version", optional(settings.version.clone()));
    set("appId", optional(settings.app_id.clone()));
    // What holds where neither the pod nor its files say.
    set("pilot", (discovery == Discovery::Pilot).into());
    set("defaultDiscoveryType", defaults.discovery_type.as_str().into());
    set("defaultRegistryAddress", optional(defaults.registry_address.clone()));
    set("defaultPilotAddress", optional(defaults.pilot_address.clone()));
    set("defaultAppId", optional(defaults.app_id.clone()));
    set("defaultVersion", optional(pod.label("version").map(str::to_owned)));
    set("defaultServiceName", optional(identity::default_service_name(pod, request)));
    // Facts.
    set("appPorts", optional(identity::app_ports(pod)));
    set("namespace", request.namespace.clone().into());
    let first = pod.containers().first().map(|c| name(c).to_owned());
    set("firstContainer", optional(first.filter(|n| !n.is_empty())));
    set("scraped", scraped.into());
    set("annotations", strings(pod, "annotations"));
    set("labels", strings(pod, "labels"));
    Value::from_pairs(all)
}

fn optional(text: Option<String>) -> Value {
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
    use std::collections::BTreeSet;

    #[test]
    fn the_documented_variables_are_the_variables() {
        let pod = serde_json::json!({});
        let (policy, request) = (Policy::builtin(), RequestInfo::default());
        let settings = Settings::read(Pod(&pod), &policy.templates).unwrap();
        let all = variables(Pod(&pod), &request, &policy, &settings, true);
        let names: BTreeSet<String> = all.try_iter().unwrap().map(|k| k.to_string()).collect();
        let documented = VARIABLES.iter().map(|(name, _)| (*name).to_owned());
        assert_eq!(documented.filter(|n| n != "omit").collect::<BTreeSet<_>>(), names);
    }
}
