//! JSON that is put together of parts which are there already.
//!
//! Most of a sidecar is what its template says literally, and most of a patched pod is the pod: such
//! parts are borrowed, not copied. So rendering a template, writing the patch and trying it cost what
//! is new, however large the rest is.

mod node;
pub(crate) mod write;

use std::borrow::Cow;

use serde_json::{Number, Value};

pub use self::node::{Items, Members, Node};
pub use self::write::Literal;
use crate::patch::{Operation, Patch, PatchError, index, steps, unescape};

/// A JSON value, parts of which may be somebody else's.
#[derive(Debug, Clone)]
pub enum Content<'a> {
    /// As it stands in a parsed document.
    Same(&'a Value),
    /// As it stands in other content.
    Part(&'a Content<'a>),
    /// As it stands in a template, written already.
    Literal(&'a Literal),
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(Cow<'a, str>),
    /// An object; no key stands twice.
    Object(Object<'a>),
    /// A list.
    List(Vec<Content<'a>>),
}

/// The members of an object, in their order.
pub(crate) type Object<'a> = Vec<(Cow<'a, str>, Content<'a>)>;

impl From<Value> for Content<'_> {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::Text(text.into()),
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(map) => {
                Self::Object(map.into_iter().map(|(k, value)| (k.into(), value.into())).collect())
            }
        }
    }
}

impl From<String> for Content<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl<'a> Content<'a> {
    /// A copy of `document` with `patch` applied, as strictly as [`Patch::apply`] does.
    pub(crate) fn patched(document: Node<'a>, patch: &'a Patch<'_>) -> Result<Self, PatchError> {
        const WHOLE: &str = "an operation on the whole document is never needed";
        let mut copy = Self::of(document);
        let mut number = 0;
        // What follows each other in one parent, as variables of a container do, is led there once.
        for run in patch.operations().chunk_by(|one, next| parent(one) == parent(next)) {
            let failed = |number: usize, problem| PatchError {
                number,
                path: patch.operations()[number].path().to_string(),
                problem,
            };
            let at = parent(&run[0]).ok_or_else(|| failed(number, WHOLE))?;
            let found = steps(at).try_fold(&mut copy, |parent, step| parent.child(&step));
            let parent = found.ok_or_else(|| failed(number, "its parent does not exist"))?;
            for operation in run {
                parent.apply(operation).map_err(|problem| failed(number, problem))?;
                number += 1;
            }
        }
        Ok(copy)
    }

    /// Applies an operation to its parent.
    fn apply(&mut self, operation: &'a Operation<'_>) -> Result<(), &'static str> {
        let last = operation.path().parent().map_or("".into(), |(_, last)| unescape(last));
        match self.opened() {
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

    /// The same as `node`, with members or items that can be changed.
    fn of(node: Node<'a>) -> Self {
        match node {
            Node::Null => Self::Null,
            Node::Bool(value) => Self::Bool(value),
            Node::Number(number) => Self::Number(number.clone()),
            Node::Text(text) => Self::Text(text.into()),
            Node::Object(Members::Map(map)) => {
                let members = map.iter().map(|(key, value)| (key.into(), Self::Same(value)));
                Self::Object(members.collect())
            }
            Node::Object(Members::Entries(entries)) => {
                let members = entries.iter().map(|(k, value)| ((&**k).into(), Self::Part(value)));
                Self::Object(members.collect())
            }
            Node::List(Items::Values(items)) => Self::List(items.iter().map(Self::Same).collect()),
            Node::List(Items::Contents(items)) => {
                Self::List(items.iter().map(Self::Part).collect())
            }
        }
    }

    /// Itself, so that members or items can be changed; a scalar stays the same.
    fn opened(&mut self) -> &mut Self {
        let node = match self {
            Self::Same(value) => Node::from(*value),
            Self::Part(content) => Node::from(*content),
            Self::Literal(literal) => Node::from(literal.content()),
            _ => return self,
        };
        *self = Self::of(node);
        self
    }

    /// The members, unless it is no object.
    pub(crate) fn into_members(mut self) -> Option<Object<'a>> {
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
            members.push((key.into(), Self::Null));
            members.len() - 1
        });
        &mut members[at].1
    }

    /// As a value of its own.
    pub fn to_value(&self) -> Value {
        self.node().to_value()
    }

    /// The same, borrowing nothing.
    pub(crate) fn into_owned(self) -> Content<'static> {
        self.to_value().into()
    }

    /// How to read it.
    pub(crate) fn node(&self) -> Node<'_> {
        self.into()
    }
}

/// Where an operation acts, without the last step.
fn parent<'o>(operation: &'o Operation<'_>) -> Option<&'o str> {
    operation.path().parent().map(|(at, _)| at)
}

/// What it says counts, not whose it is.
impl PartialEq for Content<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.node() == other.node()
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
            let draft = Content::patched((&document).into(), &patch);
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
        let draft = Content::patched((&document).into(), &patch).unwrap();
        let node = draft.node();
        assert_eq!(node.list("list").iter().map(Node::name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(node.list("list").named("b"), Some((1, Node::from(&json!({"name": "b"})))));
        let members = node.at("map").members();
        let texts = members.iter().map(|(key, value)| (key, value.as_str().unwrap()));
        assert_eq!(texts.collect::<Vec<_>>(), [("k", "v"), ("l", "w")]);
        assert_eq!(members.keys().collect::<Vec<_>>(), ["k", "l"]);
        assert_eq!(node.at("other").name(), "o");
        assert!(node.has("map") && !node.has("absent"));
        assert_eq!(node.list("map").len() + node.at("list").members().len(), 0);
        let other = json!({"map": {"l": "w", "k": "v"}, "other": {"name": "o"},
            "list": [{"name": "a"}, {"name": "b"}]});
        assert_eq!(node, Node::from(&other), "the order of members says nothing");
        assert_ne!(node, Node::from(&document));
    }
}
