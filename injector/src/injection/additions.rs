//! What a pod gets, and the minimal patch that brings it there from whatever it is now.

use serde_json::{Map, Value};

use super::record::{Parents, Record, Was};
use crate::annotations::{INJECTED, STATUS};
use crate::patch::{Patch, Pointer};
use crate::pod::{Pod, list, name, text};

/// Everything one injection wants to see in a pod, computed from the pod without us.
#[derive(Debug, Default)]
pub(crate) struct Additions {
    /// Put before the pod's own, in this order.
    pub(crate) init_containers: Vec<Value>,
    /// Put behind the pod's own.
    pub(crate) containers: Vec<Value>,
    pub(crate) volumes: Vec<Value>,
    pub(crate) image_pull_secrets: Vec<Value>,
    /// Labels and annotations the pod does not have.
    pub(crate) labels: Map<String, Value>,
    pub(crate) annotations: Map<String, Value>,
    pub(crate) variables: Vec<Variables>,
}

/// Variables for one of the pod's own containers.
#[derive(Debug)]
pub(crate) struct Variables {
    /// `containers` or `initContainers`.
    pub(crate) list: &'static str,
    pub(crate) container: String,
    pub(crate) add: Vec<(&'static str, String)>,
}

/// A value of the pod has a type that no pod can have there.
#[derive(Debug, thiserror::Error)]
#[error("{0} has the wrong type")]
pub(crate) struct WrongType(pub(crate) String);

impl Additions {
    /// The names of everything in here, as the record lists them.
    pub(crate) fn names(&self) -> Record {
        let names = |items: &[Value]| items.iter().map(|i| name(i).to_owned()).collect();
        let mut record = Record {
            init_containers: names(&self.init_containers),
            containers: names(&self.containers),
            volumes: names(&self.volumes),
            image_pull_secrets: names(&self.image_pull_secrets),
            labels: self.labels.keys().cloned().collect(),
            annotations: self.annotations.keys().cloned().collect(),
            ..Record::default()
        };
        record.annotations.extend([STATUS.to_owned(), INJECTED.to_owned()]);
        for v in &self.variables {
            let names = v.add.iter().map(|(n, _)| (*n).to_owned()).collect();
            record.env.insert(format!("{}/{}", v.list, v.container), names);
        }
        record
    }

    /// What is missing from the `spec` of `pod`: nothing that is there is touched or moved.
    pub(crate) fn spec_edit(&self, pod: Pod<'_>) -> Result<Edit, WrongType> {
        let mut edit = Edit::default();
        let spec = Pointer::root().child("spec");
        for v in &self.variables {
            let Some((i, container)) = position(list(pod.spec(), v.list), &v.container) else {
                continue;
            };
            let add = v.add.iter().map(|(n, value)| variable(n, value)).collect();
            let at = spec.child(v.list).index(i).child("env");
            let path = format!("/spec/{}/{}/env", v.list, v.container);
            edit.items(&at, path, container.get("env"), add, End::Back)?;
        }
        for (key, items, end) in [
            ("volumes", &self.volumes, End::Back),
            ("containers", &self.containers, End::Back),
            ("initContainers", &self.init_containers, End::Front),
            ("imagePullSecrets", &self.image_pull_secrets, End::Back),
        ] {
            let (at, found) = (spec.child(key), pod.spec().get(key));
            for want in items.iter().filter(|_| key.ends_with("ontainers")) {
                if let Some((i, have)) = position(list(pod.spec(), key), name(want)) {
                    edit.mend(&at.index(i), want, have)?;
                }
            }
            edit.items(&at, at.to_string(), found, items.clone(), end)?;
        }
        Ok(edit)
    }
}

/// A patch under way, and what the parents were that it filled.
#[derive(Debug, Default)]
pub(crate) struct Edit {
    pub(crate) patch: Patch,
    pub(crate) parents: Parents,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Front,
    Back,
}

impl Edit {
    /// Adds those of `wanted` that no item of the list is named like.
    fn items(
        &mut self,
        at: &Pointer,
        path: String,
        found: Option<&Value>,
        wanted: Vec<Value>,
        end: End,
    ) -> Result<(), WrongType> {
        if wanted.is_empty() {
            return Ok(());
        }
        if let Some(was) = Was::of(found) {
            self.parents.insert(path, was);
            self.patch.add(at.clone(), Value::Array(wanted));
            return Ok(());
        }
        let items = found.and_then(Value::as_array).ok_or(WrongType(path))?;
        let missing = wanted.into_iter().filter(|w| position(items, name(w)).is_none());
        for (i, item) in missing.enumerate() {
            let place = if end == End::Front { at.index(i) } else { at.end() };
            self.patch.add(place, item);
        }
        Ok(())
    }

    /// Sets members that the map does not have.
    pub(crate) fn members(
        &mut self,
        at: &Pointer,
        found: Option<&Value>,
        wanted: Map<String, Value>,
    ) -> Result<(), WrongType> {
        if wanted.is_empty() {
            return Ok(());
        }
        if let Some(was) = Was::of(found) {
            self.parents.insert(at.to_string(), was);
            self.patch.add(at.clone(), Value::Object(wanted));
            return Ok(());
        }
        let map = found.and_then(Value::as_object).ok_or_else(|| WrongType(at.to_string()))?;
        for (key, value) in wanted {
            match map.get(&key) {
                Some(have) if *have == value => {}
                Some(_) => self.patch.replace(at.child(&key), value),
                None => self.patch.add(at.child(&key), value),
            }
        }
        Ok(())
    }

    /// Gives a container of ours back what another webhook dropped from it: a whole field, a
    /// variable, a mount or a port. What differs is somebody's decision and stays.
    fn mend(&mut self, at: &Pointer, want: &Value, have: &Value) -> Result<(), WrongType> {
        for (key, wanted) in want.as_object().into_iter().flatten() {
            // Nothing is lost with an empty list: the API server drops it itself.
            if Was::of(Some(wanted)).is_some() {
                continue;
            }
            let at = at.child(key);
            let identity = match key.as_str() {
                "env" => "name",
                "volumeMounts" => "mountPath",
                "ports" => "containerPort",
                _ if have.get(key).is_none_or(Value::is_null) => {
                    self.patch.add(at, wanted.clone());
                    continue;
                }
                _ => continue,
            };
            let found = have.get(key);
            if Was::of(found).is_some() {
                self.patch.add(at, wanted.clone());
                continue;
            }
            let found = found.and_then(Value::as_array).ok_or_else(|| WrongType(at.to_string()))?;
            for item in wanted.as_array().into_iter().flatten() {
                if !found.iter().any(|f| f.get(identity) == item.get(identity)) {
                    self.patch.add(at.end(), item.clone());
                }
            }
        }
        Ok(())
    }
}

fn position<'a>(items: &'a [Value], wanted: &str) -> Option<(usize, &'a Value)> {
    items.iter().enumerate().find(|(_, item)| text(item, "name") == wanted)
}

fn variable(name: &str, value: &str) -> Value {
    let mut item = Map::new();
    item.insert("name".into(), name.into());
    item.insert("value".into(), value.into());
    Value::Object(item)
}
