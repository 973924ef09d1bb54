//! A read-only view of a pod's raw JSON: absent, null and empty read alike, and a value of the
//! wrong type reads as absent (the API server refuses it with a better message than ours).

use serde_json::Value;

use crate::content::{Items, Members, Node};

/// A pod, or a pod template seen as one: an object with `metadata` and `spec`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pod<'a>(pub(crate) Node<'a>);

/// The items of the list at `key`; none when it is absent, null or no list.
pub(crate) fn list<'a>(of: &'a Value, key: &str) -> &'a [Value] {
    of.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The string at `key`; empty when absent.
pub(crate) fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The `name` of a list item.
pub(crate) fn name(of: &Value) -> &str {
    text(of, "name")
}

impl<'a> Pod<'a> {
    pub(crate) fn of(pod: impl Into<Node<'a>>) -> Self {
        Self(pod.into())
    }

    pub(crate) fn metadata(self) -> Node<'a> {
        self.0.at("metadata")
    }

    pub(crate) fn spec(self) -> Node<'a> {
        self.0.at("spec")
    }

    pub(crate) fn annotations(self) -> Members<'a> {
        self.metadata().at("annotations").members()
    }

    pub(crate) fn annotation(self, key: &str) -> Option<Node<'a>> {
        self.annotations().get(key).filter(|value| !value.is_null())
    }

    pub(crate) fn label(self, key: &str) -> Option<&'a str> {
        Some(self.metadata().at("labels").text(key)).filter(|value| !value.is_empty())
    }

    pub(crate) fn containers(self) -> Items<'a> {
        self.spec().list("containers")
    }

    pub(crate) fn init_containers(self) -> Items<'a> {
        self.spec().list("initContainers")
    }

    /// Init containers, containers and ephemeral containers: they share one space of names.
    pub(crate) fn all_containers(self) -> impl Iterator<Item = Node<'a>> {
        self.init_containers()
            .iter()
            .chain(self.containers().iter())
            .chain(self.spec().list("ephemeralContainers").iter())
    }

    pub(crate) fn volumes(self) -> Items<'a> {
        self.spec().list("volumes")
    }

    /// The owner that controls the pod: its kind and name.
    pub(crate) fn controller(self) -> Option<(&'a str, &'a str)> {
        self.metadata()
            .list("ownerReferences")
            .iter()
            .find(|owner| matches!(owner.get("controller"), Some(Node::Bool(true))))
            .map(|owner| (owner.text("kind"), owner.name()))
    }
}
