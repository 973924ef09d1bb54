//! The annotations a user writes, `sidecar.mesher.io/*`, read once into typed values.

use crate::content::Node;
use crate::discovery::Discovery;
use crate::interception::Interception;
use crate::pod::Pod;
use crate::ports::ServicePorts;
use crate::quantity::Quantity;
use crate::suggestion::closest;
use crate::template::Templates;

pub(crate) mod check;

/// What every key of ours begins with.
pub const PREFIX: &str = "sidecar.mesher.io/";
/// Asks for a sidecar, or refuses it.
pub const INJECT: &str = "sidecar.mesher.io/inject";
/// Written by us: `injected` or `skipped:<reason>`.
pub const STATUS: &str = "sidecar.mesher.io/status";
/// Written by us: the record of everything added.
pub const INJECTED: &str = "sidecar.mesher.io/injected";

/// Every key after the prefix.
pub const KEYS: [&str; 21] = [
    "appId",
    "configMap",
    "cpu",
    "cpuLimit",
    "discoveryType",
    "env",
    "image",
    "imagePullPolicy",
    "inject",
    "injected",
    "interception",
    "logLevel",
    "memory",
    "memoryLimit",
    "nativeSidecar",
    "passthrough",
    "serviceName",
    "servicePorts",
    "status",
    "template",
    "version",
];

/// What `inject` may say to ask, in any case.
pub(crate) const YES: [&str; 5] = ["y", "yes", "true", "on", "enabled"];
/// What `inject` may say to refuse, in any case.
pub(crate) const NO: [&str; 5] = ["n", "no", "false", "off", "disabled"];

/// What `inject` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Absent or empty.
    Nothing,
    Yes,
    No,
    /// Neither: what stands there.
    Unclear(String),
}

/// Reads `inject`.
pub(crate) fn ask(pod: Pod<'_>) -> Ask {
    let Some(value) = pod.annotation(INJECT) else {
        return Ask::Nothing;
    };
    let Some(text) = value.as_str() else {
        return Ask::Unclear(value.to_string());
    };
    let is_one_of = |words: [&str; 5]| words.iter().any(|w| w.eq_ignore_ascii_case(text.trim()));
    if text.trim().is_empty() {
        Ask::Nothing
    } else if is_one_of(YES) {
        Ask::Yes
    } else if is_one_of(NO) {
        Ask::No
    } else {
        Ask::Unclear(text.to_owned())
    }
}

/// An annotation or configuration value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct Problem {
    /// The key without prefix.
    pub key: String,
    /// What was found, what is allowed.
    pub problem: String,
}

impl Problem {
    pub(crate) fn new(key: &str, problem: impl Into<String>) -> Self {
        Self { key: key.to_owned(), problem: problem.into() }
    }
}

/// What the pod says about its sidecar; `None` where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) template: Option<String>,
    pub(crate) discovery: Option<Discovery>,
    pub(crate) service_ports: Option<ServicePorts>,
    pub(crate) image: Option<String>,
    pub(crate) image_pull_policy: Option<String>,
    pub(crate) log_level: Option<String>,
    pub(crate) cpu: Option<Quantity>,
    pub(crate) memory: Option<Quantity>,
    pub(crate) cpu_limit: Option<Quantity>,
    pub(crate) memory_limit: Option<Quantity>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) service_name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) app_id: Option<String>,
    pub(crate) config_map: Option<String>,
    pub(crate) passthrough: Option<String>,
    pub(crate) native: Option<bool>,
    pub(crate) interception: Option<Interception>,
}

impl Settings {
    /// Reads and checks every annotation; the first problem, in the order of the documentation,
    /// is the answer.
    pub(crate) fn read(pod: Pod<'_>, templates: &Templates) -> Result<Self, Problem> {
        // Few of a pod's annotations are ours, and they are looked through for each key.
        let ours = pod.annotations().iter();
        let ours = ours.filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value)));
        let ours: Vec<(&str, Node<'_>)> = ours.filter(|(_, value)| !value.is_null()).collect();
        let settings = Self {
            discovery: read(&ours, "discoveryType", str::parse)?,
            service_ports: read(&ours, "servicePorts", ServicePorts::parse)?,
            template: read(&ours, "template", |name| check::template(name, templates))?,
            image: read(&ours, "image", check::image)?,
            image_pull_policy: read(&ours, "imagePullPolicy", check::pull_policy)?,
            log_level: read(&ours, "logLevel", check::log_level)?,
            cpu: read(&ours, "cpu", check::quantity)?,
            memory: read(&ours, "memory", check::quantity)?,
            cpu_limit: read(&ours, "cpuLimit", check::quantity)?,
            memory_limit: read(&ours, "memoryLimit", check::quantity)?,
            env: read(&ours, "env", check::env)?.unwrap_or_default(),
            service_name: read(&ours, "serviceName", check::identity)?,
            version: read(&ours, "version", check::identity)?,
            app_id: read(&ours, "appId", check::identity)?,
            config_map: read(&ours, "configMap", check::config_map)?,
            passthrough: read(&ours, "passthrough", check::passthrough)?,
            native: read(&ours, "nativeSidecar", check::native)?.flatten(),
            interception: read(&ours, "interception", str::parse)?,
        };
        for (key, limit, request) in [
            ("cpuLimit", &settings.cpu_limit, &settings.cpu),
            ("memoryLimit", &settings.memory_limit, &settings.memory),
        ] {
            if let (Some(limit), Some(request)) = (limit, request)
                && limit < request
            {
                let (limit, request) = (limit.as_str(), request.as_str());
                return Err(Problem::new(key, format!("{limit} is below the request {request}")));
            }
        }
        Ok(settings)
    }
}

/// One of our annotations: absent and empty read as nothing, anything but a string is a problem.
fn read<T>(
    ours: &[(&str, Node<'_>)],
    key: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, Problem> {
    let Some((_, value)) = ours.iter().find(|(name, _)| *name == key) else {
        return Ok(None);
    };
    let Some(text) = value.as_str() else {
        return Err(Problem::new(key, format!("{value} is not a string: put it in quotes")));
    };
    match text.trim() {
        "" => Ok(None),
        text => parse(text).map(Some).map_err(|problem| Problem::new(key, problem)),
    }
}

/// Warnings for keys under our prefix that we do not know: most are typos.
pub(crate) fn unknown_keys(pod: Pod<'_>) -> Vec<String> {
    let keys = pod.annotations().keys();
    keys.filter_map(|key| {
        let short = key.strip_prefix(PREFIX)?;
        if KEYS.contains(&short) {
            return None;
        }
        Some(match closest(short, KEYS) {
            Some(near) => format!("unknown annotation {key}: did you mean {near}?"),
            None => format!("unknown annotation {key} is ignored"),
        })
    })
    .collect()
}

/// The value of our `status` annotation.
pub(crate) fn status(pod: Pod<'_>) -> &str {
    pod.metadata().at("annotations").text(STATUS)
}

/// The record annotation, unread.
pub(crate) fn injected(pod: Pod<'_>) -> Option<&str> {
    pod.annotation(INJECTED).and_then(Node::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use serde_json::{Value, json};

    fn pod(annotations: &Value) -> Value {
        json!({"metadata": {"annotations": annotations}})
    }

    #[test]
    fn inject_is_read_in_any_case() {
        for (value, expected) in [
            (json!("y"), Ask::Yes),
            (json!("YES"), Ask::Yes),
            (json!(" True "), Ask::Yes),
            (json!("on"), Ask::Yes),
            (json!("Enabled"), Ask::Yes),
            (json!("n"), Ask::No),
            (json!("No"), Ask::No),
            (json!("FALSE"), Ask::No),
            (json!("off"), Ask::No),
            (json!("disabled"), Ask::No),
            (json!(""), Ask::Nothing),
            (json!("  "), Ask::Nothing),
            (json!(null), Ask::Nothing),
            (json!("yse"), Ask::Unclear("yse".into())),
            (json!(true), Ask::Unclear("true".into())),
        ] {
            assert_eq!(ask(Pod::of(&pod(&json!({INJECT: value.clone()})))), expected, "{value}");
        }
        assert_eq!(ask(Pod::of(&json!({}))), Ask::Nothing);
    }

    #[test]
    fn every_value_is_checked() {
        for (key, bad, hint) in [
            ("discoveryType", "eureka", "use sc (service-center) or pilot (Istio)"),
            ("servicePorts", "rest", "form protocol:port"),
            ("template", "nope", "mesher"),
            ("image", "has space", "image"),
            ("imagePullPolicy", "always", "Always, IfNotPresent or Never"),
            ("logLevel", "loud", "trace, debug, info, warn or error"),
            ("cpu", "-1", "negative"),
            ("memory", "12 Mi", "quantity"),
            ("env", "[1]", "JSON object"),
            ("env", r#"{"A": 1}"#, "string"),
            ("env", r#"{"A=B": "x"}"#, "A=B"),
            ("serviceName", "a b", "letters"),
            ("configMap", "Big", "lower case"),
            ("passthrough", "maybe", "external, all or none"),
            ("nativeSidecar", "perhaps", "auto, true or false"),
            ("interception", "redirect", "use none, or env"),
        ] {
            let problem = Settings::read(
                Pod::of(&pod(&json!({format!("{PREFIX}{key}"): bad}))),
                &Policy::builtin().templates,
            )
            .unwrap_err();
            assert_eq!(problem.key, key);
            assert!(problem.problem.contains(hint), "{key}={bad}: {problem}");
        }
        let limits = json!({"sidecar.mesher.io/cpu": "1", "sidecar.mesher.io/cpuLimit": "500m"});
        let problem =
            Settings::read(Pod::of(&pod(&limits)), &Policy::builtin().templates).unwrap_err();
        assert_eq!(problem.to_string(), "cpuLimit: 500m is below the request 1");
        let number = json!({"sidecar.mesher.io/version": 2});
        let problem =
            Settings::read(Pod::of(&pod(&number)), &Policy::builtin().templates).unwrap_err();
        assert!(problem.problem.contains("put it in quotes"));
    }

    #[test]
    fn typos_are_named() {
        let found = unknown_keys(Pod::of(&pod(&json!({
            "sidecar.mesher.io/servicePort": "rest:80",
            "sidecar.mesher.io/Inject": "yes",
            "sidecar.mesher.io/inject": "yes",
            "sidecar.mesher.io/zzzzzzzzz": "",
            "other/inejct": ""
        }))));
        assert_eq!(
            found,
            [
                "unknown annotation sidecar.mesher.io/servicePort: did you mean servicePorts?",
                "unknown annotation sidecar.mesher.io/Inject: did you mean inject?",
                "unknown annotation sidecar.mesher.io/zzzzzzzzz is ignored",
            ]
        );
    }
}
