//! Documents printed anew, for `-o` with another format than the input's and for `--reformat`.

use serde_json::Value;

use super::block::{self, BlockStyle};
use super::flow::{self, FlowStyle};
use super::scalar;

/// A format of manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Documents separated by `---`.
    Yaml,
    /// Documents one after another.
    Json,
}

/// Prints documents as kubectl would; each ends with a line feed.
pub fn print(documents: &[Value], format: Format) -> String {
    let mut out = String::new();
    for (n, document) in documents.iter().enumerate() {
        match format {
            Format::Yaml => {
                if n > 0 {
                    out.push_str("---\n");
                }
                out.push_str(&yaml(document, BlockStyle::default()));
            }
            Format::Json => {
                let lines = Some("    ".to_owned());
                flow::value(&mut out, document, "", &FlowStyle { json: true, spaced: true, lines });
                out.push('\n');
            }
        }
    }
    out
}

/// A document as lines of YAML.
pub(in crate::manifest) fn yaml(document: &Value, style: BlockStyle) -> String {
    let mut out = String::new();
    match document {
        Value::Object(map) if !map.is_empty() => block::mapping(&mut out, map, 0, style),
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                block::item(&mut out, item, 0, style);
            }
        }
        other => {
            out.push_str(&scalar::yaml(other));
            out.push('\n');
        }
    }
    out
}
