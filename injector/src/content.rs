//! JSON that is put together of parts which are there already.
//!
//! Most of a sidecar is what its template says literally, and most of a patched pod is the pod: such
//! parts are borrowed, not copied. So rendering a template, writing the patch and trying it cost what
//! is new, however large the rest is.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::patch::{Operation, Patch, PatchError, index};

/// A JSON value, parts of which may be somebody else's.
#[derive(Debug, Clone)]
pub enum Content<'a> {
    /// As it stands in a template or pod.
    Same(&'a Value),
    /// As it stands in other content.
    Part(&'a Content<'a>),
    /// Of its own.
    Own(Value),
    /// A string.
    Text(Cow<'a, str>),
    /// An object; no key stands twice.
    Object(Vec<(Cow<'a, str>, Content<'a>)>),
    /// A list.
    List(Vec<Content<'a>>),
}

impl From<Value> for Content<'_> {
    fn from(value: Value) -> Self {
        Self::Own(value)
    }
}

impl<'a> Content<'a> {
    /// A copy of `document` with `patch` applied, as strictly as [`Patch::apply`] does.
    pub(crate) fn patched(document: &'a Value, patch: &'a Patch<'_>) -> Result<Self, PatchError> {
        let mut copy = Self::Same(document);
        for (number, operation) in patch.operations().iter().enumerate() {
            copy.apply(operation).map_err(|problem| PatchError {
                number,
                path: operation.path().to_string(),
                problem,
            })?;
        }
        Ok(copy)
    }

    fn apply(&mut self, operation: &'a Operation<'_>) -> Result<(), &'static str> {
        let mut steps = operation.path().tokens().peekable();
        let mut parent = self;
        let last = loop {
            let step = steps.next().ok_or("an operation on the whole document is never needed")?;
            if steps.peek().is_none() {
                break step;
            }
            parent = parent.child(&step).ok_or("its parent does not exist")?;
        };
        match parent.opened() {
            Self::Object(members) => {
                let at = members.iter().position(|(key, _)| *key == last);
                match (operation, at) {
                    (Operation::Add { value, .. } | Operation::Replace { value, .. }, Some(at)) => {
                        members[at].1 = Self::Part(value);
                    }
                    (Operation::Add { value, .. }, None) => {
                        members.push((last, Self::Part(value)));
                    }
                    (Operation::Remove { .. }, Some(at)) => drop(members.remove(at)),
                    (Operation::Replace { .. }, None) => return Err("there is nothing to replace"),
                    (Operation::Remove { .. }, None) => return Err("there is nothing to remove"),
                }
            }
            Self::List(items) => match operation {
                Operation::Add { value, .. } if last == "-" => items.push(Self::Part(value)),
                Operation::Add { value, .. } => {
                    let at = index(&last, items.len() + 1)?;
                    items.insert(at, Self::Part(value));
                }
                Operation::Replace { value, .. } => {
                    let at = index(&last, items.len())?;
                    items[at] = Self::Part(value);
                }
                Operation::Remove { .. } => {
                    let at = index(&last, items.len())?;
                    items.remove(at);
                }
            },
            _ => return Err("its parent is neither an object nor an array"),
        }
        Ok(())
    }

    /// The member or item that a pointer's step names.
    fn child(&mut self, step: &str) -> Option<&mut Self> {
        match self.opened() {
            Self::Object(members) => {
                members.iter_mut().find(|(key, _)| key == step).map(|(_, value)| value)
            }
            Self::List(items) => {
                let at = index(step, items.len()).ok()?;
                items.get_mut(at)
            }
            _ => None,
        }
    }

    /// Itself, so that members or items can be changed; a scalar stays the same.
    fn opened(&mut self) -> &mut Self {
        let open = match self {
            Self::Same(Value::Object(map)) => {
                let members = map.iter().map(|(k, value)| (k.as_str().into(), Self::Same(value)));
                Self::Object(members.collect())
            }
            Self::Same(Value::Array(items)) => Self::List(items.iter().map(Self::Same).collect()),
            Self::Part(Self::Object(members)) => {
                let members = members.iter().map(|(k, v)| (Cow::Borrowed(&**k), Self::Part(v)));
                Self::Object(members.collect())
            }
            Self::Part(Self::List(items)) => Self::List(items.iter().map(Self::Part).collect()),
            Self::Part(Self::Own(value)) => {
                *self = Self::Same(value);
                return self.opened();
            }
            Self::Part(Self::Same(value)) => {
                *self = Self::Same(value);
                return self.opened();
            }
            Self::Part(Self::Part(content)) => {
                *self = Self::Part(content);
                return self.opened();
            }
            Self::Own(Value::Object(map)) => {
                let members = std::mem::take(map).into_iter();
                Self::Object(members.map(|(key, value)| (key.into(), Self::Own(value))).collect())
            }
            Self::Own(Value::Array(items)) => {
                Self::List(std::mem::take(items).into_iter().map(Self::Own).collect())
            }
            _ => return self,
        };
        *self = open;
        self
    }

    /// The members, unless it is no object.
    pub(crate) fn into_members(mut self) -> Option<Vec<(Cow<'a, str>, Self)>> {
        self.opened();
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// The items, unless it is no list.
    pub(crate) fn into_items(mut self) -> Option<Vec<Self>> {
        self.opened();
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// The items, to be changed, unless it is no list.
    pub(crate) fn items_mut(&mut self) -> Option<&mut Vec<Self>> {
        if let Self::List(items) = self.opened() { Some(items) } else { None }
    }

    /// The member `key`, to be changed: null where there was none, and of a new object where this
    /// was none.
    pub(crate) fn member(&mut self, key: &'static str) -> &mut Self {
        if !matches!(self.opened(), Self::Object(_)) {
            *self = Self::Object(Vec::new());
        }
        let Self::Object(members) = self else { unreachable!("it is one since the line above") };
        let at = members.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
            members.push((key.into(), Self::Own(Value::Null)));
            members.len() - 1
        });
        &mut members[at].1
    }

    /// As a value of its own.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Same(value) => (*value).clone(),
            Self::Part(content) => content.to_value(),
            Self::Own(value) => value.clone(),
            Self::Text(text) => Value::String(text.to_string()),
            Self::Object(members) => {
                let members =
                    members.iter().map(|(key, value)| (key.to_string(), value.to_value()));
                Value::Object(members.collect::<Map<_, _>>())
            }
            Self::List(items) => items.iter().map(Content::to_value).collect(),
        }
    }

    /// How to read it.
    pub(crate) fn node(&self) -> Node<'_> {
        match self {
            Self::Same(value) => Node::Same(value),
            Self::Part(content) => content.node(),
            Self::Own(value) => Node::Same(value),
            Self::Text(text) => Node::Text(text),
            Self::Object(members) => Node::Object(members),
            Self::List(items) => Node::List(items),
        }
    }
}

/// What it says counts, not whose it is.
impl PartialEq for Content<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.to_value() == other.to_value()
    }
}

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Same(value) => value.serialize(serializer),
            Self::Part(content) => content.serialize(serializer),
            Self::Own(value) => value.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Object(members) => {
                serializer.collect_map(members.iter().map(|(key, value)| (key, value)))
            }
            Self::List(items) => serializer.collect_seq(items),
        }
    }
}

/// A place in a [`Content`]. What is absent, or of another type than asked for, reads as nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Node<'d> {
    Same(&'d Value),
    Text(&'d str),
    Object(&'d [(Cow<'d, str>, Content<'d>)]),
    List(&'d [Content<'d>]),
}

impl<'d> Node<'d> {
    /// The member `key`.
    pub(crate) fn get(self, key: &str) -> Self {
        match self {
            Node::Same(value) => Node::Same(value.get(key).unwrap_or(&Value::Null)),
            Node::Object(members) => members
                .iter()
                .find(|(name, _)| *name == key)
                .map_or(Node::Same(&Value::Null), |(_, value)| value.node()),
            Node::Text(_) | Node::List(_) => Node::Same(&Value::Null),
        }
    }

    /// The items of the list at `key`.
    pub(crate) fn list(self, key: &str) -> impl Iterator<Item = Self> + Clone {
        let (same, changed) = match self.get(key) {
            Node::Same(Value::Array(items)) => (items.as_slice(), &[][..]),
            Node::List(items) => (&[][..], items),
            _ => (&[][..], &[][..]),
        };
        same.iter().map(Node::Same).chain(changed.iter().map(Content::node))
    }

    /// The members of the object at `key`.
    pub(crate) fn members(self, key: &str) -> impl Iterator<Item = (&'d str, Self)> {
        let (same, changed) = match self.get(key) {
            Node::Same(value) => (value.as_object(), &[][..]),
            Node::Object(members) => (None, members),
            Node::Text(_) | Node::List(_) => (None, &[][..]),
        };
        let same =
            same.into_iter().flatten().map(|(name, value)| (name.as_str(), Node::Same(value)));
        same.chain(changed.iter().map(|(name, value)| (name.as_ref(), value.node())))
    }

    /// Its text, if it is one.
    pub(crate) fn as_str(self) -> Option<&'d str> {
        match self {
            Node::Same(value) => value.as_str(),
            Node::Text(text) => Some(text),
            Node::Object(_) | Node::List(_) => None,
        }
    }

    /// The text at `key`; empty where there is none.
    pub(crate) fn text(self, key: &str) -> &'d str {
        self.get(key).as_str().unwrap_or_default()
    }

    /// The `name` of a list item.
    pub(crate) fn name(self) -> &'d str {
        self.text("name")
    }

    /// Whether it says null.
    pub(crate) fn is_null(self) -> bool {
        matches!(self, Node::Same(Value::Null))
    }

    /// Whether it is an object.
    pub(crate) fn is_object(self) -> bool {
        matches!(self, Node::Same(Value::Object(_)) | Node::Object(_))
    }

    /// Whether something stands at `key`.
    pub(crate) fn has(self, key: &str) -> bool {
        !matches!(self.get(key), Node::Same(Value::Null))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::Pointer;
    use proptest::prelude::*;
    use serde_json::json;

    fn pointer() -> impl Strategy<Value = Pointer> {
        let step = prop_oneof![
            "[abc]".prop_map(|key| key),
            "[0-3]".prop_map(|index| index),
            Just("-".to_owned()),
            Just("~/".to_owned()),
        ];
        prop::collection::vec(step, 0..4)
            .prop_map(|steps| steps.iter().fold(Pointer::root(), |at, step| at.child(step)))
    }

    fn patch() -> impl Strategy<Value = Patch<'static>> {
        let value = prop_oneof![Just(json!(1)), Just(json!({"a": [2, {}]})), Just(json!([3, 4]))];
        let operation = (0..3, pointer(), value).prop_map(|(which, path, value)| match which {
            0 => Operation::Add { path, value: value.into() },
            1 => Operation::Replace { path, value: value.into() },
            _ => Operation::Remove { path },
        });
        prop::collection::vec(operation, 0..5)
            .prop_map(|operations| operations.into_iter().collect())
    }

    proptest! {
        #[test]
        fn a_draft_is_what_a_whole_copy_would_be(patch in patch()) {
            let document = json!({"a": [1, {"b": [], "~/": {"c": null}}, "x"], "b": {"c": {"a": 7}}});
            let mut copy = document.clone();
            let applied = patch.apply(&mut copy);
            let draft = Content::patched(&document, &patch);
            prop_assert_eq!(draft.as_ref().err(), applied.as_ref().err());
            if let Ok(draft) = &draft {
                prop_assert_eq!(draft.to_value(), copy);
            }
        }
    }

    #[test]
    fn places_read_alike_whether_changed_or_not() {
        let document = json!({"list": [{"name": "a"}], "map": {"k": "v"}, "other": {"name": "o"}});
        let mut patch = Patch::empty();
        patch.add(Pointer::root().child("list").end(), json!({"name": "b"}));
        patch.add(Pointer::root().child("map").child("l"), json!("w"));
        let draft = Content::patched(&document, &patch).unwrap();
        let node = draft.node();
        assert_eq!(node.list("list").map(Node::name).collect::<Vec<_>>(), ["a", "b"]);
        let members = node.members("map").map(|(key, value)| (key, value.as_str().unwrap()));
        assert_eq!(members.collect::<Vec<_>>(), [("k", "v"), ("l", "w")]);
        assert_eq!(node.get("other").name(), "o");
        assert!(node.has("map") && !node.has("absent"));
        assert_eq!(node.list("map").count() + node.members("list").count(), 0);
    }
}
