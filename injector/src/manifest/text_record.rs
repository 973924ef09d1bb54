//! What only the text of a manifest knows, kept so that undoing restores its very bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::overlay::Overlay;
use crate::patch::Pointer;
use crate::request::TextRecord;

/// What goes into the record of a patch of the text that it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Records {
    /// Nothing: the patch writes no record.
    Nothing,
    /// Null and empty parents; the record itself is replaced too, by its successor.
    Parents,
    /// Every value.
    Everything,
}

/// The bytes of the values of the pod at `pod` that get others, by `what` all or only the null and
/// empty ones: in a mapping what stands after the colon, in a list the value itself.
pub(super) fn of(text: &str, overlay: &Overlay<'_>, pod: &Pointer, what: Records) -> TextRecord {
    let prefix: Vec<String> = pod.tokens().map(Cow::into_owned).collect();
    let mut replaced = BTreeMap::new();
    overlay.replaced(what == Records::Everything, &mut |steps, node| {
        let (Some(inside), Some((last, parents))) =
            (steps.strip_prefix(&prefix[..]), steps.split_last())
        else {
            return;
        };
        let parent = overlay.node.descend(parents.iter().map(String::as_str));
        let colon = parent.and_then(|p| p.entry(last)).map(|(_, entry)| entry.colon);
        let bytes = &text[colon.unwrap_or(node.span.start)..node.span.end];
        let start = overlay.original.pointer(pod.as_str());
        replaced.insert(named(start, inside), bytes.to_owned());
    });
    TextRecord { replaced }
}

/// A path that survives items coming before it: list items by their name.
fn named(start: Option<&Value>, steps: &[String]) -> String {
    let mut path = Pointer::root();
    let mut at = start;
    for step in steps {
        at = at.and_then(|value| child(value, step));
        let in_list = step.bytes().all(|b| b.is_ascii_digit());
        let name = at.and_then(|value| value.get("name")).and_then(Value::as_str);
        path = path.child(name.filter(|_| in_list).unwrap_or(step));
    }
    path.as_str().to_owned()
}

/// The steps from the document to a path that [`of`] recorded for the pod at `pod`.
pub(super) fn resolve(document: &Value, pod: &Pointer, path: &str) -> Vec<String> {
    let mut steps: Vec<String> = pod.tokens().map(Cow::into_owned).collect();
    let mut at = document.pointer(pod.as_str());
    let full = steps.iter().fold(Pointer::root(), |path, step| path.child(step));
    debug_assert_eq!(full, *pod);
    for step in path.split('/').skip(1).map(|t| t.replace("~1", "/").replace("~0", "~")) {
        let found = match at {
            Some(Value::Array(items)) => items
                .iter()
                .position(|item| item.get("name").and_then(Value::as_str) == Some(&step))
                .map_or(step, |n| n.to_string()),
            _ => step,
        };
        at = at.and_then(|value| child(value, &found));
        steps.push(found);
    }
    steps
}

fn child<'v>(value: &'v Value, step: &str) -> Option<&'v Value> {
    match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    }
}
