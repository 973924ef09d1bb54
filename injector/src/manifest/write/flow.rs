//! Values in brackets and braces: flow YAML and JSON.

use serde_json::Value;

use super::scalar;

/// How a document writes a flow collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manifest) struct FlowStyle {
    /// Every string in double quotes.
    pub json: bool,
    /// A space after commas and colons.
    pub spaced: bool,
    /// One item a line, each level indented by this.
    pub lines: Option<String>,
}

impl FlowStyle {
    /// Between items on one line.
    pub(in crate::manifest) const fn comma(&self) -> &'static str {
        if self.spaced { ", " } else { "," }
    }

    const fn colon(&self) -> &'static str {
        // Without a space after the colon only JSON is unambiguous.
        if self.spaced || !self.json { ": " } else { ":" }
    }

    fn string(&self, out: &mut String, text: &str) {
        if self.json {
            out.push_str(&Value::from(text).to_string());
        } else {
            out.push_str(&scalar::yaml_string(text));
        }
    }
}

/// `value`, whose first line starts at the indentation `base`.
pub(in crate::manifest) fn value(out: &mut String, value: &Value, base: &str, style: &FlowStyle) {
    match value {
        Value::Array(items) => {
            collection(out, ('[', ']'), items, base, style, |out, item, base| {
                self::value(out, item, base, style);
            });
        }
        Value::Object(map) => {
            collection(out, ('{', '}'), map, base, style, |out, (key, value), base| {
                entry(out, key, value, base, style);
            });
        }
        Value::String(text) => style.string(out, text),
        other => out.push_str(&other.to_string()),
    }
}

/// `key: value`.
pub(in crate::manifest) fn entry(
    out: &mut String,
    key: &str,
    value: &Value,
    base: &str,
    style: &FlowStyle,
) {
    style.string(out, key);
    out.push_str(style.colon());
    self::value(out, value, base, style);
}

fn collection<T>(
    out: &mut String,
    (open, close): (char, char),
    items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    base: &str,
    style: &FlowStyle,
    mut write: impl FnMut(&mut String, T, &str),
) {
    let items = items.into_iter();
    let inner =
        style.lines.as_ref().filter(|_| items.len() > 0).map(|step| format!("{base}{step}"));
    out.push(open);
    for (n, item) in items.enumerate() {
        if n > 0 {
            out.push_str(if inner.is_some() { "," } else { style.comma() });
        }
        if let Some(inner) = &inner {
            out.push('\n');
            out.push_str(inner);
        }
        write(out, item, inner.as_deref().unwrap_or(base));
    }
    if inner.is_some() {
        out.push('\n');
        out.push_str(base);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(json: bool, spaced: bool, lines: Option<&str>) -> String {
        let mut out = String::new();
        let style = FlowStyle { json, spaced, lines: lines.map(Into::into) };
        value(&mut out, &json!({"a": ["yes", 1, {}], "b": {"c": null}}), "", &style);
        out
    }

    #[test]
    fn four_styles() {
        assert_eq!(written(false, true, None), "{a: ['yes', 1, {}], b: {c: null}}");
        assert_eq!(written(true, true, None), r#"{"a": ["yes", 1, {}], "b": {"c": null}}"#);
        assert_eq!(written(true, false, None), r#"{"a":["yes",1,{}],"b":{"c":null}}"#);
        assert_eq!(
            written(true, true, Some("\t")),
            "{\n\t\"a\": [\n\t\t\"yes\",\n\t\t1,\n\t\t{}\n\t],\n\t\"b\": {\n\t\t\"c\": null\n\t}\n}"
        );
    }
}
