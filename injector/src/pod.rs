//! A read-only view of a pod's raw JSON: absent, null and empty read alike, and a value of the
//! wrong type reads as absent (the API server refuses it with a better message than ours).

use serde_json::{Map, Value};

/// A pod, or a pod template seen as one: an object with `metadata` and `spec`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pod<'a>(pub(crate) &'a Value);

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
    pub(crate) fn metadata(self) -> &'a Value {
        self.0.get("metadata").unwrap_or(&Value::Null)
    }

    pub(crate) fn spec(self) -> &'a Value {
        self.0.get("spec").unwrap_or(&Value::Null)
    }

    pub(crate) fn annotations(self) -> Option<&'a Map<String, Value>> {
        self.metadata().get("annotations")?.as_object()
    }

    pub(crate) fn annotation(self, key: &str) -> Option<&'a Value> {
        self.annotations()?.get(key).filter(|v| !v.is_null())
    }

    pub(crate) fn label(self, key: &str) -> Option<&'a str> {
        let value = self.metadata().get("labels")?.get(key)?.as_str()?;
        (!value.is_empty()).then_some(value)
    }

    pub(crate) fn containers(self) -> &'a [Value] {
        list(self.spec(), "containers")
    }

    pub(crate) fn init_containers(self) -> &'a [Value] {
        list(self.spec(), "initContainers")
    }

    /// Init containers, containers and ephemeral containers: they share one space of names.
    pub(crate) fn all_containers(self) -> impl Iterator<Item = &'a Value> {
        self.init_containers()
            .iter()
            .chain(self.containers())
            .chain(list(self.spec(), "ephemeralContainers"))
    }

    pub(crate) fn volumes(self) -> &'a [Value] {
        list(self.spec(), "volumes")
    }

    /// The owner that controls the pod: its kind and name.
    pub(crate) fn controller(self) -> Option<(&'a str, &'a str)> {
        list(self.metadata(), "ownerReferences")
            .iter()
            .find(|o| o.get("controller").and_then(Value::as_bool) == Some(true))
            .map(|o| (text(o, "kind"), name(o)))
    }
}
