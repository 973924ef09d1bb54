//! `routeRule` of router.yaml: for each service a list of rules, nested (the first generation), or
//! as a text that is YAML itself (the second).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Reader;
use crate::configuration::kind;
use crate::configuration::problem::Severity;
use crate::configuration::values::Entry;
use crate::configuration::yaml::{self, Content, Node};
use crate::settings::RouteRules;

const RULES: &str = "servicecomb.routeRule";

pub(super) fn rules(reader: &mut Reader<'_>) -> BTreeMap<String, RouteRules> {
    let values = reader.values;
    let mut rules = BTreeMap::new();
    for (service, entry) in values.below(RULES) {
        if let Some(read) = of_service(reader, entry) {
            rules.insert(service.to_owned(), read);
        }
    }
    rules
}

fn of_service(reader: &mut Reader<'_>, entry: &Entry) -> Option<RouteRules> {
    let block;
    let (nodes, of_file) = match &entry.content {
        Content::List(nodes) => (nodes, true),
        Content::Scalar(text) => match yaml::read(text) {
            Ok(Node { content: Content::List(nodes), .. }) => {
                block = nodes;
                (&block, false)
            }
            Ok(_) => {
                reader.error(
                    entry,
                    format!(
                        "\"{}\" is no list of rules: begin each with \"- precedence:\"",
                        kind::short(text)
                    ),
                );
                return None;
            }
            Err(fault) => {
                let message = format!("line {} of the text: {}", fault.line, fault.problem);
                reader.error(entry, message);
                return None;
            }
        },
        _ => return None,
    };
    let mut rules = Vec::new();
    for node in nodes {
        if !matches!(node.content, Content::Map(_)) {
            // Within a block of text, its own place is what is known.
            let origin = if of_file { entry.origin.at(node.line) } else { entry.origin.clone() };
            let message = "a rule has to say precedence, match or route";
            reader.problems.add(Severity::Error, Some(&origin), &entry.written, message);
            return None;
        }
        rules.push(shown("", &node.content));
    }
    Some(rules)
}

/// A rule as JSON. What is a number or a flag, the key says: a version `1.10` is a text.
fn shown(key: &str, content: &Content) -> Value {
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
                "precedence" | "weight" => text.trim().parse().ok().map(|n: i64| json!(n)),
                "caseInsensitive" => kind::flag(text.trim()).map(Value::Bool),
                _ => None,
            };
            typed.unwrap_or_else(|| json!(text))
        }
    }
}
