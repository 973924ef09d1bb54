//! What a pod gets, and the minimal patch that brings it there from whatever it is now.

use super::record::{Names, Parents, Record, Was};
use crate::annotations::{INJECTED, STATUS};
use crate::content::{Content, Node, Object};
use crate::interception::Variable;
use crate::patch::{Patch, Pointer};
use crate::pod::Pod;

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
    pub(crate) labels: Object<'a>,
    pub(crate) annotations: Object<'a>,
    pub(crate) variables: Vec<Variables>,
}

/// Variables for one of the pod's own containers.
#[derive(Debug)]
pub(crate) struct Variables {
    /// `containers` or `initContainers`.
    pub(crate) list: &'static str,
    pub(crate) container: String,
    pub(crate) add: Vec<&'static Variable>,
}

fn names<'a>(items: &'a [Content<'_>]) -> Names<'a> {
    items.iter().map(|item| item.node().name().into()).collect()
}

fn keys<'a>(members: &'a Object<'_>) -> Names<'a> {
    members.iter().map(|(key, _)| (&**key).into()).collect()
}

/// A value of the pod has a type that no pod can have there.
#[derive(Debug, thiserror::Error)]
#[error("{0} has the wrong type")]
pub(crate) struct WrongType(pub(crate) String);

impl<'a> Additions<'a> {
    /// The names of everything in here, as the record lists them.
    pub(crate) fn names(&self) -> Record<'_> {
        let mut record = Record {
            init_containers: names(&self.init_containers),
            containers: names(&self.containers),
            volumes: names(&self.volumes),
            image_pull_secrets: names(&self.image_pull_secrets),
            labels: keys(&self.labels),
            annotations: keys(&self.annotations),
            ..Record::default()
        };
        record.annotations.extend([STATUS.into(), INJECTED.into()]);
        for v in &self.variables {
            let names = v.add.iter().map(|variable| variable.name.into()).collect();
            record.env.insert([v.list, "/", &v.container].concat(), names);
        }
        record
    }

    /// What those parents in the `spec` of `pod` are that hold nothing and would be filled, by path;
    /// list items by name.
    pub(crate) fn parents(&self, pod: Pod<'_>) -> Parents<'static> {
        let mut parents = Parents::new();
        for v in self.variables.iter().filter(|v| !v.add.is_empty()) {
            if let Some((_, container)) = pod.spec().list(v.list).named(&v.container)
                && let Some(was) = Was::of(container.get("env"))
            {
                let path = ["/spec/", v.list, "/", &v.container, "/env"].concat();
                parents.insert(path.into(), was);
            }
        }
        for (key, path, items) in [
            ("volumes", "/spec/volumes", &self.volumes),
            ("containers", "/spec/containers", &self.containers),
            ("initContainers", "/spec/initContainers", &self.init_containers),
            ("imagePullSecrets", "/spec/imagePullSecrets", &self.image_pull_secrets),
        ] {
            if !items.is_empty()
                && let Some(was) = Was::of(pod.spec().get(key))
            {
                parents.insert(path.into(), was);
            }
        }
        parents
    }

    /// Moves what is missing from the `spec` of `pod` into a patch: nothing that is there is
    /// touched or moved.
    pub(crate) fn take_spec_patch(&mut self, pod: Pod<'_>) -> Result<Patch<'a>, WrongType> {
        // And some for labels and annotations.
        let items = self.variables.iter().map(|v| v.add.len()).sum::<usize>() + self.volumes.len();
        let mut patch = Patch::with_capacity(items + 12);
        let spec = Pointer::root().child("spec");
        for v in &self.variables {
            let Some((i, container)) = pod.spec().list(v.list).named(&v.container) else {
                continue;
            };
            let add = v.add.iter().map(|variable| Content::Literal(&variable.item)).collect();
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
                if let Some((i, have)) =
                    found.and_then(|list| list.items().named(want.node().name()))
                {
                    mend(&mut patch, &at.index(i), want.node(), have)?;
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
    found: Option<Node<'_>>,
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
    let Some(Node::List(items)) = found else {
        return Err(WrongType(at.to_string()));
    };
    let have: Vec<&str> = items.iter().map(Node::name).collect();
    let missing = wanted.into_iter().filter(|w| !have.contains(&w.node().name()));
    let back = at.end();
    for (i, item) in missing.enumerate() {
        let place = if end == End::Front { at.index(i) } else { back.clone() };
        patch.add(place, item);
    }
    Ok(())
}

/// Sets members that the map does not have.
pub(crate) fn set_members<'a>(
    patch: &mut Patch<'a>,
    at: &Pointer,
    found: Option<Node<'_>>,
    wanted: Object<'a>,
) -> Result<(), WrongType> {
    if wanted.is_empty() {
        return Ok(());
    }
    if Was::of(found).is_some() {
        patch.add(at.clone(), Content::Object(wanted));
        return Ok(());
    }
    let Some(Node::Object(map)) = found else {
        return Err(WrongType(at.to_string()));
    };
    for (key, value) in wanted {
        match map.get(&key) {
            Some(have) if have == value.node() => {}
            Some(_) => patch.replace(at.child(&key), value),
            None => patch.add(at.child(&key), value),
        }
    }
    Ok(())
}

/// Gives a container of ours back what another webhook dropped from it: a whole field, a
/// variable, a mount or a port. What differs is somebody's decision and stays.
fn mend(
    patch: &mut Patch<'_>,
    at: &Pointer,
    want: Node<'_>,
    have: Node<'_>,
) -> Result<(), WrongType> {
    for (key, wanted) in want.members().iter() {
        // Nothing is lost with an empty list: the API server drops it itself.
        if Was::of(Some(wanted)).is_some() {
            continue;
        }
        let at = at.child(key);
        let identity = match key {
            "env" => "name",
            "volumeMounts" => "mountPath",
            "ports" => "containerPort",
            _ if !have.has(key) => {
                patch.add(at, wanted.to_value());
                continue;
            }
            _ => continue,
        };
        let found = have.get(key);
        if Was::of(found).is_some() {
            patch.add(at, wanted.to_value());
            continue;
        }
        let Some(Node::List(found)) = found else {
            return Err(WrongType(at.to_string()));
        };
        for item in wanted.items().iter() {
            if !found.iter().any(|f| f.get(identity) == item.get(identity)) {
                patch.add(at.end(), item.to_value());
            }
        }
    }
    Ok(())
}
