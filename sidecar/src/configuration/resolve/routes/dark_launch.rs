//! Dark launch rules, as the console of ServiceStage writes them: route rules in other words. They
//! are put into those words, so that there is one way to read and to show them.

use crate::configuration::resolve::block::Block;
use crate::configuration::yaml::{Content, Node};

const WANTED: &str = "{\"policyType\": \"RATE\" or \"RULE\", \"ruleItems\": […]}";
/// What stands between a header and its value, with the word of a route rule for it. The longer
/// ones first.
const OPERATORS: [(&str, &str); 7] = [
    ("!=", "noEqu"),
    (">=", "noLess"),
    ("<=", "noGreater"),
    ("=", "exact"),
    (">", "greater"),
    ("<", "less"),
    ("~", "regex"),
];

#[derive(Debug, Default)]
struct Item {
    group: String,
    policy: String,
    case: Option<String>,
    line: usize,
}

/// A policy as a list of route rules.
pub(super) fn rules(block: &mut Block<'_, '_>, node: &Node) -> Option<Node> {
    let (mut rate, mut items) = (None, Vec::new());
    for (name, node) in block.fields(node, WANTED)? {
        match name {
            "policyType" => {
                let kind = |text: &str| match text {
                    "RATE" => Some(true),
                    "RULE" => Some(false),
                    _ => None,
                };
                rate = Some(block.scalar(name, node, "RATE or RULE", kind)?);
            }
            "ruleItems" => {
                for node in block.items(node, "ruleItems: a list")? {
                    items.push(item(block, node)?);
                }
            }
            _ => block.unknown(name, node, "policyType and ruleItems"),
        }
    }
    let line = node.line;
    match rate {
        None => {
            block.error(line, format!("policyType is missing: write {WANTED}"));
            None
        }
        Some(true) => {
            let mut targets = Vec::new();
            for item in &items {
                let Ok(weight) = item.policy.parse::<u32>() else {
                    let text = "policyCondition: write a share of 100, as \"50\"";
                    block.error(item.line, text);
                    return None;
                };
                targets.extend(shared(block, item, weight)?);
            }
            Some(list(line, vec![map(line, vec![("route", list(line, targets))])]))
        }
        Some(false) => {
            let count = items.len();
            let rules: Option<Vec<Node>> = items
                .iter()
                .enumerate()
                .map(|(at, item)| {
                    let line = item.line;
                    let precedence = scalar(line, &(count - at).to_string());
                    let headers = header(block, item)?;
                    let targets = list(line, shared(block, item, 100)?);
                    let about = map(line, vec![("headers", headers)]);
                    Some(map(
                        line,
                        vec![("precedence", precedence), ("match", about), ("route", targets)],
                    ))
                })
                .collect();
            Some(list(line, rules?))
        }
    }
}

fn item(block: &mut Block<'_, '_>, node: &Node) -> Option<Item> {
    let mut item = Item { line: node.line, ..Item::default() };
    for (name, node) in block.fields(node, "{\"groupCondition\": \"version=1.0\"}")? {
        let text = |text: &str| Some(text.to_owned());
        match name {
            "groupName" => {}
            "groupCondition" => item.group = block.scalar(name, node, "version=1.0", text)?,
            "policyCondition" => item.policy = block.scalar(name, node, "a text", text)?,
            "caseInsensitive" => item.case = Some(block.scalar(name, node, "a flag", text)?),
            _ => block.unknown(name, node, "groupName, groupCondition, policyCondition"),
        }
    }
    Some(item)
}

/// The targets of a group: each of its versions gets the same of the group's share, as far as
/// whole numbers go.
fn shared(block: &mut Block<'_, '_>, item: &Item, weight: u32) -> Option<Vec<Node>> {
    let line = item.line;
    let Some((name, values)) = item.group.split_once('=') else {
        block.error(line, "groupCondition: write a tag and its values, as \"version=1.0,1.1\"");
        return None;
    };
    let values: Vec<&str> = values.split(',').map(str::trim).collect();
    let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
    let targets = values.iter().zip(0..).map(|(value, at)| {
        let share = weight / count + u32::from(at < weight % count);
        let tags = map(line, vec![(name.trim(), scalar(line, value))]);
        map(line, vec![("tags", tags), ("weight", scalar(line, &share.to_string()))])
    });
    Some(targets.collect())
}

/// `user=jason` as a condition on a header.
fn header(block: &mut Block<'_, '_>, item: &Item) -> Option<Node> {
    let line = item.line;
    // The first that stands in it; of two at one place the longer.
    let operators = OPERATORS.iter().filter_map(|(operator, way)| {
        let (name, value) = item.policy.split_once(operator)?;
        Some((name.trim(), *way, value.trim()))
    });
    let found = operators.min_by_key(|(name, ..)| name.len());
    let Some((name, way, value)) = found else {
        let text = "policyCondition: write a header and what it has to be, as \"user=jason\"";
        block.error(line, text);
        return None;
    };
    let mut fields = vec![(way, scalar(line, value))];
    fields.extend(item.case.as_ref().map(|case| ("caseInsensitive", scalar(line, case))));
    Some(map(line, vec![(name, map(line, fields))]))
}

fn scalar(line: usize, text: &str) -> Node {
    Node { line, content: Content::Scalar(text.to_owned()) }
}

fn list(line: usize, items: Vec<Node>) -> Node {
    Node { line, content: Content::List(items) }
}

fn map(line: usize, fields: Vec<(&str, Node)>) -> Node {
    let fields = fields.into_iter().map(|(name, node)| (name.to_owned(), line, node));
    Node { line, content: Content::Map(fields.collect()) }
}
