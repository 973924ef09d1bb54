//! A JSON Patch laid over a document's tree: which of the nodes that exist in the text go, which
//! get another value, and where new ones come. No text is made here.

use serde_json::Value;
use std::borrow::Cow;

use super::error::ManifestError;
use super::parse::place;
use super::tree::{Kind, Node};
use crate::patch::{Operation, Patch, Pointer};

/// A node and what happens to it.
#[derive(Debug)]
pub(super) struct Overlay<'t> {
    /// The node as written.
    pub node: &'t Node,
    /// What it says.
    pub original: &'t Value,
    /// What happens.
    pub change: Change<'t>,
}

/// What happens to a node.
#[derive(Debug)]
pub(super) enum Change<'t> {
    /// Nothing.
    Same,
    /// It gets another value.
    Set(Written),
    /// Something happens below this mapping.
    Map {
        /// One for each entry of the text; `None` goes.
        entries: Vec<Option<Overlay<'t>>>,
        /// What comes after them.
        added: Vec<(String, Value)>,
    },
    /// Something happens below this sequence.
    Seq(Vec<Slot<'t>>),
}

/// A new value.
#[derive(Debug)]
pub(super) enum Written {
    /// In the document's style.
    Value(Value),
    /// In these very bytes.
    Bytes(String),
}

/// A place in a changed sequence.
#[derive(Debug)]
pub(super) enum Slot<'t> {
    /// The item at this index of the text; `None` goes.
    Old(usize, Option<Overlay<'t>>),
    /// One that comes.
    New(Value),
}

impl Slot<'_> {
    const fn is_there(&self) -> bool {
        !matches!(self, Self::Old(_, None))
    }
}

/// What the errors of one document need.
pub(super) struct Context<'t> {
    /// The whole file.
    pub text: &'t str,
    /// The patch's path that is being followed.
    path: String,
}

impl<'t> Overlay<'t> {
    /// A document that nothing happens to yet.
    pub(super) const fn new(node: &'t Node, original: &'t Value) -> Self {
        Self { node, original, change: Change::Same }
    }

    /// Lays the operations over, in order; `prefix` is where their pointers start.
    pub(super) fn apply(
        &mut self,
        text: &'t str,
        patch: &Patch,
        prefix: &Pointer,
    ) -> Result<(), ManifestError> {
        for operation in patch.operations() {
            let full = operation.path().under(prefix);
            let tokens: Vec<String> = full.tokens().map(Cow::into_owned).collect();
            let context = Context { text, path: full.as_str().to_owned() };
            self.edit(&context, &tokens, operation)?;
        }
        Ok(())
    }

    /// Writes the new value at `tokens` in the bytes that were there before; nothing where no value
    /// of the text is set.
    pub(super) fn set_bytes<'a>(&mut self, tokens: impl IntoIterator<Item = &'a str>, bytes: &str) {
        let mut at = self;
        for token in tokens {
            let child = match &mut at.change {
                Change::Map { entries, .. } => at
                    .node
                    .entry(token)
                    .and_then(|(n, _)| entries.get_mut(n))
                    .and_then(Option::as_mut),
                Change::Seq(slots) => token.parse().ok().and_then(|index: usize| {
                    slots.iter_mut().find_map(|slot| match slot {
                        Slot::Old(n, Some(overlay)) if *n == index => Some(overlay),
                        _ => None,
                    })
                }),
                Change::Same | Change::Set(_) => None,
            };
            let Some(child) = child else { return };
            at = child;
        }
        if let Change::Set(written) = &mut at.change {
            *written = Written::Bytes(bytes.to_owned());
        }
    }

    /// Calls `found` for every value of the text that gets another one, unless `all` only for the
    /// null and empty ones: the steps that lead to it by the indices of the text, and the node.
    pub(super) fn replaced(&self, all: bool, found: &mut impl FnMut(&[String], &'t Node)) {
        self.walk(all, &mut Vec::new(), found);
    }

    fn walk(
        &self,
        all: bool,
        steps: &mut Vec<String>,
        found: &mut impl FnMut(&[String], &'t Node),
    ) {
        match &self.change {
            Change::Same => {}
            Change::Set(_) => {
                if all || is_empty(self.original) {
                    found(steps, self.node);
                }
            }
            Change::Map { entries, .. } => {
                let Kind::Map { entries: written, .. } = &self.node.kind else {
                    return;
                };
                for (entry, overlay) in written.iter().zip(entries) {
                    if let (Some(name), Some(overlay)) = (&entry.name, overlay) {
                        steps.push(name.clone());
                        overlay.walk(all, steps, found);
                        steps.pop();
                    }
                }
            }
            Change::Seq(slots) => {
                for slot in slots {
                    if let Slot::Old(index, Some(overlay)) = slot {
                        steps.push(index.to_string());
                        overlay.walk(all, steps, found);
                        steps.pop();
                    }
                }
            }
        }
    }

    fn edit(
        &mut self,
        context: &Context<'t>,
        tokens: &[String],
        operation: &Operation,
    ) -> Result<(), ManifestError> {
        self.expand(context)?;
        let Some((token, rest)) = tokens.split_first() else {
            return Err(context.misfit(self.node, "it names the whole document"));
        };
        let node = self.node;
        let original = self.original;
        match &mut self.change {
            Change::Same => Err(context.misfit(node, "its parent is no collection")),
            Change::Set(Written::Bytes(_)) => Err(context.misfit(node, "its parent was restored")),
            Change::Set(Written::Value(value)) => {
                within(value, tokens, operation).map_err(|problem| context.misfit(node, &problem))
            }
            Change::Map { entries, added } => {
                let position = node.entry(token).map(|(n, _)| n);
                if let Some((_, value)) = added.iter_mut().find(|(name, _)| name == token) {
                    if rest.is_empty() {
                        match operation {
                            Operation::Add { value: new, .. }
                            | Operation::Replace { value: new, .. } => {
                                *value = new.to_value();
                            }
                            Operation::Remove { .. } => added.retain(|(name, _)| name != token),
                        }
                        return Ok(());
                    }
                    return within(value, rest, operation)
                        .map_err(|problem| context.misfit(node, &problem));
                }
                let slot = position.and_then(|n| entries.get_mut(n));
                match (slot, rest.is_empty(), operation) {
                    (Some(Some(overlay)), false, _) => overlay.edit(context, rest, operation),
                    (
                        Some(Some(overlay)),
                        true,
                        Operation::Add { value, .. } | Operation::Replace { value, .. },
                    ) => {
                        overlay.change = Change::Set(Written::Value(value.to_value()));
                        Ok(())
                    }
                    (Some(Some(_)), true, Operation::Remove { .. }) => {
                        // All of them, or a shadowed duplicate would come to light.
                        let Kind::Map { entries: written, .. } = &node.kind else {
                            return Ok(());
                        };
                        for (entry, state) in written.iter().zip(entries) {
                            if entry.name.as_deref() == Some(token) {
                                *state = None;
                            }
                        }
                        Ok(())
                    }
                    (None, _, _) if original.get(token).is_some() => Err(context.merged(node)),
                    (_, true, Operation::Add { value, .. }) => {
                        added.push((token.clone(), value.to_value()));
                        Ok(())
                    }
                    _ => Err(context.misfit(node, "there is no such member")),
                }
            }
            Change::Seq(slots) => {
                if let (true, Operation::Add { value, .. }) = (rest.is_empty(), operation) {
                    let there = slots.iter().filter(|s| s.is_there()).count();
                    let at = if token == "-" { Some(there) } else { token.parse().ok() };
                    let Some(at) = at.filter(|at| *at <= there) else {
                        return Err(context.misfit(node, "the index is out of range"));
                    };
                    let at = nth(slots, at).unwrap_or(slots.len());
                    slots.insert(at, Slot::New(value.to_value()));
                    return Ok(());
                }
                let at = token.parse().ok().and_then(|at| nth(slots, at));
                let Some(at) = at else {
                    return Err(context.misfit(node, "the index is out of range"));
                };
                match (&mut slots[at], rest.is_empty(), operation) {
                    (Slot::Old(_, Some(overlay)), false, _) => {
                        overlay.edit(context, rest, operation)
                    }
                    (Slot::New(value), false, _) => within(value, rest, operation)
                        .map_err(|problem| context.misfit(node, &problem)),
                    (Slot::New(_), true, Operation::Remove { .. }) => {
                        slots.remove(at);
                        Ok(())
                    }
                    (Slot::Old(_, overlay), true, Operation::Remove { .. }) => {
                        *overlay = None;
                        Ok(())
                    }
                    (Slot::New(old), true, Operation::Replace { value, .. }) => {
                        *old = value.to_value();
                        Ok(())
                    }
                    (Slot::Old(_, Some(overlay)), true, Operation::Replace { value, .. }) => {
                        overlay.change = Change::Set(Written::Value(value.to_value()));
                        Ok(())
                    }
                    _ => Err(context.misfit(node, "there is no such item")),
                }
            }
        }
    }

    /// Prepares an untouched collection for changes below it.
    fn expand(&mut self, context: &Context<'t>) -> Result<(), ManifestError> {
        if !matches!(self.change, Change::Same) {
            return Ok(());
        }
        match &self.node.kind {
            Kind::Map { entries, .. } => {
                let child = |entry: &'t super::tree::Entry| {
                    let original = entry.name.as_ref().and_then(|name| self.original.get(name));
                    Some(Overlay::new(&entry.value, original.unwrap_or(&Value::Null)))
                };
                let entries = entries.iter().map(child).collect();
                self.change = Change::Map { entries, added: Vec::new() };
            }
            Kind::Seq { items, .. } => {
                let child = |(index, item): (usize, &'t super::tree::Item)| {
                    let original = self.original.get(index).unwrap_or(&Value::Null);
                    Slot::Old(index, Some(Overlay::new(&item.value, original)))
                };
                self.change = Change::Seq(items.iter().enumerate().map(child).collect());
            }
            Kind::Alias => {
                return Err(ManifestError::Alias {
                    place: place(context.text, self.node.span.start),
                    what: context.path.clone(),
                });
            }
            Kind::Scalar(_) => {}
        }
        Ok(())
    }

    /// To be called when all is applied: block collections that lost everything become `{}` or
    /// `[]`, as without lines they would be null.
    pub(super) fn settle(&mut self) {
        let empty = match &mut self.change {
            Change::Same | Change::Set(_) => return,
            Change::Map { entries, added } => {
                entries.iter_mut().flatten().for_each(Self::settle);
                let gone = added.is_empty() && entries.iter().all(Option::is_none);
                gone.then(|| Value::Object(serde_json::Map::new()))
            }
            Change::Seq(slots) => {
                for slot in slots.iter_mut() {
                    if let Slot::Old(_, Some(overlay)) = slot {
                        overlay.settle();
                    }
                }
                let gone = !slots.iter().any(Slot::is_there);
                gone.then(|| Value::Array(Vec::new()))
            }
        };
        if let Some(empty) = empty
            && self.node.is_block_collection()
        {
            self.change = Change::Set(Written::Value(empty));
        }
    }
}

/// Null, `[]` or `{}`.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// Where the `at`-th of the items that are still there stands.
fn nth(slots: &[Slot<'_>], at: usize) -> Option<usize> {
    slots.iter().enumerate().filter(|(_, s)| s.is_there()).map(|(n, _)| n).nth(at)
}

/// Applies an operation to a value that an earlier one of the same patch brought.
fn within(value: &mut Value, tokens: &[String], operation: &Operation) -> Result<(), String> {
    let path = tokens.iter().fold(Pointer::root(), |path, token| path.child(token));
    let operation = match operation.clone() {
        Operation::Add { value, .. } => Operation::Add { path, value },
        Operation::Replace { value, .. } => Operation::Replace { path, value },
        Operation::Remove { .. } => Operation::Remove { path },
    };
    Patch::from_iter([operation]).apply(value).map_err(|e| e.problem.to_owned())
}

impl Context<'_> {
    fn misfit(&self, node: &Node, problem: &str) -> ManifestError {
        ManifestError::Patch {
            place: place(self.text, node.span.start),
            problem: format!("{}: {problem}", self.path),
        }
    }

    fn merged(&self, node: &Node) -> ManifestError {
        ManifestError::Merged { place: place(self.text, node.span.start), what: self.path.clone() }
    }
}
