//! The `injected` annotation: everything one injection added, so that it can be taken out exactly.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::annotations;
use crate::content::{Content, Items, Node};
use crate::patch::{Patch, Pointer};
use crate::pod::Pod;
use crate::request::TextRecord;

/// What a parent was before we put something into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Was {
    Absent,
    Null,
    Empty,
}

impl Was {
    /// `None` for a parent that holds something.
    pub(crate) fn of(parent: Option<Node<'_>>) -> Option<Self> {
        match parent {
            None => Some(Self::Absent),
            Some(Node::Null) => Some(Self::Null),
            Some(Node::List(items)) if items.is_empty() => Some(Self::Empty),
            Some(Node::Object(members)) if members.len() == 0 => Some(Self::Empty),
            Some(_) => None,
        }
    }
}

/// Parents by path; list items by name, as in `/spec/containers/app/env`.
pub(crate) type Parents<'a> = BTreeMap<Cow<'a, str>, Was>;

/// Names, each once.
pub(crate) type Names<'a> = BTreeSet<Cow<'a, str>>;

/// One-line JSON in `sidecar.mesher.io/injected`. Fields that a newer version adds are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Record<'a> {
    /// Version of the injector.
    pub(crate) version: Cow<'a, str>,
    /// Name of the template, and the hash of its text and the sidecar defaults.
    pub(crate) template: Cow<'a, str>,
    pub(crate) hash: Cow<'a, str>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) init_containers: Names<'a>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) containers: Names<'a>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) volumes: Names<'a>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) image_pull_secrets: Names<'a>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) labels: Names<'a>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) annotations: Names<'a>,
    /// Variables by container, `containers/app` or `initContainers/setup`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) env: BTreeMap<String, Names<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) parents: Parents<'a>,
    /// Annotations of ours that the pod already had, and their former values.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) replaced: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<TextRecord>,
}

impl Record<'_> {
    /// The record of `pod`, if it has one that reads.
    pub(crate) fn read(pod: Pod<'_>) -> Option<Self> {
        let record: Self = serde_json::from_str(annotations::injected(pod)?).ok()?;
        let names_something = !record.init_containers.is_empty() || !record.containers.is_empty();
        names_something.then_some(record)
    }

    /// Whether every container it names is there. Alone it proves nothing: it may be forged, or
    /// copied with the annotations of another pod.
    pub(crate) fn agrees(&self, pod: Pod<'_>) -> bool {
        let holds = |list: Items<'_>, names: &Names<'_>| {
            names.iter().all(|name| list.named(name).is_some())
        };
        holds(pod.init_containers(), &self.init_containers)
            && holds(pod.containers(), &self.containers)
    }

    /// Whether our sidecar is an init container with `restartPolicy: Always`.
    pub(crate) fn is_native(&self, sidecar: &str) -> bool {
        self.init_containers.contains(sidecar)
    }

    pub(crate) fn to_line(&self) -> String {
        serde_json::to_string(self).expect("strings and maps of strings always serialize")
    }

    /// What takes everything named here out of `pod`; what is not there any more is passed over.
    pub(crate) fn removal(&self, pod: Pod<'_>) -> Patch<'static> {
        let mut removal = Removal { record: self, patch: Patch::empty() };
        let (metadata, spec) = (Pointer::root().child("metadata"), Pointer::root().child("spec"));
        // Variables first: taking out a container moves the others' indices.
        for list in ["containers", "initContainers"] {
            for (i, container) in pod.spec().list(list).iter().enumerate() {
                let key = format!("{list}/{}", container.name());
                if let Some(names) = self.env.get(&key) {
                    let at = spec.child(list).index(i).child("env");
                    removal.items(&at, &format!("/spec/{key}/env"), container.get("env"), names);
                }
            }
        }
        for (list, names) in [
            ("containers", &self.containers),
            ("initContainers", &self.init_containers),
            ("volumes", &self.volumes),
            ("imagePullSecrets", &self.image_pull_secrets),
        ] {
            let at = spec.child(list);
            removal.items(&at, at.as_str(), pod.spec().get(list), names);
        }
        let bare = self.parents.contains_key("/metadata")
            && pod.metadata().is_object()
            && pod.metadata().members().iter().all(|(key, value)| match (key, value) {
                ("labels", Node::Object(map)) => map.keys().all(|k| self.labels.contains(k)),
                ("annotations", Node::Object(map)) => {
                    map.keys().all(|k| self.annotations.contains(k))
                }
                _ => false,
            });
        if bare {
            removal.restore(&metadata, "/metadata", Content::Object(Vec::new()));
            return removal.patch;
        }
        for (map, names) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            let at = metadata.child(map);
            removal.members(&at, pod.metadata().get(map), names);
        }
        removal.patch
    }
}

impl<'a> Record<'a> {
    /// Takes in what a repair added.
    pub(crate) fn absorb(&mut self, names: Self, parents: Parents<'a>) {
        self.init_containers.extend(names.init_containers);
        self.containers.extend(names.containers);
        self.volumes.extend(names.volumes);
        self.image_pull_secrets.extend(names.image_pull_secrets);
        for (container, variables) in names.env {
            self.env.entry(container).or_default().extend(variables);
        }
        for (path, was) in parents {
            self.parents.entry(path).or_insert(was);
        }
    }
}

struct Removal<'a> {
    record: &'a Record<'a>,
    patch: Patch<'static>,
}

impl Removal<'_> {
    /// Takes the named items out of a list, from the back so that indices hold.
    fn items(&mut self, at: &Pointer, path: &str, list: Option<Node<'_>>, names: &Names<'_>) {
        let Some(Node::List(items)) = list else {
            return;
        };
        let ours = |item: &Node<'_>| names.contains(item.name());
        let empty = Content::List(Vec::new());
        if !items.is_empty()
            && items.iter().all(|item| ours(&item))
            && self.restore(at, path, empty)
        {
            return;
        }
        for (i, _) in items.iter().enumerate().rev().filter(|(_, item)| ours(item)) {
            self.patch.remove(at.index(i));
        }
    }

    fn members(&mut self, at: &Pointer, map: Option<Node<'_>>, names: &Names<'_>) {
        let Some(Node::Object(map)) = map else {
            return;
        };
        let replaced = &self.record.replaced;
        let ours = |key: &str| names.contains(key) && !replaced.contains_key(key);
        let empty = Content::Object(Vec::new());
        if map.len() > 0 && map.keys().all(ours) && self.restore(at, at.as_str(), empty) {
            return;
        }
        for key in map.keys().filter(|key| names.contains(*key)) {
            match self.record.replaced.get(key) {
                Some(former) => self.patch.replace(at.child(key), former.clone()),
                None => self.patch.remove(at.child(key)),
            }
        }
    }

    /// Makes a parent what it was; `false` where it held something from the beginning.
    fn restore(&mut self, at: &Pointer, path: &str, empty: Content<'static>) -> bool {
        match self.record.parents.get(path) {
            Some(Was::Absent) => self.patch.remove(at.clone()),
            Some(Was::Null) => self.patch.replace(at.clone(), Content::Null),
            Some(Was::Empty) => self.patch.replace(at.clone(), empty),
            None => return false,
        }
        true
    }
}
