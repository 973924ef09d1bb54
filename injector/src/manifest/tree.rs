//! A document as written: every node with the bytes it occupies. It holds no values; those are
//! read by [`super::value`].

use std::ops::Range;

/// One document of a file.
#[derive(Debug)]
pub(super) struct Document {
    /// Its root; an empty document has an empty scalar.
    pub root: Node,
    /// Names and places of its anchors.
    pub anchors: Vec<(String, usize)>,
}

/// A value with its place in the text.
#[derive(Debug)]
pub(super) struct Node {
    /// What it is.
    pub kind: Kind,
    /// The bytes of the value without anchor, tag and trailing comment. A block collection starts
    /// with its first dash or key and ends where its last child ends; a block scalar starts after
    /// its header line and ends after its last line break; an absent value is empty.
    pub span: Range<usize>,
    /// Whether an anchor or a tag stands before the value.
    pub decorated: bool,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Kind {
    /// A scalar in one of its styles.
    Scalar(Scalar),
    /// A mapping.
    Map {
        /// `{…}` rather than lines.
        flow: bool,
        /// In the order of the text; keys may repeat, the last one counts.
        entries: Vec<Entry>,
    },
    /// A sequence.
    Seq {
        /// `[…]` rather than lines.
        flow: bool,
        /// In order.
        items: Vec<Item>,
    },
    /// `*name`.
    Alias,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    /// Plain, or absent.
    Plain,
    /// In single or double quotes.
    Quoted,
    /// `|` or `>`.
    Block,
}

/// One `key: value`.
#[derive(Debug)]
pub(super) struct Entry {
    /// The key as a string; `None` for a key that is not a scalar.
    pub name: Option<String>,
    /// The bytes of the key with its quotes.
    pub key: Range<usize>,
    /// Just after the colon; after the key where there is none.
    pub colon: usize,
    /// The value.
    pub value: Node,
}

/// One item of a sequence.
#[derive(Debug)]
pub(super) struct Item {
    /// The dash of a block sequence's item; the item's first byte in a flow sequence.
    pub mark: usize,
    /// The value.
    pub value: Node,
}

impl Node {
    /// Whether it is `[]`, `{}`, or a null in any spelling (`text` is the whole file).
    pub(super) fn is_empty(&self, text: &str) -> bool {
        match &self.kind {
            Kind::Map { entries, .. } => entries.is_empty(),
            Kind::Seq { items, .. } => items.is_empty(),
            Kind::Scalar(Scalar::Plain) => {
                matches!(&text[self.span.clone()], "" | "~" | "null" | "Null" | "NULL")
            }
            Kind::Scalar(_) | Kind::Alias => false,
        }
    }

    /// Whether it is a collection written as lines.
    pub(super) const fn is_block_collection(&self) -> bool {
        matches!(self.kind, Kind::Map { flow: false, .. } | Kind::Seq { flow: false, .. })
    }

    /// Whether it is a collection in brackets or braces.
    pub(super) const fn is_flow(&self) -> bool {
        matches!(self.kind, Kind::Map { flow: true, .. } | Kind::Seq { flow: true, .. })
    }

    /// The entry of a mapping that counts for `name`, and its position.
    pub(super) fn entry(&self, name: &str) -> Option<(usize, &Entry)> {
        let Kind::Map { entries, .. } = &self.kind else {
            return None;
        };
        entries.iter().enumerate().rev().find(|(_, e)| e.name.as_deref() == Some(name))
    }

    /// The child that a step of a pointer names.
    pub(super) fn child(&self, token: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map { .. } => self.entry(token).map(|(_, e)| &e.value),
            Kind::Seq { items, .. } => items.get(token.parse::<usize>().ok()?).map(|i| &i.value),
            _ => None,
        }
    }

    /// The node at the unescaped steps of a pointer.
    pub(super) fn descend<'a>(&self, tokens: impl IntoIterator<Item = &'a str>) -> Option<&Node> {
        tokens.into_iter().try_fold(self, Node::child)
    }

    /// The last node of the text below this one.
    pub(super) fn last_leaf(&self) -> &Node {
        match &self.kind {
            Kind::Map { flow: false, entries } => {
                entries.last().map_or(self, |e| e.value.last_leaf())
            }
            Kind::Seq { flow: false, items } => items.last().map_or(self, |i| i.value.last_leaf()),
            _ => self,
        }
    }
}
