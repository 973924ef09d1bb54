//! Changes below collections written as lines.

use super::{Around, Splices};
use crate::manifest::error::ManifestError;
use crate::manifest::layout;
use crate::manifest::overlay::{Change, Overlay, Slot, Written};
use crate::manifest::tree::{Entry, Item, Kind, Scalar};
use crate::manifest::write::block::{self, BlockStyle};
use crate::manifest::write::{flow, scalar};

impl Splices<'_> {
    pub(super) fn block_mapping(
        &mut self,
        written: &[Entry],
        entries: &[Option<Overlay<'_>>],
        added: &[(String, serde_json::Value)],
        around: Around<'_>,
    ) -> Result<(), ManifestError> {
        for (entry, overlay) in written.iter().zip(entries) {
            match overlay {
                None => {
                    if !self.lines.is_first(entry.key.start) {
                        let form =
                            "its key shares a line with a dash, an anchor or a question mark";
                        return Err(self.form(entry.key.start, name(entry), form));
                    }
                    let end = self.lines.content_end(&entry.value);
                    self.delete(self.lines.start(entry.key.start)..self.lines.after(end));
                }
                Some(Overlay { change: Change::Set(written), .. }) => {
                    self.block_value(entry, written, around)?;
                }
                Some(overlay) => self.node(overlay, around)?,
            }
        }
        if let (Some(first), Some(last), false) =
            (written.first(), written.last(), added.is_empty())
        {
            let column = self.lines.column(first.key.start);
            let end = self.lines.content_end(&last.value);
            let at = self.lines.skip_comments(self.lines.after(end), column);
            let mut new = String::new();
            for (key, value) in added {
                block::entry(&mut new, key, value, column, around.style);
            }
            self.insert_lines(at, &new);
        }
        Ok(())
    }

    /// Gives an entry of a block mapping another value.
    fn block_value(
        &mut self,
        entry: &Entry,
        written: &Written,
        around: Around<'_>,
    ) -> Result<(), ManifestError> {
        let old = &entry.value;
        let text = self.lines.text;
        // What stands on the key's own line, and what below it.
        let (beside, below) = if old.is_block_collection() {
            if old.decorated || !self.lines.is_first(old.span.start) {
                return Err(self.form(
                    old.span.start,
                    name(entry),
                    "an anchor or a tag stands on it",
                ));
            }
            let end = self.lines.content_end(old);
            let below = self.lines.start(old.span.start)..self.lines.after(end);
            (entry.colon..entry.colon, Some(below))
        } else if matches!(old.kind, Kind::Scalar(Scalar::Block)) {
            return Err(self.form(old.span.start, name(entry), "a block scalar"));
        } else {
            (entry.colon..old.span.end, None)
        };
        let value = match written {
            Written::Bytes(bytes) => {
                self.found.push((beside, bytes.clone()));
                if let Some(below) = below {
                    self.delete(below);
                }
                return Ok(());
            }
            Written::Value(value) => value,
        };
        if scalar::is_inline(value) {
            self.found.push((beside, format!(" {}", scalar::yaml(value))));
            if let Some(below) = below {
                self.delete(below);
            }
            return Ok(());
        }
        if text[beside.clone()].contains('#') {
            // A comment stands before or within the empty value: keep it, and the brackets.
            if !old.is_flow() || old.decorated {
                return Err(self.form(old.span.start, name(entry), "a comment stands before it"));
            }
            let mut new = String::new();
            let style = layout::flow_style(self.lines, old, around.root);
            flow::value(&mut new, value, "", &style);
            self.insert(old.span.start + 1, &new[1..new.len() - 1]);
            return Ok(());
        }
        let column = self.lines.column(entry.key.start);
        let at = below.as_ref().map_or_else(|| self.lines.after(beside.end), |below| below.start);
        let mut new = String::new();
        block::below(&mut new, value, column, around.style);
        self.delete(beside);
        if let Some(below) = below {
            self.delete(below);
        }
        self.insert_lines(at, &new);
        Ok(())
    }

    pub(super) fn block_sequence(
        &mut self,
        items: &[Item],
        slots: &[Slot<'_>],
        around: Around<'_>,
    ) -> Result<(), ManifestError> {
        let Some(first) = items.first() else {
            return Ok(());
        };
        let column = self.lines.column(first.mark);
        let gap = layout::gap(self.lines, first).unwrap_or(around.style.gap);
        let style = BlockStyle { gap, ..around.style };
        let mut above: Option<&Item> = None;
        for slot in slots {
            match slot {
                Slot::Old(n, overlay) => {
                    let item = &items[*n];
                    above = Some(item);
                    let set = match overlay {
                        None => None,
                        Some(Overlay { change: Change::Set(Written::Value(value)), .. }) => {
                            Some(value)
                        }
                        Some(overlay) => {
                            self.node(overlay, around)?;
                            continue;
                        }
                    };
                    if !self.lines.is_first(item.mark) {
                        let form = "a list within a list on one line";
                        return Err(self.form(item.mark, "this list item", form));
                    }
                    let end = self.lines.content_end(&item.value).max(item.mark + 1);
                    let start = self.lines.start(item.mark);
                    if let Some(value) = set {
                        let mut new = String::new();
                        block::item(&mut new, value, column, style);
                        self.insert_lines(start, &new);
                    }
                    self.delete(start..self.lines.after(end));
                }
                Slot::New(value) => {
                    let at = match above {
                        Some(item) => {
                            let end = self.lines.content_end(&item.value).max(item.mark + 1);
                            self.lines.skip_comments(self.lines.after(end), column + 1)
                        }
                        None if self.lines.is_first(first.mark) => {
                            self.lines.above_comments(self.lines.start(first.mark))
                        }
                        None => {
                            let form = "a list within a list on one line";
                            return Err(self.form(first.mark, "this list item", form));
                        }
                    };
                    let mut new = String::new();
                    block::item(&mut new, value, column, style);
                    self.insert_lines(at, &new);
                }
            }
        }
        Ok(())
    }
}

fn name(entry: &Entry) -> &str {
    entry.name.as_deref().unwrap_or("this entry")
}
