//! One check per annotation value; each error says what was found and what is allowed.

use serde_json::Value;

use crate::quantity::Quantity;
use crate::template::Templates;

/// The name of a template there is.
pub(crate) fn template(name: &str, templates: &Templates) -> Result<String, String> {
    if templates.contains_key(name) {
        return Ok(name.to_owned());
    }
    let names: Vec<&str> = templates.keys().map(String::as_str).collect();
    Err(format!("there is no template \"{name}\": use {}", names.join(", ")))
}

/// An image reference: `[host[:port]/]path[:tag][@digest]`.
pub(crate) fn image(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/:@+".contains(c);
    let edges = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric());
    if edges && text.len() <= 512 && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(format!("\"{text}\" is not an image reference such as registry.example/mesher:1.0"))
}

/// When the kubelet pulls the image.
pub(crate) fn pull_policy(text: &str) -> Result<String, String> {
    match text {
        "Always" | "IfNotPresent" | "Never" => Ok(text.to_owned()),
        _ => Err(format!("\"{text}\": use Always, IfNotPresent or Never")),
    }
}

/// How much the proxy logs; any case.
pub(crate) fn log_level(text: &str) -> Result<String, String> {
    let level = text.to_ascii_lowercase();
    match level.as_str() {
        "trace" | "debug" | "info" | "warn" | "error" => Ok(level),
        _ => Err(format!("\"{text}\": use trace, debug, info, warn or error")),
    }
}

/// A request or limit.
pub(crate) fn quantity(text: &str) -> Result<Quantity, String> {
    match Quantity::parse(text) {
        Some(quantity) if !quantity.is_negative() => Ok(quantity),
        Some(_) => Err(format!("\"{text}\" is negative")),
        None => Err(format!("\"{text}\" is not a quantity such as 100m, 0.5 or 64Mi")),
    }
}

/// Extra variables of the sidecar: a JSON object of strings. The values stay out of every message.
pub(crate) fn env(text: &str) -> Result<Vec<(String, String)>, String> {
    let usage = "use a JSON object of strings such as {\"NAME\":\"value\"}";
    let Ok(Value::Object(map)) = serde_json::from_str(text) else {
        return Err(format!("not a JSON object: {usage}"));
    };
    map.into_iter()
        .map(|(name, value)| {
            // Kubernetes: printable ASCII but the equals sign.
            if name.is_empty() || !name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') {
                return Err(format!("\"{}\" is not a variable name", name.escape_default()));
            }
            match value {
                Value::String(value) => Ok((name, value)),
                _ => Err(format!("the value of {name} is not a string: {usage}")),
            }
        })
        .collect()
}

/// A service, version or application name.
pub(crate) fn identity(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
    if text.len() <= 128 && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "\"{}\": use up to 128 letters, digits, dots, hyphens, underscores or colons",
        text.escape_default()
    ))
}

/// The name of a ConfigMap or Secret: an RFC 1123 subdomain.
pub(crate) fn config_map(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if text.len() <= 253 && text.split('.').all(label) {
        return Ok(text.to_owned());
    }
    Err(format!("\"{text}\" is not an object's name: lower case letters, digits, - and ."))
}

/// What the proxy does with hosts that no source knows.
pub(crate) fn passthrough(text: &str) -> Result<String, String> {
    match text {
        "external" | "all" | "none" => Ok(text.to_owned()),
        _ => Err(format!("\"{text}\": use external, all or none")),
    }
}

/// `None` is `auto`.
pub(crate) fn native(text: &str) -> Result<Option<bool>, String> {
    match text {
        "auto" => Ok(None),
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(format!("\"{text}\": use auto, true or false")),
    }
}
