//! How a document is laid out: what inserted text has to look like.

use super::tree::{Kind, Node};
use super::write::block::BlockStyle;
use super::write::flow::FlowStyle;

/// The bytes of a file seen as lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines<'t> {
    /// The whole file.
    pub text: &'t str,
}

impl<'t> Lines<'t> {
    /// The first byte of the line that holds `at`.
    pub(super) fn start(self, at: usize) -> usize {
        let start = self.text[..at].rfind('\n').map_or(0, |n| n + 1);
        if start == 0 && self.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { start }
    }

    /// The first byte after the line that holds `at`; a line of its own is not needed where `at`
    /// stands at the start of one already (after a block scalar).
    pub(super) fn after(self, at: usize) -> usize {
        if at > 0 && at == self.start(at) {
            return at;
        }
        self.text[at..].find('\n').map_or(self.text.len(), |n| at + n + 1)
    }

    /// Characters from the start of the line to `at`.
    pub(super) fn column(self, at: usize) -> usize {
        self.text[self.start(at)..at].chars().count()
    }

    /// The white space a line starts with.
    pub(super) fn indentation(self, at: usize) -> &'t str {
        let line = &self.text[self.start(at)..];
        &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
    }

    /// Whether nothing but white space stands before `at` on its line.
    pub(super) fn is_first(self, at: usize) -> bool {
        self.start(at) + self.indentation(at).len() >= at
    }

    /// Steps from `at`, the start of a line, over the comments that belong to what stands above
    /// it: those indented by at least `column`, and the blank lines between them.
    pub(super) fn skip_comments(self, at: usize, column: usize) -> usize {
        let mut passed = at;
        let mut next = at;
        while next < self.text.len() {
            let line_end = self.text[next..].find('\n').map_or(self.text.len(), |n| next + n + 1);
            let line = &self.text[next..line_end];
            let content = line.trim_start_matches(' ');
            if content.starts_with('#') && line.len() - content.len() >= column {
                passed = line_end;
            } else if !content.trim().is_empty() {
                break;
            }
            next = line_end;
        }
        passed
    }

    /// Steps back from `at`, the start of a line, over the comments directly above it.
    pub(super) fn above_comments(self, at: usize) -> usize {
        let mut passed = at;
        while passed > self.start(0) {
            let start = self.start(passed - 1);
            if !self.text[start..passed].trim_start().starts_with('#') {
                break;
            }
            passed = start;
        }
        passed
    }

    /// The line break of this file: that of its first line.
    pub(super) fn line_break(self) -> &'static str {
        match self.text.find('\n') {
            Some(n) if self.text[..n].ends_with('\r') => "\r\n",
            _ => "\n",
        }
    }

    /// Where the content of `node` ends: its last byte that is not white space after it.
    pub(super) fn content_end(self, node: &Node) -> usize {
        let leaf = node.last_leaf();
        if !matches!(leaf.kind, Kind::Scalar(super::tree::Scalar::Block)) {
            return leaf.span.end;
        }
        let end = leaf.span.end;
        // The parser reads on into the next line's indentation.
        let end = if end == self.text.len() { end } else { self.start(end) };
        if keeps(self.text, leaf) || end < leaf.span.start {
            return end;
        }
        // Blank lines below are not part of it, unless indented further than its text.
        let width = self.column(leaf.span.start);
        let mut end = end;
        while end > leaf.span.start {
            let line = &self.text[self.start(end - 1)..end];
            let blank = line.trim_end_matches(['\n', '\r']);
            if blank.len() == line.len() || !blank.trim().is_empty() || blank.len() > width {
                break;
            }
            end -= line.len();
        }
        end
    }
}

/// Whether a block scalar keeps the blank lines below it: a `+` after the `|` or `>` at the end of
/// its header line.
fn keeps(text: &str, leaf: &Node) -> bool {
    let above = text[..leaf.span.start].trim_end();
    let line = &above[above.rfind('\n').map_or(0, |n| n + 1)..];
    let code = line.find(" #").map_or(line, |n| &line[..n]).trim_end();
    code.rfind(['|', '>']).is_some_and(|sign| code[sign..].contains('+'))
}

/// The style of the block collections around `pod`, else that of the whole document.
pub(super) fn block_style(lines: Lines<'_>, pod: &Node, root: &Node) -> BlockStyle {
    let mut found = Found::default();
    found.look(lines, pod);
    found.look(lines, root);
    let default = BlockStyle::default();
    let step = found.step.unwrap_or(default.step);
    BlockStyle {
        step,
        dash: found.dash.unwrap_or(default.dash),
        gap: found.gap.unwrap_or(default.gap),
    }
}

#[derive(Default)]
struct Found {
    step: Option<usize>,
    dash: Option<usize>,
    gap: Option<usize>,
}

impl Found {
    fn look(&mut self, lines: Lines<'_>, node: &Node) {
        match &node.kind {
            Kind::Map { flow: false, entries } => {
                for entry in entries {
                    let column = lines.column(entry.key.start);
                    let below = lines.column(entry.value.span.start).checked_sub(column);
                    match &entry.value.kind {
                        Kind::Map { flow: false, .. } => {
                            self.step = self.step.or(below.filter(|n| *n > 0));
                        }
                        Kind::Seq { flow: false, items } => {
                            self.dash = self.dash.or(below);
                            if let Some(item) = items.first() {
                                self.gap = self.gap.or(gap(lines, item));
                            }
                        }
                        _ => {}
                    }
                    self.look(lines, &entry.value);
                }
            }
            Kind::Seq { flow: false, items } => {
                for item in items {
                    self.look(lines, &item.value);
                }
            }
            _ => {}
        }
    }
}

/// Columns from a dash to the mapping that follows it on the same line.
pub(super) fn gap(lines: Lines<'_>, item: &super::tree::Item) -> Option<usize> {
    let value = &item.value;
    let same_line = lines.start(item.mark) == lines.start(value.span.start);
    let plain = matches!(value.kind, Kind::Map { flow: false, .. }) && !value.decorated;
    (same_line && plain).then(|| value.span.start - item.mark).filter(|n| (2..=8).contains(n))
}

/// How to write new members of the flow collection `node`, or a new flow collection where `node`
/// is empty; `root` is the document.
pub(super) fn flow_style(lines: Lines<'_>, node: &Node, root: &Node) -> FlowStyle {
    let sample = first_map(node).or_else(|| root.is_flow().then(|| first_map(root)).flatten());
    let (mut json, mut spaced) = (false, true);
    if let Some((key, colon)) = sample {
        json = lines.text[key..].starts_with('"');
        spaced = lines.text[colon..].starts_with([' ', '\t', '\n', '\r']);
    }
    let children: Vec<&Node> = match &node.kind {
        Kind::Map { entries, .. } => entries.iter().map(|e| &e.value).collect(),
        Kind::Seq { items, .. } => items.iter().map(|i| &i.value).collect(),
        _ => Vec::new(),
    };
    let many_lines = |node: &Node| lines.text[node.span.clone()].contains('\n');
    let sibling = children.iter().find(|c| c.is_flow() && !c.is_empty(lines.text));
    let spread = match sibling {
        Some(sibling) => many_lines(sibling),
        None => root.is_flow() && many_lines(if children.is_empty() { root } else { node }),
    };
    FlowStyle { json, spaced, lines: spread.then(|| step(lines, root)) }
}

/// The first key, and what follows its colon, of the flow mappings in and below `node`.
fn first_map(node: &Node) -> Option<(usize, usize)> {
    match &node.kind {
        Kind::Map { entries, .. } => entries.first().map(|e| (e.key.start, e.colon)),
        Kind::Seq { items, .. } => items.iter().find_map(|i| first_map(&i.value)),
        _ => None,
    }
}

/// One level of indentation of a flow document written on many lines.
fn step(lines: Lines<'_>, root: &Node) -> String {
    let Kind::Map { entries, .. } = &root.kind else {
        return "  ".into();
    };
    let outer = lines.indentation(root.span.start);
    let first = entries.first().filter(|e| lines.is_first(e.key.start));
    first
        .and_then(|e| lines.indentation(e.key.start).strip_prefix(outer))
        .filter(|step| !step.is_empty())
        .unwrap_or("  ")
        .to_owned()
}
