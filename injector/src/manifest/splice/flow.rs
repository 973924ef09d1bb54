//! Changes below collections in brackets and braces.

use std::ops::Range;

use super::{Around, Splices};
use crate::manifest::error::ManifestError;
use crate::manifest::layout;
use crate::manifest::overlay::{Change, Overlay, Written};
use crate::manifest::tree::Node;
use crate::manifest::write::flow;

/// A member of a flow collection that is being changed.
pub(super) enum Member<'a, 't> {
    /// One of the text; without an overlay it goes.
    Old { range: Range<usize>, from: usize, overlay: Option<&'a Overlay<'t>> },
    /// One that comes, with its key in a mapping.
    New(Option<&'a str>, &'a serde_json::Value),
}

impl Member<'_, '_> {
    const fn range(&self) -> Option<&Range<usize>> {
        match self {
            Self::Old { range, .. } => Some(range),
            Self::New(..) => None,
        }
    }

    const fn added(&self) -> Option<(Option<&str>, &serde_json::Value)> {
        match self {
            Self::Old { .. } => None,
            Self::New(key, value) => Some((*key, *value)),
        }
    }
}

impl Splices<'_> {
    /// Changes the members of a collection in brackets or braces.
    pub(super) fn flow(
        &mut self,
        node: &Node,
        members: &[Member<'_, '_>],
        around: Around<'_>,
    ) -> Result<(), ManifestError> {
        let style = layout::flow_style(self.lines, node, around.root);
        let old: Vec<&Range<usize>> = members.iter().filter_map(Member::range).collect();
        // One member a line, where that is how they stand.
        let own_line = old.first().filter(|range| self.lines.is_first(range.start));
        let base = own_line.map_or_else(
            || self.lines.indentation(node.span.start),
            |range| self.lines.indentation(range.start),
        );
        let comma = own_line.map_or_else(|| style.comma().to_owned(), |_| format!(",\n{base}"));
        let written = |(key, value): (Option<&str>, &serde_json::Value)| {
            let mut new = String::new();
            match key {
                Some(key) => flow::entry(&mut new, key, value, base, &style),
                None => flow::value(&mut new, value, base, &style),
            }
            new
        };
        let survivors = members.iter().any(|m| matches!(m, Member::Old { overlay: Some(_), .. }));
        if !survivors {
            let new: Vec<String> = members.iter().filter_map(Member::added).map(written).collect();
            let (start, end) = (node.span.start + 1, node.span.end - 1);
            let is_mapping = self.lines.text[..start].ends_with('{');
            let blank = |range: Range<usize>| {
                let mut lines = self.lines.text[range].lines().map(str::trim_start);
                lines.all(|line| line.is_empty() || line.starts_with('#'))
            };
            let inside = match (old.first(), old.last()) {
                (Some(first), Some(last)) if !new.is_empty() => first.start..last.end,
                // The space of an empty mapping stays, as nobody notes it: a list and its like are
                // values that are noted whole when they get others.
                (None, _) if is_mapping && blank(start..end) => start..start,
                (Some(first), Some(last))
                    if is_mapping && first.start == start && blank(last.end..end) =>
                {
                    start..last.end
                }
                _ => start..end,
            };
            self.delete(inside.clone());
            self.insert(inside.end, &new.join(&comma));
            return Ok(());
        }
        let mut index = 0;
        let mut survived = false;
        let mut waiting: Vec<String> = Vec::new();
        for member in members {
            match member {
                Member::Old { range, from, overlay } => {
                    match overlay {
                        None if survived => self.delete(old[index - 1].end..range.end),
                        None => self.delete(range.start..old[index + 1].start),
                        Some(overlay) => {
                            if !waiting.is_empty() {
                                let new = std::mem::take(&mut waiting).join(&comma) + &comma;
                                self.insert(range.start, &new);
                            }
                            survived = true;
                            self.flow_value(*from, range, overlay, around)?;
                        }
                    }
                    index += 1;
                }
                Member::New(key, value) => {
                    let new = written((*key, *value));
                    if survived {
                        // An absent value would swallow the comma into its key.
                        let bare = self.lines.text[..old[index - 1].end].ends_with(':');
                        let space = if bare { " " } else { "" };
                        self.insert(old[index - 1].end, &format!("{space}{comma}{new}"));
                    } else {
                        waiting.push(new);
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives a member of a flow collection another value, or walks on below it. `from` is where
    /// the value's bytes start, white space included.
    fn flow_value(
        &mut self,
        from: usize,
        range: &Range<usize>,
        overlay: &Overlay<'_>,
        around: Around<'_>,
    ) -> Result<(), ManifestError> {
        let Change::Set(written) = &overlay.change else {
            return self.node(overlay, around);
        };
        let text = self.lines.text;
        if from > range.start && !text[..from].ends_with(':') {
            return Err(self.form(range.start, "this value", "a key without a colon"));
        }
        let new = match written {
            Written::Bytes(bytes) => {
                self.found.push((from..range.end, bytes.clone()));
                return Ok(());
            }
            Written::Value(value) => {
                let style = layout::flow_style(self.lines, overlay.node, around.root);
                let mut new = String::new();
                flow::value(&mut new, value, self.lines.indentation(range.start), &style);
                let tight = from == overlay.node.span.start && from > range.start;
                if tight && !style.json { format!(" {new}") } else { new }
            }
        };
        let start = if overlay.node.decorated { from } else { overlay.node.span.start };
        self.delete(start..range.end);
        self.insert(range.end, &new);
        Ok(())
    }
}
