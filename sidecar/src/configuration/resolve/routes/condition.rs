//! What a request has to be, in the words of go-chassis.

use mesh::route::{Condition, HeaderMatch, Pattern, RequestMatch, Test};

use crate::configuration::kind;
use crate::configuration::resolve::block::Block;
use crate::configuration::yaml::{Content, Node};

const WAYS: &str = "exact, regex, contains, noEqu, noLess, noGreater, greater, less";
/// The first of them that is there counts, as in the original.
const IN_ORDER: [&str; 8] =
    ["regex", "exact", "noEqu", "contains", "noLess", "noGreater", "greater", "less"];

/// Takes a field of a match over. `Some(false)`: it is none; `None`: it is wrong, which was said.
pub(super) fn field(
    block: &mut Block<'_, '_>,
    of: &mut RequestMatch,
    name: &str,
    node: &Node,
) -> Option<bool> {
    match name {
        "httpHeaders" | "headers" => {
            for (header, node) in block.fields(node, "headers: {NAME: {exact: VALUE}}")? {
                let (condition, inverted) = condition(block, header, node)?;
                let name = header.to_ascii_lowercase().into();
                of.headers.push(HeaderMatch { name, condition, inverted });
            }
        }
        "apiPath" | "apiPaths" => {
            let (condition, inverted) = condition(block, name, node)?;
            if inverted {
                block.error(node.line, "apiPath: noEqu is for headers");
                return None;
            }
            of.path = Some(condition);
        }
        "method" | "methods" => of.methods = methods(block, name, node)?,
        _ => return Some(false),
    }
    Some(true)
}

fn methods(block: &mut Block<'_, '_>, name: &str, node: &Node) -> Option<Vec<Box<str>>> {
    let nodes = match &node.content {
        Content::List(nodes) => nodes.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let method = |text: &str| -> Option<Box<str>> {
        let letters = text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
        (letters && !text.is_empty()).then(|| text.to_ascii_uppercase().into())
    };
    nodes.iter().map(|node| block.scalar(name, node, "methods, as [GET, POST]", method)).collect()
}

/// What a text has to be, and whether it must not be so.
fn condition(block: &mut Block<'_, '_>, name: &str, node: &Node) -> Option<(Condition, bool)> {
    let wanted = format!("{name}: {{exact: VALUE}}");
    let fields: Vec<_> = block.fields(node, &wanted)?.collect();
    let mut any_case = false;
    for (way, node) in &fields {
        if *way == "caseInsensitive" {
            any_case = block.scalar(way, node, "true or false", kind::flag)?;
        } else if !IN_ORDER.contains(way) {
            block.unknown(way, node, &format!("{WAYS} and caseInsensitive"));
        }
    }
    let found = IN_ORDER.iter().find_map(|way| fields.iter().find(|(name, _)| name == way));
    let Some((way, node)) = found else {
        block.error(node.line, format!("{name}: say what it has to be: one of {WAYS}"));
        return None;
    };
    let text = block.scalar(way, node, "one value", |text| Some(text.to_owned()))?;
    let number = |block: &mut Block<'_, '_>| {
        block.scalar(way, node, "a whole number", |text| text.parse::<i64>().ok())
    };
    let test = match *way {
        "regex" => match Pattern::new(&text, any_case) {
            Ok(pattern) => Test::Matches(pattern),
            Err(problem) => {
                let text = kind::short(&text);
                block.error(node.line, format!("regex: \"{text}\" is none: {problem}"));
                return None;
            }
        },
        "contains" => Test::Contains(text.into()),
        "noLess" => Test::AtLeast(number(block)?),
        "noGreater" => Test::AtMost(number(block)?),
        "greater" => Test::Above(number(block)?),
        "less" => Test::Below(number(block)?),
        _ => Test::Is(text.into()),
    };
    Some((Condition { test, any_case }, *way == "noEqu"))
}
