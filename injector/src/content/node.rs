//! Looking at JSON, whoever holds it.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Number, Value};

use super::Content;

/// A JSON value to look at. What is absent, or of another type than asked for, reads as nothing.
#[derive(Clone, Copy)]
pub enum Node<'d> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it was written.
    Number(&'d Number),
    /// A string.
    Text(&'d str),
    /// An object.
    Object(Members<'d>),
    /// A list.
    List(Items<'d>),
}

/// The members of an object.
#[derive(Clone, Copy)]
pub enum Members<'d> {
    /// Of a parsed document.
    Map(&'d Map<String, Value>),
    /// Of content.
    Entries(&'d [(Cow<'d, str>, Content<'d>)]),
}

/// The items of a list.
#[derive(Clone, Copy)]
pub enum Items<'d> {
    /// Of a parsed document.
    Values(&'d [Value]),
    /// Of content.
    Contents(&'d [Content<'d>]),
}

impl<'d> From<&'d Value> for Node<'d> {
    fn from(value: &'d Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::List(Items::Values(items)),
            Value::Object(map) => Self::Object(Members::Map(map)),
        }
    }
}

impl<'d> From<&'d Content<'d>> for Node<'d> {
    fn from(content: &'d Content<'d>) -> Self {
        match content {
            Content::Same(value) => Self::from(*value),
            Content::Part(content) => Self::from(*content),
            Content::Literal(literal) => Self::from(literal.content()),
            Content::Null => Self::Null,
            Content::Bool(value) => Self::Bool(*value),
            Content::Number(number) => Self::Number(number),
            Content::Text(text) => Self::Text(text),
            Content::Object(members) => Self::Object(Members::Entries(members)),
            Content::List(items) => Self::List(Items::Contents(items)),
        }
    }
}

impl<'d> Node<'d> {
    /// The member `key`.
    pub(crate) fn get(self, key: &str) -> Option<Self> {
        self.members().get(key)
    }

    /// The member `key`; null where there is none.
    pub(crate) fn at(self, key: &str) -> Self {
        self.get(key).unwrap_or(Node::Null)
    }

    /// The members; none where it is no object.
    pub(crate) fn members(self) -> Members<'d> {
        if let Node::Object(members) = self { members } else { Members::Entries(&[]) }
    }

    /// The items; none where it is no list.
    pub(crate) fn items(self) -> Items<'d> {
        if let Node::List(items) = self { items } else { Items::Contents(&[]) }
    }

    /// The items of the list at `key`.
    pub(crate) fn list(self, key: &str) -> Items<'d> {
        self.at(key).items()
    }

    /// Its text, if it is one.
    pub(crate) fn as_str(self) -> Option<&'d str> {
        if let Node::Text(text) = self { Some(text) } else { None }
    }

    /// The number it is, if it is a whole one that is not negative.
    pub(crate) fn as_u64(self) -> Option<u64> {
        if let Node::Number(number) = self { number.as_u64() } else { None }
    }

    /// The text at `key`; empty where there is none.
    pub(crate) fn text(self, key: &str) -> &'d str {
        self.get(key).and_then(Self::as_str).unwrap_or_default()
    }

    /// The `name` of a list item.
    pub(crate) fn name(self) -> &'d str {
        self.text("name")
    }

    /// Whether it says null.
    pub(crate) fn is_null(self) -> bool {
        matches!(self, Node::Null)
    }

    /// Whether it is an object.
    pub(crate) fn is_object(self) -> bool {
        matches!(self, Node::Object(_))
    }

    /// Whether something stands at `key`.
    pub(crate) fn has(self, key: &str) -> bool {
        !self.at(key).is_null()
    }

    /// As a value of its own.
    pub fn to_value(self) -> Value {
        match self {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Bool(value),
            Node::Number(number) => Value::Number(number.clone()),
            Node::Text(text) => Value::String(text.to_owned()),
            Node::Object(members) => {
                let members = members.iter().map(|(key, value)| (key.to_owned(), value.to_value()));
                Value::Object(members.collect())
            }
            Node::List(items) => items.iter().map(Node::to_value).collect(),
        }
    }
}

impl<'d> Members<'d> {
    /// The member `key`.
    pub(crate) fn get(self, key: &str) -> Option<Node<'d>> {
        match self {
            Self::Map(map) => map.get(key).map(Node::from),
            Self::Entries(entries) => {
                entries.iter().find(|(name, _)| *name == key).map(|(_, value)| value.into())
            }
        }
    }

    /// How many.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Map(map) => map.len(),
            Self::Entries(entries) => entries.len(),
        }
    }

    /// Each, in its order.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'d str, Node<'d>)> {
        let (map, entries) = match self {
            Self::Map(map) => (Some(map), &[][..]),
            Self::Entries(entries) => (None, entries),
        };
        let map = map.into_iter().flatten().map(|(key, value)| (key.as_str(), value.into()));
        map.chain(entries.iter().map(|(key, value)| (key.as_ref(), value.into())))
    }

    /// The keys, in their order.
    pub(crate) fn keys(self) -> impl Iterator<Item = &'d str> {
        self.iter().map(|(key, _)| key)
    }
}

impl<'d> Items<'d> {
    /// How many.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Values(items) => items.len(),
            Self::Contents(items) => items.len(),
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Each, in its order.
    pub(crate) fn iter(
        self,
    ) -> impl DoubleEndedIterator<Item = Node<'d>> + ExactSizeIterator + Clone {
        (0..self.len()).map(move |at| match self {
            Self::Values(items) => Node::from(&items[at]),
            Self::Contents(items) => Node::from(&items[at]),
        })
    }

    /// The first item with this name, and where it stands.
    pub(crate) fn named(self, name: &str) -> Option<(usize, Node<'d>)> {
        self.iter().enumerate().find(|(_, item)| item.name() == name)
    }
}

/// What it says counts, not who holds it; and not the order of members.
impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Node::Null, Node::Null) => true,
            (Node::Bool(one), Node::Bool(other)) => one == other,
            (Node::Number(one), Node::Number(other)) => one == other,
            (Node::Text(one), Node::Text(other)) => one == other,
            (Node::Object(one), Node::Object(other)) => {
                let same = |(key, value)| other.get(key) == Some(value);
                one.len() == other.len() && one.iter().all(same)
            }
            (Node::List(one), Node::List(other)) => {
                one.len() == other.len() && one.iter().eq(other.iter())
            }
            _ => false,
        }
    }
}

/// As JSON.
impl fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_value().fmt(f)
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
