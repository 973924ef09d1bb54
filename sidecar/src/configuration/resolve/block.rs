//! A value with a structure of its own: nested in its file, or a text that is YAML itself, as
//! configuration centers store it.

use super::Reader;
use crate::configuration::problem::Severity;
use crate::configuration::values::{Entry, Origin};
use crate::configuration::yaml::{self, Content, Node};

/// Reads such a value, and says what is wrong where it stands.
pub(super) struct Block<'a, 'r> {
    reader: &'a mut Reader<'r>,
    entry: &'r Entry,
    /// Lines before those of a text within its file.
    offset: usize,
}

impl<'a, 'r> Block<'a, 'r> {
    /// Opens a value. `None`: it is no YAML, and that was said.
    pub(super) fn open(reader: &'a mut Reader<'r>, entry: &'r Entry) -> Option<(Self, Node)> {
        let line = match entry.origin {
            Origin::File(_, line) => line,
            _ => 1,
        };
        let mut block = Self { reader, entry, offset: 0 };
        let Content::Scalar(text) = &entry.content else {
            let content = entry.content.clone();
            return Some((block, Node { line, content }));
        };
        // A text in block style begins in the line below its key.
        block.offset = line.saturating_sub(1);
        match yaml::read(text) {
            Ok(node) => Some((block, node)),
            Err(fault) => {
                block.error(fault.line, fault.problem);
                None
            }
        }
    }

    /// Says what is wrong in a line of it.
    pub(super) fn error(&mut self, line: usize, message: impl Into<String>) {
        self.say(Severity::Error, line, message);
    }

    /// Says what may not be meant so.
    pub(super) fn warning(&mut self, line: usize, message: impl Into<String>) {
        self.say(Severity::Warning, line, message);
    }

    fn say(&mut self, severity: Severity, line: usize, message: impl Into<String>) {
        let origin = self.entry.origin.at(line + self.offset);
        self.reader.problems.add(severity, Some(&origin), &self.entry.written, message);
    }

    /// The fields of a mapping that say something, or what was `wanted` instead.
    pub(super) fn fields<'n>(
        &mut self,
        node: &'n Node,
        wanted: &str,
    ) -> Option<impl Iterator<Item = (&'n str, &'n Node)> + use<'n>> {
        let Content::Map(fields) = &node.content else {
            self.error(node.line, format!("{wanted} is wanted here"));
            return None;
        };
        let said = fields.iter().filter(|(.., node)| node.content != Content::Null);
        Some(said.map(|(name, _, node)| (name.as_str(), node)))
    }

    /// The items of a list, or what was `wanted` instead.
    pub(super) fn items<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n [Node]> {
        let Content::List(items) = &node.content else {
            self.error(node.line, format!("{wanted} is wanted here"));
            return None;
        };
        Some(items)
    }

    /// A scalar that `parse` understands, or what is `allowed` instead.
    pub(super) fn scalar<T>(
        &mut self,
        name: &str,
        node: &Node,
        allowed: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let Some(text) = node.content.text() else {
            self.error(node.line, format!("{name}: write {allowed}"));
            return None;
        };
        let read = parse(text);
        if read.is_none() {
            let text = crate::configuration::kind::short(text);
            self.error(
                node.line,
                format!("{name}: \"{text}\" is not allowed here: write {allowed}"),
            );
        }
        read
    }

    /// Says that a field is none, and which there are.
    pub(super) fn unknown(&mut self, name: &str, node: &Node, known: &str) {
        let name = crate::configuration::kind::short(name);
        self.warning(
            node.line,
            format!("{name}: unknown key, it has no effect: there are {known}"),
        );
    }
}
