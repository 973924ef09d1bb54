//! Making the patch: render the template for one pod, merge in what annotations and the pod's own
//! containers say, compare with what is there, and look at the result before anyone else does.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::additions::{Additions, Variables, set_members};
use super::decision::Objection;
use super::record::{Record, Was};
use super::{context, resources, validity};
use crate::annotations::{self, INJECTED, STATUS, Settings};
use crate::content::{Content, Node, Object};
use crate::interception;
use crate::outcome::{Injected, Summary};
use crate::patch::{Patch, Pointer};
use crate::pod::Pod;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::request::RequestInfo;
use crate::template::Template;
use crate::warning::warning;

/// Everything that one rendering needs.
pub(super) struct Build<'a, 't> {
    /// The pod as it came.
    pub(super) pod: Pod<'a>,
    /// The pod without us.
    pub(super) base: Pod<'a>,
    pub(super) request: &'a RequestInfo,
    pub(super) policy: &'t Policy,
    pub(super) settings: &'a Settings,
    pub(super) template: &'t Arc<Template>,
    pub(super) native: bool,
}

impl<'t> Build<'_, 't> {
    pub(super) fn fresh(&self) -> Result<Injected<'t>, Objection> {
        let (mut additions, mut warnings) = self.additions()?;
        let base = self.base;
        let mut record = Record {
            version: self.policy.version.as_str().into(),
            template: self.template.name().into(),
            hash: self.policy.hash(self.template),
            parents: additions.parents(base),
            text: self.request.text.clone(),
            ..additions.names()
        };
        for key in [STATUS, INJECTED] {
            if let Some(former) = base.annotations().get(key) {
                record.replaced.insert(key.to_owned(), former.to_value());
            }
        }
        let mut parent = |path: &'static str, found: Option<Node<'_>>| {
            Was::of(found).is_some_and(|was| record.parents.insert(path.into(), was).is_none())
        };
        if !parent("/metadata", base.0.get("metadata")) {
            parent("/metadata/annotations", base.metadata().get("annotations"));
            if !additions.labels.is_empty() {
                parent("/metadata/labels", base.metadata().get("labels"));
            }
        }
        let line = record.to_line();
        let mut patch = additions.take_spec_patch(self.pod).map_err(patch_error)?;
        let mut annotations = std::mem::take(&mut additions.annotations);
        set(&mut annotations, STATUS, Content::Text("injected".into()));
        set(&mut annotations, INJECTED, line.into());
        let labels = std::mem::take(&mut additions.labels);
        annotate(&mut patch, self.pod, labels, annotations)?;
        self.verify(&patch)?;
        warnings.extend(annotations::unknown_keys(base));
        Ok(self.injected(patch, &additions, &warnings, false))
    }

    /// What is missing of a sidecar that is there; `None` when nothing is.
    pub(super) fn repair(&self, record: &Record<'_>) -> Result<Option<Injected<'t>>, Objection> {
        let (mut additions, _) = self.additions()?;
        let mut record = record.clone();
        record.absorb(additions.names(), additions.parents(self.pod));
        let line = record.to_line();
        let mut patch = additions.take_spec_patch(self.pod).map_err(patch_error)?;
        if patch.is_empty() {
            return Ok(None);
        }
        let annotations = vec![(INJECTED.into(), line.into())];
        annotate(&mut patch, self.pod, Vec::new(), annotations)?;
        self.verify(&patch)?;
        Ok(Some(self.injected(patch, &additions, &[], true)))
    }

    fn injected(
        &self,
        patch: Patch<'t>,
        additions: &Additions<'t>,
        warnings: &[String],
        repaired: bool,
    ) -> Injected<'t> {
        let summary = Summary {
            template: self.template.name().to_owned(),
            native: self.native,
            repaired,
            intercepted: additions.variables.iter().map(|v| v.container.clone()).collect(),
        };
        let warnings = warnings.iter().map(|w| warning(w)).collect();
        Injected { patch, summary, warnings }
    }

    /// Renders the template and merges in what annotations and the pod's own containers say.
    fn additions(&self) -> Result<(Additions<'t>, Vec<String>), Objection> {
        let base = self.base;
        let variables =
            context::Variables::new(base, self.request, self.policy, self.settings, self.native);
        let rendered = self
            .template
            .render(&variables)
            .map_err(|e| Objection::new(Reason::TemplateError, e.to_string()))?;
        let mut sidecar = rendered.sidecar;
        if self.native {
            *sidecar.member("restartPolicy") = Content::Text("Always".into());
        }
        resources::settle(&mut sidecar, base, self.settings);
        for (name, value) in &self.settings.env {
            set_variable(&mut sidecar, name, value);
        }
        let absent = |of: &str, mut members: Object<'t>| -> Object<'t> {
            let have = base.metadata().at(of).members();
            members.retain(|(key, _)| have.get(key).is_none());
            members
        };
        let mut additions = Additions {
            init_containers: rendered.init_containers,
            containers: rendered.containers,
            volumes: rendered.volumes,
            image_pull_secrets: self.pull_secrets(rendered.image_pull_secrets),
            labels: absent("labels", rendered.labels),
            annotations: absent("annotations", rendered.annotations),
            variables: Vec::new(),
        };
        if self.native {
            additions.init_containers.insert(0, sidecar);
        } else {
            additions.containers.push(sidecar);
        }
        let warnings = self.intercept(&mut additions);
        Ok((additions, warnings))
    }

    /// The template's and the operator's, without those the pod names itself.
    fn pull_secrets(&self, mut secrets: Vec<Content<'t>>) -> Vec<Content<'t>> {
        for name in &self.policy.sidecar.image_pull_secrets {
            let name = Content::Text(name.into());
            secrets.push(Content::Object(vec![("name".into(), name)]));
        }
        if secrets.is_empty() {
            return secrets;
        }
        let own = self.base.spec().list("imagePullSecrets");
        let mut seen: BTreeSet<String> = own.iter().map(|s| s.name().to_owned()).collect();
        secrets.retain(|secret| seen.insert(secret.node().name().to_owned()));
        secrets
    }

    /// Proxy variables for the pod's own containers, and for its init containers where they run
    /// after a native sidecar.
    fn intercept(&self, additions: &mut Additions<'t>) -> Vec<String> {
        let mode = self.settings.interception.unwrap_or(self.policy.sidecar.interception);
        let base = self.base;
        let now = self.pod.init_containers();
        let place = |wanted: &str| now.named(wanted).map(|(at, _)| at);
        let ours = place(self.template.sidecar_name());
        let after_ours = |c: &Node<'_>| self.native && (ours.is_none() || place(c.name()) > ours);
        let init = base.init_containers().iter().filter(after_ours).map(|c| ("initContainers", c));
        let plain = base.containers().iter().map(|c| ("containers", c));
        let mut warnings = Vec::new();
        for (list, container) in plain.chain(init) {
            let found = interception::variables(mode, container);
            warnings.extend(found.warnings);
            if !found.add.is_empty() {
                let container = container.name().to_owned();
                additions.variables.push(Variables { list, container, add: found.add });
            }
        }
        warnings
    }

    /// Applies the patch to our own copy and looks at the result, before anyone else does.
    fn verify(&self, patch: &Patch<'_>) -> Result<(), Objection> {
        let draft = Content::patched(self.pod.0, patch).map_err(patch_error)?;
        validity::check(draft.node(), self.template.container_names()).map_err(patch_error)
    }
}

fn patch_error(problem: impl std::fmt::Display) -> Objection {
    Objection::new(Reason::PatchError, problem.to_string())
}

/// Sets labels and annotations, with their parents where the pod has none.
pub(super) fn annotate<'a>(
    patch: &mut Patch<'a>,
    pod: Pod<'_>,
    labels: Object<'a>,
    annotations: Object<'a>,
) -> Result<(), Objection> {
    let at = Pointer::root().child("metadata");
    if Was::of(pod.0.get("metadata")).is_some() {
        let maps = [("labels", labels), ("annotations", annotations)].into_iter();
        let maps = maps.filter(|(_, members)| !members.is_empty());
        let metadata = maps.map(|(key, members)| (key.into(), Content::Object(members)));
        patch.add(at, Content::Object(metadata.collect()));
        return Ok(());
    }
    for (key, map) in [("labels", labels), ("annotations", annotations)] {
        set_members(patch, &at.child(key), pod.metadata().get(key), map).map_err(patch_error)?;
    }
    Ok(())
}

/// Sets one member.
fn set<'a>(members: &mut Object<'a>, key: &'static str, value: Content<'a>) {
    match members.iter_mut().find(|(name, _)| name == key) {
        Some((_, have)) => *have = value,
        None => members.push((key.into(), value)),
    }
}

/// A variable from the pod's annotation wins over the template's.
fn set_variable(sidecar: &mut Content<'_>, variable: &str, value: &str) {
    let [name, value] = [variable, value].map(|text| Content::Text(text.to_owned().into()));
    let item = Content::Object(vec![("name".into(), name), ("value".into(), value)]);
    let env = sidecar.member("env");
    if env.node().is_null() {
        *env = Content::List(Vec::new());
    }
    let Some(env) = env.items_mut() else {
        return;
    };
    match env.iter_mut().find(|have| have.node().name() == variable) {
        Some(have) => *have = item,
        None => env.push(item),
    }
}
