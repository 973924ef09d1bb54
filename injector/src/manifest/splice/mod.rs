//! An overlay as text: the least bytes that go and come, everything else left as it is.

mod block;
mod flow;
#[cfg(test)]
mod tests;

use std::ops::Range;

use self::flow::Member;
use super::error::ManifestError;
use super::layout::{self, Lines};
use super::overlay::{Change, Overlay, Slot};
use super::parse::place;
use super::tree::{Kind, Node};
use super::write::block::BlockStyle;

/// The splices of one file, collected document by document.
pub(in crate::manifest) struct Splices<'t> {
    lines: Lines<'t>,
    found: Vec<(Range<usize>, String)>,
}

/// What holds for the document that is being walked.
#[derive(Clone, Copy)]
struct Around<'a> {
    root: &'a Node,
    style: BlockStyle,
}

impl<'t> Splices<'t> {
    /// No splice yet.
    pub(in crate::manifest) const fn new(text: &'t str) -> Self {
        Self { lines: Lines { text }, found: Vec::new() }
    }

    /// Collects the splices of one document, all or none; new block collections look like those of
    /// `pod`.
    pub(in crate::manifest) fn document(
        &mut self,
        overlay: &Overlay<'_>,
        pod: &Node,
    ) -> Result<(), ManifestError> {
        let around = Around {
            root: overlay.node,
            style: layout::block_style(self.lines, pod, overlay.node),
        };
        let before = self.found.len();
        self.node(overlay, around).inspect_err(|_| self.found.truncate(before))
    }

    /// Exchanges the bytes at `range`.
    pub(in crate::manifest) fn exchange(&mut self, range: Range<usize>, bytes: &str) {
        self.found.push((range, bytes.to_owned()));
    }

    /// The edited file.
    pub(in crate::manifest) fn finish(mut self) -> String {
        let text = self.lines.text;
        // What comes at one place stays in the order in which it was found: inner before outer.
        self.found.sort_by_key(|(range, _)| (range.start, !range.is_empty()));
        self.close_end();
        let mut out = String::with_capacity(text.len() + 4096);
        let mut at = 0;
        for (range, new) in &self.found {
            debug_assert!(range.start >= at, "splices overlap at byte {}", range.start);
            out.push_str(&text[at..range.start.max(at)]);
            out.push_str(new);
            at = range.end.max(at);
        }
        out.push_str(&text[at..]);
        out
    }

    /// Where the last lines of a file without a final line break go, the break above them goes:
    /// the file ends without one still.
    fn close_end(&mut self) {
        let text = self.lines.text;
        if text.ends_with('\n') {
            return;
        }
        let mut end = text.len();
        let mut first = None;
        for (n, (range, new)) in self.found.iter().enumerate().rev() {
            if range.end != end
                || range.is_empty()
                || !new.is_empty()
                || self.lines.start(range.start) != range.start
            {
                break;
            }
            end = range.start;
            first = Some(n);
        }
        if let Some(n) = first {
            let above = text[..end].strip_suffix('\n').unwrap_or(&text[..end]);
            self.found[n].0.start = above.strip_suffix('\r').unwrap_or(above).len();
        }
    }

    fn delete(&mut self, range: Range<usize>) {
        self.found.push((range, String::new()));
    }

    fn insert(&mut self, at: usize, new: &str) {
        let new = match self.lines.line_break() {
            "\n" => new.to_owned(),
            other => new.replace('\n', other),
        };
        self.found.push((at..at, new));
    }

    /// Inserts whole lines at the start of a line, or after a last line that has no break.
    fn insert_lines(&mut self, at: usize, new: &str) {
        let text = self.lines.text;
        if at == text.len() && !text.is_empty() && !text.ends_with('\n') {
            self.insert(at, &format!("\n{}", new.strip_suffix('\n').unwrap_or(new)));
        } else {
            self.insert(at, new);
        }
    }

    fn node(&mut self, overlay: &Overlay<'_>, around: Around<'_>) -> Result<(), ManifestError> {
        match (&overlay.change, &overlay.node.kind) {
            (Change::Same, _) => Ok(()),
            (Change::Map { entries, added }, Kind::Map { flow: false, entries: written }) => {
                self.block_mapping(written, entries, added, around)
            }
            (Change::Seq(slots), Kind::Seq { flow: false, items }) => {
                self.block_sequence(items, slots, around)
            }
            (Change::Map { entries, added }, Kind::Map { flow: true, entries: written }) => {
                let children = written.iter().zip(entries).map(|(entry, overlay)| {
                    let range = entry.key.start..entry.value.span.end.max(entry.colon);
                    Member::Old { range, from: entry.colon, overlay: overlay.as_ref() }
                });
                let added = added.iter().map(|(key, value)| Member::New(Some(key), value));
                self.flow(overlay.node, &children.chain(added).collect::<Vec<_>>(), around)
            }
            (Change::Seq(slots), Kind::Seq { flow: true, items }) => {
                let children = slots.iter().map(|slot| match slot {
                    Slot::Old(n, overlay) => {
                        let range = items[*n].value.span.clone();
                        Member::Old { from: range.start, range, overlay: overlay.as_ref() }
                    }
                    Slot::New(value) => Member::New(None, value),
                });
                self.flow(overlay.node, &children.collect::<Vec<_>>(), around)
            }
            _ => Err(self.form(
                overlay.node.span.start,
                "this value",
                "a document that is one value",
            )),
        }
    }

    fn form(&self, at: usize, what: &str, form: &'static str) -> ManifestError {
        ManifestError::Form { place: place(self.lines.text, at), what: what.to_owned(), form }
    }
}
