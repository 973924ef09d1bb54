//! The JSON Schema of each file, from the table that the check reads too.

use serde_json::{Map, Value, json};

use super::keys::{self, File, Key};
use super::kind::Kind;

/// The files that have a schema.
pub fn files() -> Vec<&'static str> {
    File::ALL.iter().map(|file| file.name()).collect()
}

/// The JSON Schema of the file `name`, if there is such a file.
///
/// Keys may be nested or written with dots; both generations are described. An unknown key is
/// allowed, as `mesher` only warns of it.
pub fn schema(name: &str) -> Option<Value> {
    let file = File::ALL.into_iter().find(|file| file.name() == name)?;
    let mut root = Map::new();
    for row in keys::all().filter(|row| row.file == file) {
        for pattern in spellings(row.pattern) {
            insert(&mut root, &pattern, row);
        }
    }
    Some(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("{name} of mesher"),
        "type": ["object", "null"],
        "properties": root,
    }))
}

/// The canonical spelling, and that of the first generation where it differs.
fn spellings(pattern: &str) -> Vec<String> {
    let mut all = vec![pattern.to_owned()];
    let Some(rest) = pattern.strip_prefix("servicecomb.") else {
        let first = match pattern {
            "logWriters" => "writers",
            "logLevel" => "logger_level",
            "logFile" => "logger_file",
            "logFormatText" => "log_format_text",
            "logRotateAge" => "log_rotate_date",
            "logRotateSize" => "log_rotate_size",
            "logBackupCount" => "log_backup_count",
            _ => return all,
        };
        all.push(first.to_owned());
        return all;
    };
    if let Some(rest) = rest.strip_prefix("registry.") {
        all.push(format!("cse.service.registry.{rest}"));
    } else if rest == "service.app" {
        all.push("APPLICATION_ID".to_owned());
    } else if let Some(rest) = rest.strip_prefix("service.") {
        let rest = rest.replace("instanceProperties", "instance_properties");
        all.push(format!("service_description.{rest}"));
    } else if ["routeRule", "sourceTemplate", "router", "tracing", "region"]
        .iter()
        .any(|root| rest == *root || rest.starts_with(&format!("{root}.")))
    {
        all.push(rest.to_owned());
        all.push(format!("cse.{rest}"));
    } else {
        all.push(format!("cse.{rest}"));
    }
    all
}

/// Puts a row where nesting puts it. What a wildcard stands for is any key.
fn insert(properties: &mut Map<String, Value>, pattern: &str, row: &Key) {
    let (word, rest) = match pattern.split_once('.') {
        Some((word, rest)) => (word, Some(rest)),
        None => (pattern, None),
    };
    if word.contains('*') {
        // Names of services stand here, and the keys beside them are described on their own.
        if let Some(rest) = rest.filter(|_| word == "**") {
            insert(properties, rest, row);
        }
        return;
    }
    match rest {
        None => {
            let leaf = leaf(row);
            let slot = properties.entry(word).or_insert_with(|| json!({}));
            if let (Some(slot), Value::Object(leaf)) = (slot.as_object_mut(), leaf) {
                slot.extend(leaf);
            }
        }
        Some(rest) => {
            let node = properties
                .entry(word)
                .or_insert_with(|| json!({"type": ["object", "null"], "properties": {}}));
            let Some(node) = node.as_object_mut() else { return };
            let below = node.entry("properties").or_insert_with(|| json!({}));
            if let Some(below) = below.as_object_mut() {
                insert(below, rest, row);
            }
        }
    }
}

fn leaf(row: &Key) -> Value {
    let mut about = row.about.to_owned();
    if !row.default.is_empty() {
        about = format!("{about} Built in: {}.", row.default);
    }
    if let keys::Effect::Gone(what_to_do) = row.effect {
        about = format!("{about} Without effect: {what_to_do}.");
    }
    let mut leaf = Map::new();
    leaf.insert("description".into(), json!(about));
    if row.default.is_empty() && matches!(row.effect, keys::Effect::Gone(_)) {
        leaf.insert("deprecated".into(), json!(true));
    }
    let variable = json!({"type": "string", "pattern": r"\$\{"});
    let form = match row.kind {
        Kind::Tree => json!({}),
        Kind::List => json!({"type": ["array", "null"]}),
        Kind::Words => json!({"type": ["array", "string", "null"]}),
        Kind::Flag => json!({"anyOf": [
            {"enum": [true, false, "true", "false", "yes", "no", "on", "off", "", null]}, variable
        ]}),
        Kind::Whole(from, u64::MAX) => number(from, None, &variable),
        Kind::Whole(from, to) => number(from, Some(to), &variable),
        Kind::Share => json!({"anyOf": [
            {"type": "number", "minimum": 0, "maximum": 1}, {"type": ["string", "null"]}
        ]}),
        Kind::Choice(words) => {
            let any_case = |word: &str| {
                let letter = |c: char| match (c.to_ascii_lowercase(), c.to_ascii_uppercase()) {
                    (a, b) if a == b => {
                        if c == '.' {
                            r"\.".into()
                        } else {
                            c.to_string()
                        }
                    }
                    (a, b) => format!("[{a}{b}]"),
                };
                word.chars().map(letter).collect::<String>()
            };
            let words: Vec<_> = words.iter().map(|word| any_case(word)).collect();
            let pattern = format!("^({})?$", words.join("|"));
            json!({"anyOf": [{"type": "string", "pattern": pattern}, {"type": "null"}, variable]})
        }
        _ => json!({"type": ["string", "number", "boolean", "null"]}),
    };
    if let Value::Object(form) = form {
        leaf.extend(form);
    }
    leaf.insert("title".into(), json!(row.kind.allowed()));
    Value::Object(leaf)
}

fn number(from: u64, to: Option<u64>, variable: &Value) -> Value {
    let mut number = json!({"type": "integer", "minimum": from});
    if let Some(to) = to {
        number["maximum"] = json!(to);
    }
    json!({"anyOf": [number, {"type": "string", "pattern": "^[0-9]*$"}, {"type": "null"}, variable]})
}
