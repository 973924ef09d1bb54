//! Scalars spelled so that every YAML reader gets the same value, the 1.1 readers included.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;

/// Words that some reader takes for a boolean, a null or a number.
const RESERVED: [&str; 12] =
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nil", "nan", "inf"];

/// A string in YAML: plain where nobody can misread it, else in quotes.
pub(in crate::manifest) fn yaml_string(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        Cow::Borrowed(text)
    } else if text
        .chars()
        .any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'))
    {
        // JSON escapes are YAML escapes, but for what JSON leaves as it is.
        let mut quoted = String::with_capacity(text.len() + 2);
        for c in Value::from(text).to_string().chars() {
            match c {
                '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                    let _ = write!(quoted, "\\u{:04x}", u32::from(c));
                }
                c => quoted.push(c),
            }
        }
        Cow::Owned(quoted)
    } else {
        Cow::Owned(format!("'{}'", text.replace('\'', "''")))
    }
}

/// Whether a string needs no quotes anywhere, flow collections and keys included.
fn is_plain(text: &str) -> bool {
    let quantity = || {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        digits.len() < text.len()
            && digits.bytes().all(|b| b.is_ascii_digit())
            && matches!(&text[digits.len()..], "m" | "Ki" | "Mi" | "Gi" | "Ti")
    };
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let goes_on = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./:-".contains(&b));
    let reserved = text.len() < 6 && RESERVED.contains(&text.to_ascii_lowercase().as_str());
    (starts && goes_on && !text.ends_with(':') && !reserved) || quantity()
}

/// A scalar or an empty collection in YAML.
pub(in crate::manifest) fn yaml(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => yaml_string(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// Whether a value is written on one line even in block style.
pub(in crate::manifest) fn is_inline(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_yaml_1_1_reader_would_misread_is_quoted() {
        for text in [
            "",
            "yes",
            "No",
            "on",
            "OFF",
            "y",
            "N",
            "true",
            "null",
            "~",
            "0644",
            "1e3",
            "1_000",
            "0x1F",
            "12:30",
            ".5",
            "+1",
            "-",
            "- a",
            "a: b",
            "a #b",
            "#a",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "{a",
            "[a",
            "a,b",
            "'",
            "\"",
            "a:",
            "2001-01-01",
            "0.1.0",
            "=",
            "<<",
            "|",
            ">",
            "?",
            " a",
            "a ",
            "NaN",
            "ü",
        ] {
            let spelled = yaml_string(text);
            assert!(spelled.starts_with('\'') && spelled.ends_with('\''), "{text:?}: {spelled}");
        }
    }

    #[test]
    fn ordinary_words_stay_plain() {
        for text in
            ["injected", "mesher:0.1.0", "http://127.0.0.1:30101", "50m", "32Mi", "/healthz"]
        {
            assert_eq!(yaml_string(text), text);
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(yaml_string("a\nb\t\u{85}\u{2028}\u{0}"), "\"a\\nb\\t\\u0085\\u2028\\u0000\"");
    }
}
