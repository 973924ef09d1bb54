//! Each value by itself: is it known, is it allowed, does anything come of it?

use std::collections::BTreeSet;

use super::keys::{self, Effect};
use super::problem::{Problems, Severity};
use super::values::{Entry, Rank, Values};

pub(super) fn each(values: &Values, problems: &mut Problems) {
    let mut said = BTreeSet::new();
    for (key, entries) in values.iter() {
        let Some(row) = keys::find(key) else { continue };
        let mut entries = entries.iter().filter(|entry| !entry.is_empty());
        let Some(first) = entries.next() else { continue };
        let mut add = |severity, entry: &Entry, message: String| {
            problems.add(severity, Some(&entry.origin), &entry.written, message);
        };
        match row.effect {
            Effect::Gone(what_to_do) => {
                if said.insert(what_to_do) {
                    add(Severity::Warning, first, format!("has no effect: {what_to_do}"));
                }
                continue;
            }
            Effect::Nothing | Effect::Live | Effect::Restart => {}
        }
        if let Some(refusal) = row.kind.refusal(&first.content) {
            add(Severity::Error, first, refusal);
        }
        for entry in entries {
            if let Some(refusal) = row.kind.refusal(&entry.content) {
                let message = format!("{refusal} (it has no effect: {} wins)", first.origin);
                add(Severity::Warning, entry, message);
            }
            if entry.rank == Rank::File
                && first.rank == Rank::File
                && entry.content != first.content
            {
                let message =
                    format!("stands in {} too, with another value: that one wins", first.origin);
                add(Severity::Warning, entry, message);
            }
        }
    }
}
