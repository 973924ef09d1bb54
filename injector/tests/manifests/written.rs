//! Values written as YAML or JSON in a style that a list of choices decides: the same choices, the
//! same text. No choice left means the plainest one, so that failures shrink to plain manifests.

use serde_json::Value;

/// What decides the style.
#[derive(Debug, Clone)]
pub(crate) struct Choices(std::vec::IntoIter<u8>);

impl Choices {
    pub(crate) fn new(choices: Vec<u8>) -> Self {
        Self(choices.into_iter())
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u8) -> u8 {
        self.0.next().unwrap_or(0) % n
    }

    fn once_in(&mut self, n: u8) -> bool {
        self.below(n) == n - 1
    }

    pub(crate) fn of<'a, T: ?Sized>(&mut self, options: &[&'a T]) -> &'a T {
        options[usize::from(self.below(u8::try_from(options.len()).unwrap()))]
    }
}

/// A document of YAML.
pub(crate) struct Yaml<'c> {
    pub(crate) choices: &'c mut Choices,
    step: usize,
    dash: usize,
    gap: usize,
    out: String,
}

/// `value` as one YAML document, which ends with a line feed.
pub(crate) fn yaml(value: &Value, choices: &mut Choices) -> String {
    let step = *choices.of(&[&2_usize, &4, &1, &3]);
    let dash = *choices.of(&[&0, &step]);
    let gap = *choices.of(&[&2_usize, &4]);
    let mut yaml = Yaml { choices, step, dash, gap, out: String::new() };
    if yaml.choices.once_in(8) {
        yaml.flow(value, 0);
        yaml.out.push('\n');
    } else {
        yaml.mapping(value, 0, true);
    }
    yaml.comment(0);
    yaml.out
}

impl Yaml<'_> {
    fn indent(&mut self, column: usize) {
        self.out.extend(std::iter::repeat_n(' ', column));
    }

    /// Sometimes a comment line, a blank line, or both.
    fn comment(&mut self, column: usize) {
        if self.choices.once_in(6) {
            self.out.push('\n');
        }
        if self.choices.once_in(4) {
            let column = match self.choices.below(4) {
                0 | 1 => column,
                2 => column + 2,
                _ => 0,
            };
            self.indent(column);
            self.out.push_str(self.choices.of(&[
                "# note",
                "#",
                "# - name: x",
                "# ü: {[\"'",
                "## a: |",
            ]));
            self.out.push('\n');
        }
    }

    /// The end of a line, sometimes with a comment.
    fn end(&mut self) {
        if self.choices.once_in(5) {
            self.out.push_str(self.choices.of(&[" # why", "   #", " # a: 'b", "\t# tab"]));
        }
        self.out.push('\n');
    }

    fn mapping(&mut self, value: &Value, column: usize, indent_first: bool) {
        let map = value.as_object().unwrap();
        for (n, (key, value)) in map.iter().enumerate() {
            if n > 0 || indent_first {
                self.comment(column);
                self.indent(column);
            }
            let key = self.inline_string(key, false);
            self.out.push_str(&key);
            self.out.push_str(self.choices.of(&[":", ":", ":", " :"]));
            self.value(value, column);
        }
    }

    /// What stands after a colon.
    fn value(&mut self, value: &Value, column: usize) {
        match value {
            Value::Object(map) if !map.is_empty() && !self.choices.once_in(6) => {
                self.end();
                self.mapping(value, column + self.step, true);
            }
            Value::Array(items) if !items.is_empty() && !self.choices.once_in(6) => {
                self.end();
                self.sequence(items, column + self.dash);
            }
            Value::Null => {
                let null = self.choices.of(&["", " ~", " null", "  Null"]);
                self.out.push_str(null);
                self.end();
            }
            Value::String(text) if self.block_scalar(text, column + self.step) => {}
            value => {
                self.out.push_str(self.choices.of(&[" ", "   "]));
                self.flow(value, column + self.step);
                self.end();
            }
        }
    }

    fn sequence(&mut self, items: &[Value], column: usize) {
        for item in items {
            self.comment(column);
            self.indent(column);
            self.out.push('-');
            match item {
                Value::Object(map) if !map.is_empty() && !self.choices.once_in(6) => {
                    let gap = self.gap;
                    self.indent(gap - 1);
                    self.mapping(item, column + gap, false);
                }
                Value::String(text) if self.block_scalar(text, column + 2) => {}
                item => {
                    self.out.push(' ');
                    self.flow(item, column + self.step);
                    self.end();
                }
            }
        }
    }

    /// Writes a text of whole lines as `|`, sometimes; `false` where it did not.
    fn block_scalar(&mut self, text: &str, column: usize) -> bool {
        let lines_only =
            text.lines().all(|line| !line.is_empty() && !line.starts_with([' ', '\t']));
        if !lines_only || !text.ends_with('\n') || text == "\n" || !self.choices.once_in(2) {
            return false;
        }
        self.out.push_str(self.choices.of(&[" |", " |+", " | # text"]));
        self.out.push('\n');
        for line in text.lines() {
            self.indent(column);
            self.out.push_str(line);
            self.out.push('\n');
        }
        true
    }

    /// A value in brackets, on one line or over several.
    fn flow(&mut self, value: &Value, column: usize) {
        match value {
            Value::Object(map) => {
                let spread = self.open('{', map.is_empty());
                for (n, (key, value)) in map.iter().enumerate() {
                    self.between(n, spread, column);
                    let key = self.inline_string(key, true);
                    self.out.push_str(&key);
                    self.out.push_str(": ");
                    self.flow(value, column + self.step);
                }
                self.close('}', map.is_empty(), spread, column);
            }
            Value::Array(items) => {
                let spread = self.open('[', items.is_empty());
                for (n, item) in items.iter().enumerate() {
                    self.between(n, spread, column);
                    self.flow(item, column + self.step);
                }
                self.close(']', items.is_empty(), spread, column);
            }
            Value::String(text) => {
                let text = self.inline_string(text, true);
                self.out.push_str(&text);
            }
            Value::Null => self.out.push_str(self.choices.of(&["null", "~"])),
            other => self.out.push_str(&other.to_string()),
        }
    }

    fn open(&mut self, bracket: char, empty: bool) -> bool {
        self.out.push(bracket);
        if !empty && self.choices.once_in(3) {
            return true;
        }
        self.out.push_str(self.choices.of(&["", " "]));
        false
    }

    fn between(&mut self, n: usize, spread: bool, column: usize) {
        if n > 0 {
            self.out.push_str(if spread { "," } else { ", " });
        }
        if spread {
            self.end();
            self.indent(column + self.step);
        }
    }

    fn close(&mut self, bracket: char, empty: bool, spread: bool, column: usize) {
        if !empty && self.choices.once_in(4) {
            self.out.push(',');
        }
        if spread {
            self.end();
            self.indent(column.max(1));
        } else if !empty {
            self.out.push_str(self.choices.of(&["", " "]));
        }
        self.out.push(bracket);
    }

    fn inline_string(&mut self, text: &str, flow: bool) -> String {
        let word = |c: char| c.is_ascii_alphanumeric() || "/-._".contains(c) || (c == ' ' && !flow);
        let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(word)
            && !text.ends_with(' ')
            && !["y", "n", "yes", "no", "on", "off", "true", "false", "null"]
                .contains(&text.to_lowercase().as_str());
        let printable = !text.chars().any(char::is_control);
        match self.choices.below(3) {
            0 if plain => text.to_owned(),
            0 | 1 if printable => format!("'{}'", text.replace('\'', "''")),
            _ => Value::from(text).to_string(),
        }
    }
}

/// `value` as JSON.
pub(crate) fn json(value: &Value, choices: &mut Choices) -> String {
    match choices.below(4) {
        0 => serde_json::to_string_pretty(value).unwrap(),
        1 => value.to_string(),
        style => {
            let indent: &[u8] = if style == 2 { b"\t" } else { b"    " };
            let mut out = Vec::new();
            let formatter = serde_json::ser::PrettyFormatter::with_indent(indent);
            let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
            serde::Serialize::serialize(value, &mut serializer).unwrap();
            String::from_utf8(out).unwrap()
        }
    }
}
