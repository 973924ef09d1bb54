//! Every value in force, and where it came from.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::Configuration;
use super::keys::{self, Effect};
use super::kind::Kind;
use super::values::{Entry, Origin};
use super::yaml::{Content, Node};

/// What is shown of a secret.
const MASK: &str = "***";

/// A built-in value that does not count where one of the others says something.
const OTHERS: &[(&str, &[&str])] = &[
    (
        "mesher.discoveryType",
        &["servicecomb.registry.serviceDiscovery.type", "servicecomb.registry.type"],
    ),
    ("mesher.pilot.address", &["servicecomb.registry.serviceDiscovery.address"]),
    (
        "servicecomb.registry.address",
        &[
            "servicecomb.registry.serviceDiscovery.address",
            "servicecomb.registry.registrator.address",
        ],
    ),
    ("servicecomb.registry.watch", &["servicecomb.registry.serviceDiscovery.watch"]),
    (
        "servicecomb.registry.refreshInterval",
        &["servicecomb.registry.serviceDiscovery.refreshInterval"],
    ),
    (
        "servicecomb.registry.tenant",
        &[
            "servicecomb.registry.serviceDiscovery.tenant",
            "servicecomb.registry.registrator.tenant",
        ],
    ),
    ("servicecomb.registry.register", &["servicecomb.registry.registrator.register"]),
    ("servicecomb.registry.disabled", &["servicecomb.registry.registrator.disabled"]),
    (
        "mesher.limits.requestTimeout",
        &[
            "servicecomb.isolation.Consumer.timeoutInMilliseconds",
            "servicecomb.transport.timeout.rest",
        ],
    ),
    ("mesher.limits.headerBytes", &["servicecomb.transport.maxHeaderBytes.rest"]),
    ("mesher.limits.idleUpstream", &["servicecomb.transport.maxIdleCon.rest"]),
];

/// Every value in force by its key, with its origin; secrets are masked already.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dump(BTreeMap<String, Line>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    value: Value,
    origin: Origin,
}

impl Dump {
    /// As YAML, one key a line, each with its origin behind it. But for masked secrets it can be
    /// read as a configuration again.
    pub fn to_yaml(&self) -> String {
        let mut text = String::new();
        for (key, Line { value, origin }) in &self.0 {
            let key = if key.contains(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c)) {
                json!(key).to_string()
            } else {
                key.clone()
            };
            let _ = writeln!(text, "{key}: {value}  # {origin}");
        }
        text
    }

    /// The same as JSON: `{"key": {"value": …, "origin": "…"}}`.
    pub fn to_json(&self) -> Value {
        let line = |(key, line): (&String, &Line)| {
            (key.clone(), json!({"value": line.value, "origin": line.origin.to_string()}))
        };
        Value::Object(self.0.iter().map(line).collect())
    }
}

impl Configuration {
    /// The values in force, for people.
    pub fn dump(&self) -> Dump {
        Dump(self.lines())
    }

    /// See [`Dump::to_yaml`].
    pub fn to_yaml(&self) -> String {
        self.dump().to_yaml()
    }

    /// See [`Dump::to_json`].
    pub fn to_json(&self) -> Value {
        self.dump().to_json()
    }

    fn lines(&self) -> BTreeMap<String, Line> {
        let mut lines = BTreeMap::new();
        let counts = |key: &str| {
            let others = OTHERS.iter().find(|(known, _)| *known == key).map(|(_, others)| *others);
            others.is_none_or(|others| self.values.first(others).is_none())
        };
        let built_in = keys::all().filter(|row| row.is_plain() && !row.default.is_empty());
        for row in built_in.filter(|row| counts(row.pattern)) {
            let line = Line { value: json!(row.default), origin: Origin::BuiltIn };
            lines.insert(row.pattern.to_owned(), line);
        }
        for (key, entries) in self.values.iter() {
            let Some(entry) = entries.iter().find(|entry| !entry.is_empty()) else { continue };
            let row = keys::find(key);
            if row.is_none_or(|row| matches!(row.effect, Effect::Gone(_))) {
                continue;
            }
            let secret = row.is_some_and(|row| row.kind == Kind::Secret);
            let value = if secret { json!(MASK) } else { masked(key, entry) };
            lines.insert(key.to_owned(), Line { value, origin: entry.origin.clone() });
        }
        lines
    }
}

/// A value whose key or form says that it may be a secret is not shown: free maps hold anything.
fn masked(key: &str, entry: &Entry) -> Value {
    if tells(key.rsplit('.').next().unwrap_or(key)) { json!(MASK) } else { plain(&entry.content) }
}

/// Whether a name says that a secret stands behind it.
fn tells(name: &str) -> bool {
    let name = name.to_lowercase();
    let telling = ["password", "passwd", "secret", "token", "credential", "apikey", "accesskey"];
    telling.iter().any(|word| name.contains(word))
}

fn plain(content: &Content) -> Value {
    match content {
        Content::Null => Value::Null,
        Content::Scalar(text) => Value::String(without_user(text)),
        Content::List(items) => items.iter().map(|Node { content, .. }| plain(content)).collect(),
        Content::Map(entries) => {
            let shown = |name: &str, node: &Node| {
                if tells(name) { json!(MASK) } else { plain(&node.content) }
            };
            Value::Object(
                entries.iter().map(|(name, _, node)| (name.clone(), shown(name, node))).collect(),
            )
        }
    }
}

/// `http://user:password@host` without what stands before the `@`.
fn without_user(text: &str) -> String {
    let Some((before, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', ',', ' ']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{before}://{MASK}@{}", without_user(&rest[at + 1..])),
        None => format!("{before}://{}{}", &rest[..end], without_user(&rest[end..])),
    }
}

#[cfg(test)]
mod tests {
    use super::without_user;

    #[test]
    fn who_asks_is_not_shown() {
        for (text, shown) in [
            ("http://a:1", "http://a:1"),
            ("http://u:p@a:1", "http://***@a:1"),
            ("http://a/x,https://u:p@b/y@z", "http://a/x,https://***@b/y@z"),
            ("u@h", "u@h"),
        ] {
            assert_eq!(without_user(text), shown);
        }
    }
}
