//! What a manifest says, read as kubectl reads it: YAML 1.1 booleans and octal numbers, the last
//! of duplicate keys, a stream that starts with a brace as JSON. This reading is the referee of
//! every edit.

use serde_json::Value;

use super::error::{ManifestError, Place};
use super::parse;
use super::tree::{Document, Entry, Item, Kind, Node};

/// A file, read twice: what stands where, and what it means.
#[derive(Debug)]
pub(super) struct Reading {
    /// Whether it is a stream of JSON documents.
    pub json: bool,
    /// Its documents; empty ones have the value null.
    pub documents: Vec<(Document, Value)>,
}

/// Reads the whole of a file.
pub(super) fn read(text: &str) -> Result<Reading, ManifestError> {
    let body = text.trim_start_matches('\u{feff}').trim_start();
    let mut json_error = None;
    if body.starts_with('{') {
        match read_json(text, text.len() - body.len()) {
            Ok(reading) => return Ok(reading),
            Err(error) => json_error = Some(error),
        }
    }
    read_yaml(text).map_err(|yaml_error| match json_error {
        // Whoever wrote `{"` meant JSON, and wants to know what is wrong with it as JSON.
        Some(error) if body[1..].trim_start().starts_with('"') => error,
        _ => yaml_error,
    })
}

fn read_json(text: &str, start: usize) -> Result<Reading, ManifestError> {
    let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
    let mut documents = Vec::new();
    let mut from = start;
    while let Some(value) = values.next() {
        let value = value.map_err(|e| syntax(text, start, &e))?;
        let to = start + values.byte_offset();
        for mut document in parse::documents(&text[from..to])? {
            document.root.shift(from);
            documents.push((document, value.clone()));
        }
        from = to;
    }
    Ok(Reading { json: true, documents })
}

/// Turns the place of a JSON error within `text[start..]` into one of the file.
fn syntax(text: &str, start: usize, error: &serde_json::Error) -> ManifestError {
    let above = text[..start].matches('\n').count();
    let first = if error.line() == 1 { parse::place(text, start).column - 1 } else { 0 };
    let problem = error.to_string();
    let problem = problem.split(" at line ").next().unwrap_or_default().to_owned();
    let place = Place { line: above + error.line(), column: (first + error.column()).max(1) };
    ManifestError::Syntax { place, problem }
}

fn read_yaml(text: &str) -> Result<Reading, ManifestError> {
    let trees = parse::documents(text)?;
    let mut values = values(text)?.into_iter();
    let mut documents = Vec::with_capacity(trees.len());
    for tree in trees {
        // The reader of values leaves out the empty documents.
        let value = if tree.root.is_empty(text) && matches!(tree.root.kind, Kind::Scalar(_)) {
            Value::Null
        } else {
            values.next().ok_or_else(|| ManifestError::Syntax {
                place: parse::place(text, tree.root.span.start),
                problem: "this document has no value".into(),
            })?
        };
        documents.push((tree, value));
    }
    Ok(Reading { json: false, documents })
}

fn values(text: &str) -> Result<Vec<Value>, ManifestError> {
    let options = serde_saphyr::options! {
        budget: None,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|e| {
        let place = e.location().map_or(Place { line: 1, column: 1 }, |l| Place {
            line: usize::try_from(l.line()).unwrap_or(usize::MAX),
            column: usize::try_from(l.column()).unwrap_or(usize::MAX),
        });
        let problem = e.to_string();
        let problem = problem.lines().next().unwrap_or_default();
        // The place stands in front already.
        let at = format!("line {} column {}: ", place.line, place.column);
        let problem = problem.strip_prefix("error: ").unwrap_or(problem);
        let problem = problem.strip_prefix(&at).unwrap_or(problem).to_owned();
        ManifestError::Syntax { place, problem }
    })
}

impl Node {
    /// Moves every span by `by` bytes.
    fn shift(&mut self, by: usize) {
        self.span = self.span.start + by..self.span.end + by;
        match &mut self.kind {
            Kind::Map { entries, .. } => {
                for Entry { key, colon, value, .. } in entries {
                    *key = key.start + by..key.end + by;
                    *colon += by;
                    value.shift(by);
                }
            }
            Kind::Seq { items, .. } => {
                for Item { mark, value } in items {
                    *mark += by;
                    value.shift(by);
                }
            }
            Kind::Scalar(_) | Kind::Alias => {}
        }
    }
}
