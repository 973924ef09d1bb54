//! Values as lines of YAML.

use serde_json::{Map, Value};

use super::scalar;

/// How a document writes its block collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::manifest) struct BlockStyle {
    /// Spaces from a mapping's keys to the keys of a mapping below them.
    pub step: usize,
    /// Spaces from a key to the dashes below it.
    pub dash: usize,
    /// Columns from a dash to what follows it.
    pub gap: usize,
}

impl Default for BlockStyle {
    /// As kubectl prints.
    fn default() -> Self {
        Self { step: 2, dash: 0, gap: 2 }
    }
}

/// The lines of `key: value` with the key at `column`; each ends with a line feed.
pub(in crate::manifest) fn entry(
    out: &mut String,
    key: &str,
    value: &Value,
    column: usize,
    style: BlockStyle,
) {
    indent(out, column);
    pair(out, key, value, column, style);
}

/// The lines of a list item with its dash at `column`.
pub(in crate::manifest) fn item(out: &mut String, value: &Value, column: usize, style: BlockStyle) {
    indent(out, column);
    out.push('-');
    match value {
        Value::Object(map) if !map.is_empty() => {
            indent(out, style.gap - 1);
            let column = column + style.gap;
            for (n, (key, value)) in map.iter().enumerate() {
                if n > 0 {
                    indent(out, column);
                }
                pair(out, key, value, column, style);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            for value in items {
                item(out, value, column + style.gap, style);
            }
        }
        scalar => {
            indent(out, style.gap - 1);
            out.push_str(&scalar::yaml(scalar));
            out.push('\n');
        }
    }
}

/// The lines of a non-empty collection below a key at `column`.
pub(in crate::manifest) fn below(
    out: &mut String,
    value: &Value,
    column: usize,
    style: BlockStyle,
) {
    match value {
        Value::Object(map) => mapping(out, map, column + style.step, style),
        Value::Array(items) => {
            for value in items {
                item(out, value, column + style.dash, style);
            }
        }
        _ => {}
    }
}

/// The lines of a mapping with its keys at `column`.
pub(in crate::manifest) fn mapping(
    out: &mut String,
    map: &Map<String, Value>,
    column: usize,
    style: BlockStyle,
) {
    for (key, value) in map {
        entry(out, key, value, column, style);
    }
}

fn pair(out: &mut String, key: &str, value: &Value, column: usize, style: BlockStyle) {
    out.push_str(&scalar::yaml_string(key));
    out.push(':');
    if scalar::is_inline(value) {
        out.push(' ');
        out.push_str(&scalar::yaml(value));
        out.push('\n');
    } else {
        out.push('\n');
        below(out, value, column, style);
    }
}

fn indent(out: &mut String, columns: usize) {
    out.extend(std::iter::repeat_n(' ', columns));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_and_mappings_follow_the_style() {
        let value = json!({"a": [{"b": 1, "c": ["x", []]}, [true, [null]]], "d": {"e": {}}});
        let mut out = String::new();
        mapping(&mut out, value.as_object().unwrap(), 2, BlockStyle { step: 4, dash: 2, gap: 4 });
        assert_eq!(
            out,
            "  a:\n    -   b: 1\n        c:\n          -   x\n          -   []\n    -\n        -   true\n        -\n            -   null\n  d:\n      e: {}\n"
        );
    }
}
