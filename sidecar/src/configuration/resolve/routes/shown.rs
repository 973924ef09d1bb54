//! Rules as the admin port shows them.

use serde_json::{Map, Value, json};

use crate::configuration::kind;
use crate::configuration::yaml::Content;

/// A rule as JSON. What is a number or a flag, the key says: a version `1.10` is a text.
pub(super) fn shown(key: &str, content: &Content) -> Value {
    match content {
        Content::Null => Value::Null,
        Content::List(items) => items.iter().map(|item| shown(key, &item.content)).collect(),
        Content::Map(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|(key, _, node)| (key.clone(), shown(key, &node.content)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        Content::Scalar(text) => {
            let typed = match key {
                "precedence" | "weight" | "percent" => {
                    text.trim().parse().ok().map(|n: i64| json!(n))
                }
                "caseInsensitive" => kind::flag(text.trim()).map(Value::Bool),
                _ => None,
            };
            typed.unwrap_or_else(|| json!(text))
        }
    }
}
