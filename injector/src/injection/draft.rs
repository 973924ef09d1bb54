//! Our own copy of a pod, on which a patch is tried before anyone else sees it.
//!
//! The copy is made where the patch goes, and only there: what no operation touches is the pod's
//! own. So trying a patch costs what the patch costs, however large the pod is.

use std::borrow::Cow;

use serde_json::Value;

use crate::patch::{Operation, Patch, PatchError, index};

/// A value that may have been changed, by whoever holds it and nobody else.
#[derive(Debug)]
pub(crate) enum Draft<'a> {
    /// As it stands in the pod or in the patch.
    Same(&'a Value),
    /// An object or list that an operation goes into.
    Object(Vec<(Cow<'a, str>, Draft<'a>)>),
    List(Vec<Draft<'a>>),
}

impl<'a> Draft<'a> {
    /// A copy of `document` with `patch` applied, as strictly as [`Patch::apply`] does.
    pub(crate) fn patched(document: &'a Value, patch: &'a Patch) -> Result<Self, PatchError> {
        let mut copy = Draft::Same(document);
        for (number, operation) in patch.operations().iter().enumerate() {
            copy.apply(operation).map_err(|problem| PatchError {
                number,
                path: operation.path().to_string(),
                problem,
            })?;
        }
        Ok(copy)
    }

    fn apply(&mut self, operation: &'a Operation) -> Result<(), &'static str> {
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
            Draft::Object(members) => {
                let at = members.iter().position(|(key, _)| *key == last);
                match (operation, at) {
                    (Operation::Add { value, .. } | Operation::Replace { value, .. }, Some(at)) => {
                        members[at].1 = Draft::Same(value);
                    }
                    (Operation::Add { value, .. }, None) => {
                        members.push((last, Draft::Same(value)));
                    }
                    (Operation::Remove { .. }, Some(at)) => drop(members.remove(at)),
                    (Operation::Replace { .. }, None) => return Err("there is nothing to replace"),
                    (Operation::Remove { .. }, None) => return Err("there is nothing to remove"),
                }
            }
            Draft::List(items) => match operation {
                Operation::Add { value, .. } if last == "-" => items.push(Draft::Same(value)),
                Operation::Add { value, .. } => {
                    let at = index(&last, items.len() + 1)?;
                    items.insert(at, Draft::Same(value));
                }
                Operation::Replace { value, .. } => {
                    let at = index(&last, items.len())?;
                    items[at] = Draft::Same(value);
                }
                Operation::Remove { .. } => {
                    let at = index(&last, items.len())?;
                    items.remove(at);
                }
            },
            Draft::Same(_) => return Err("its parent is neither an object nor an array"),
        }
        Ok(())
    }

    /// The member or item that a pointer's step names.
    fn child(&mut self, step: &str) -> Option<&mut Self> {
        match self.opened() {
            Draft::Object(members) => {
                members.iter_mut().find(|(key, _)| key == step).map(|(_, value)| value)
            }
            Draft::List(items) => {
                let at = index(step, items.len()).ok()?;
                items.get_mut(at)
            }
            Draft::Same(_) => None,
        }
    }

    /// Itself, so that members or items can be changed; a scalar stays the same.
    fn opened(&mut self) -> &mut Self {
        match self {
            Draft::Same(Value::Object(map)) => {
                let members =
                    map.iter().map(|(key, value)| (key.as_str().into(), Draft::Same(value)));
                *self = Draft::Object(members.collect());
            }
            Draft::Same(Value::Array(items)) => {
                *self = Draft::List(items.iter().map(Draft::Same).collect());
            }
            _ => {}
        }
        self
    }

    /// How to read it.
    pub(crate) fn node(&self) -> Node<'_> {
        match self {
            Draft::Same(value) => Node::Same(value),
            Draft::Object(members) => Node::Object(members),
            Draft::List(items) => Node::List(items),
        }
    }
}

/// A place in a [`Draft`]. What is absent, or of another type than asked for, reads as nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Node<'d> {
    Same(&'d Value),
    Object(&'d [(Cow<'d, str>, Draft<'d>)]),
    List(&'d [Draft<'d>]),
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
            Node::List(_) => Node::Same(&Value::Null),
        }
    }

    /// The items of the list at `key`.
    pub(crate) fn list(self, key: &str) -> impl Iterator<Item = Self> + Clone {
        let (same, changed) = match self.get(key) {
            Node::Same(Value::Array(items)) => (items.as_slice(), &[][..]),
            Node::List(items) => (&[][..], items),
            _ => (&[][..], &[][..]),
        };
        same.iter().map(Node::Same).chain(changed.iter().map(Draft::node))
    }

    /// The members of the object at `key`.
    pub(crate) fn members(self, key: &str) -> impl Iterator<Item = (&'d str, Self)> {
        let (same, changed) = match self.get(key) {
            Node::Same(value) => (value.as_object(), &[][..]),
            Node::Object(members) => (None, members),
            Node::List(_) => (None, &[][..]),
        };
        let same =
            same.into_iter().flatten().map(|(name, value)| (name.as_str(), Node::Same(value)));
        same.chain(changed.iter().map(|(name, value)| (name.as_ref(), value.node())))
    }

    /// Its text, if it is one.
    pub(crate) fn as_str(self) -> Option<&'d str> {
        match self {
            Node::Same(value) => value.as_str(),
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

    /// What a draft says, as a value of its own.
    fn whole(node: Node<'_>) -> Value {
        match node {
            Node::Same(value) => value.clone(),
            Node::Object(members) => {
                members.iter().map(|(key, value)| (key.to_string(), whole(value.node()))).collect()
            }
            Node::List(items) => items.iter().map(|item| whole(item.node())).collect(),
        }
    }

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

    fn patch() -> impl Strategy<Value = Patch> {
        let value = prop_oneof![Just(json!(1)), Just(json!({"a": [2, {}]})), Just(json!([3, 4]))];
        let operation = (0..3, pointer(), value).prop_map(|(which, path, value)| match which {
            0 => Operation::Add { path, value },
            1 => Operation::Replace { path, value },
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
            let draft = Draft::patched(&document, &patch);
            prop_assert_eq!(draft.as_ref().err(), applied.as_ref().err());
            if let Ok(draft) = &draft {
                prop_assert_eq!(whole(draft.node()), copy);
            }
        }
    }

    #[test]
    fn places_read_alike_whether_changed_or_not() {
        let document = json!({"list": [{"name": "a"}], "map": {"k": "v"}, "other": {"name": "o"}});
        let mut patch = Patch::empty();
        patch.add(Pointer::root().child("list").end(), json!({"name": "b"}));
        patch.add(Pointer::root().child("map").child("l"), json!("w"));
        let draft = Draft::patched(&document, &patch).unwrap();
        let node = draft.node();
        assert_eq!(node.list("list").map(Node::name).collect::<Vec<_>>(), ["a", "b"]);
        let members = node.members("map").map(|(key, value)| (key, value.as_str().unwrap()));
        assert_eq!(members.collect::<Vec<_>>(), [("k", "v"), ("l", "w")]);
        assert_eq!(node.get("other").name(), "o");
        assert!(node.has("map") && !node.has("absent"));
        assert_eq!(node.list("map").count() + node.members("list").count(), 0);
    }
}
