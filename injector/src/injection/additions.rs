//! What a pod gets, and the minimal patch that brings it there from whatever it is now.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::record::{Parents, Record, Was};
use crate::annotations::{INJECTED, STATUS};
use crate::content::Content;
use crate::patch::{Patch, Pointer};
use crate::pod::{Pod, list, text};

/// Everything one injection wants to see in a pod, computed from the pod without us.
#[derive(Debug, Default)]
pub(crate) struct Additions<'a> {
    /// Put before the pod's own, in this order.
    pub(crate) init_containers: Vec<Content<'a>>,
    /// Put behind the pod's own.
    pub(crate) containers: Vec<Content<'a>>,
    pub(crate) volumes: Vec<Content<'a>>,
    pub(crate) image_pull_secrets: Vec<Content<'a>>,
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
    pub(crate) add: Vec<(&'static str, Cow<'static, str>)>,
}

/// A value of the pod has a type that no pod can have there.
#[derive(Debug, thiserror::Error)]
#[error("{0} has the wrong type")]
pub(crate) struct WrongType(pub(crate) String);

impl<'a> Additions<'a> {
    /// The names of everything in here, as the record lists them.
    pub(crate) fn names(&self) -> Record {
        let names = |items: &[Content<'_>]| {
            items.iter().map(|item| item.node().name().to_owned()).collect()
        };
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

    /// What those parents in the `spec` of `pod` are that hold nothing and would be filled, by path;
    /// list items by name.
    pub(crate) fn parents(&self, pod: Pod<'_>) -> Parents {
        let mut parents = Parents::new();
        let mut note = |path: String, found: Option<&Value>| {
            parents.extend(Was::of(found).map(|was| (path, was)));
        };
        for v in self.variables.iter().filter(|v| !v.add.is_empty()) {
            if let Some((_, container)) = position(list(pod.spec(), v.list), &v.container) {
                note(format!("/spec/{}/{}/env", v.list, v.container), container.get("env"));
            }
        }
        for (key, items) in [
            ("volumes", &self.volumes),
            ("containers", &self.containers),
            ("initContainers", &self.init_containers),
            ("imagePullSecrets", &self.image_pull_secrets),
        ] {
            if !items.is_empty() {
                note(format!("/spec/{key}"), pod.spec().get(key));
            }
        }
        parents
    }

    /// Moves what is missing from the `spec` of `pod` into a patch: nothing that is there is
    /// touched or moved.
    pub(crate) fn take_spec_patch(&mut self, pod: Pod<'_>) -> Result<Patch<'a>, WrongType> {
        let mut patch = Patch::empty();
        let spec = Pointer::root().child("spec");
        for v in &self.variables {
            let Some((i, container)) = position(list(pod.spec(), v.list), &v.container) else {
                continue;
            };
            let add = v.add.iter().map(|(n, value)| variable(n, value.clone())).collect();
            let at = spec.child(v.list).index(i).child("env");
            add_items(&mut patch, &at, container.get("env"), add, End::Back)?;
        }
        for (key, items, end) in [
            ("volumes", &mut self.volumes, End::Back),
            ("containers", &mut self.containers, End::Back),
            ("initContainers", &mut self.init_containers, End::Front),
            ("imagePullSecrets", &mut self.image_pull_secrets, End::Back),
        ] {
            let (at, found) = (spec.child(key), pod.spec().get(key));
            for want in items.iter().filter(|_| key.ends_with("ontainers")) {
                if let Some((i, have)) = position(list(pod.spec(), key), want.node().name()) {
                    mend(&mut patch, &at.index(i), &want.to_value(), have)?;
                }
            }
            add_items(&mut patch, &at, found, std::mem::take(items), end)?;
        }
        Ok(patch)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Front,
    Back,
}

/// Adds those of `wanted` that no item of the list is named like.
fn add_items<'a>(
    patch: &mut Patch<'a>,
    at: &Pointer,
    found: Option<&Value>,
    wanted: Vec<Content<'a>>,
    end: End,
) -> Result<(), WrongType> {
    if wanted.is_empty() {
        return Ok(());
    }
    if Was::of(found).is_some() {
        patch.add(at.clone(), Content::List(wanted));
        return Ok(());
    }
    let items = found.and_then(Value::as_array).ok_or_else(|| WrongType(at.to_string()))?;
    let missing = wanted.into_iter().filter(|w| position(items, w.node().name()).is_none());
    for (i, item) in missing.enumerate() {
        let place = if end == End::Front { at.index(i) } else { at.end() };
        patch.add(place, item);
    }
    Ok(())
}

/// Sets members that the map does not have.
pub(crate) fn set_members(
    patch: &mut Patch<'_>,
    at: &Pointer,
    found: Option<&Value>,
    wanted: Map<String, Value>,
) -> Result<(), WrongType> {
    if wanted.is_empty() {
        return Ok(());
    }
    if Was::of(found).is_some() {
        patch.add(at.clone(), Value::Object(wanted));
        return Ok(());
    }
    let map = found.and_then(Value::as_object).ok_or_else(|| WrongType(at.to_string()))?;
    for (key, value) in wanted {
        match map.get(&key) {
            Some(have) if *have == value => {}
            Some(_) => patch.replace(at.child(&key), value),
            None => patch.add(at.child(&key), value),
        }
    }
    Ok(())
}

/// Gives a container of ours back what another webhook dropped from it: a whole field, a
/// variable, a mount or a port. What differs is somebody's decision and stays.
fn mend(patch: &mut Patch<'_>, at: &Pointer, want: &Value, have: &Value) -> Result<(), WrongType> {
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
                patch.add(at, wanted.clone());
                continue;
            }
            _ => continue,
        };
        let found = have.get(key);
        if Was::of(found).is_some() {
            patch.add(at, wanted.clone());
            continue;
        }
        let found = found.and_then(Value::as_array).ok_or_else(|| WrongType(at.to_string()))?;
        for item in wanted.as_array().into_iter().flatten() {
            if !found.iter().any(|f| f.get(identity) == item.get(identity)) {
                patch.add(at.end(), item.clone());
            }
        }
    }
    Ok(())
}

fn position<'a>(items: &'a [Value], wanted: &str) -> Option<(usize, &'a Value)> {
    items.iter().enumerate().find(|(_, item)| text(item, "name") == wanted)
}

fn variable(name: &'static str, value: Cow<'static, str>) -> Content<'static> {
    Content::Object(vec![
        ("name".into(), Content::Text(name.into())),
        ("value".into(), Content::Text(value)),
    ])
}
