//! The pure core: a pod, its circumstances and the policy in, an [`Outcome`] out.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::additions::{Additions, Edit, Variables};
use crate::annotations::{self, INJECTED, STATUS, Settings};
use crate::decision::{self, Objection};
use crate::interception;
use crate::outcome::{Injected, Outcome, Rejected, Skipped, Summary};
use crate::patch::{Patch, Pointer};
use crate::pod::{Pod, name};
use crate::policy::{OnError, OnInvalid, Policy};
use crate::reason::Reason;
use crate::record::{Record, Was};
use crate::request::{RequestInfo, TextRecord};
use crate::template::{Template, context};
use crate::warning::warning;
use crate::{resources, validity};

/// Decides whether `pod` gets a sidecar, and answers with the minimal patch. Deterministic: the
/// same input gives the same bytes on every replica.
///
/// ```
/// use injector::{Outcome, Policy, RequestInfo, inject};
/// let pod = serde_json::json!({
///     "metadata": {"name": "web", "annotations": {"sidecar.mesher.io/inject": "yes"}},
///     "spec": {"containers": [{"name": "app", "image": "web:1"}]},
/// });
/// let outcome = inject(&pod, &RequestInfo::pod_create("shop"), &Policy::builtin());
/// let mut patched = pod.clone();
/// outcome.patch().apply(&mut patched).unwrap();
/// assert_eq!(patched["spec"]["initContainers"][0]["name"], "sidecar-mesher");
/// ```
pub fn inject(pod: &Value, request: &RequestInfo, policy: &Policy) -> Outcome {
    decide(pod, request, policy, &mut |_| {})
}

/// As [`inject`], and tells `passed` of every question that found nothing against the sidecar.
pub fn explain(pod: &Value, request: &RequestInfo, policy: &Policy) -> (Vec<Reason>, Outcome) {
    let mut passed = Vec::new();
    let outcome = decide(pod, request, policy, &mut |reason| passed.push(reason));
    (passed, outcome)
}

/// What takes our sidecar out of a pod again.
#[derive(Debug, Clone, PartialEq)]
pub struct Uninjected {
    /// What to do to the pod.
    pub patch: Patch,
    /// What the command line had stored to restore the text.
    pub text: Option<TextRecord>,
}

/// Reads the record of `pod` and takes out everything it names; `None` when the pod has none, or
/// one that its containers do not bear out.
pub fn uninject(pod: &Value) -> Option<Uninjected> {
    let view = Pod(pod);
    let record = Record::read(view).filter(|r| r.agrees(view))?;
    Some(Uninjected { patch: record.removal(view), text: record.text })
}

/// Whether `pod` has a sidecar of ours that `policy` would make otherwise today.
pub fn is_stale(pod: &Value, policy: &Policy) -> bool {
    let view = Pod(pod);
    Record::read(view).filter(|r| r.agrees(view)).is_some_and(|record| {
        policy.templates.get(&record.template).is_none_or(|t| hash(t, policy) != record.hash)
    })
}

fn decide(
    pod: &Value,
    request: &RequestInfo,
    policy: &Policy,
    passed: &mut dyn FnMut(Reason),
) -> Outcome {
    let view = Pod(pod);
    if let Err(objection) = decision::gate(view, request, policy, passed) {
        return refuse(view, policy, objection);
    }
    let stored = Record::read(view);
    let base = without_us(pod, stored.as_ref());
    let settings = Settings::read(Pod(&base), policy);
    if let Some(record) = stored.as_ref().filter(|r| r.agrees(view)) {
        if let Some(outcome) = present(pod, &base, record, &settings, request, policy) {
            return outcome;
        }
        let mut outcome = decide(&base, request, policy, passed);
        if let Outcome::Injected(injected) = &mut outcome {
            let removal = record.removal(view);
            let both = removal.operations().iter().chain(injected.patch.operations());
            injected.patch = both.cloned().collect();
        }
        return outcome;
    }
    passed(Reason::AlreadyInjected);
    let wanted = settings.as_ref().map_or(&policy.default_template, |s| &s.template);
    let Some(template) = policy.templates.get(wanted) else {
        let message = format!("there is no template \"{wanted}\": check defaultTemplate");
        return refuse(view, policy, Objection::new(Reason::TemplateError, message));
    };
    if let Some(objection) = decision::name_taken(Pod(&base), template) {
        return refuse(view, policy, objection);
    }
    passed(Reason::NameTaken);
    let settings = match settings {
        Ok(settings) => settings,
        Err(problem) => {
            let (key, reason) = (&problem.key, Reason::InvalidAnnotation);
            return refuse(view, policy, Objection::of_annotation(reason, key, &problem.problem));
        }
    };
    passed(Reason::InvalidAnnotation);
    let native = settings.native.unwrap_or(policy.native_by_default);
    if !native && decision::runs_to_completion(view, request) {
        let message = "the pod ends by itself, but a plain sidecar never does: the Job would hang; \
                       use Kubernetes 1.32+ or nativeSidecar: \"true\"";
        return refuse(view, policy, Objection::new(Reason::JobWithoutNative, message));
    }
    passed(Reason::JobWithoutNative);
    let build = Build { pod, base: &base, request, policy, settings: &settings, template, native };
    match build.fresh() {
        Ok(injected) => Outcome::Injected(injected),
        Err(objection) => refuse(view, policy, objection),
    }
}

/// The pod as it was before us, by its record.
fn without_us<'a>(pod: &'a Value, record: Option<&Record>) -> Cow<'a, Value> {
    let Some(record) = record else {
        return Cow::Borrowed(pod);
    };
    let mut base = pod.clone();
    match record.removal(Pod(pod)).apply(&mut base) {
        Ok(()) => Cow::Owned(base),
        // A removal is made from the pod it is applied to; should it not fit, the record is void.
        Err(_) => Cow::Borrowed(pod),
    }
}

/// A pod that has our sidecar: nothing to do, missing pieces, or (`None`) to be made anew.
fn present(
    pod: &Value,
    base: &Value,
    record: &Record,
    settings: &Result<Settings, annotations::Problem>,
    request: &RequestInfo,
    policy: &Policy,
) -> Option<Outcome> {
    let already = || {
        Some(Outcome::Skipped(Skipped {
            reason: Reason::AlreadyInjected,
            message: format!("has its sidecar (template {})", record.template),
            asked: true,
            patch: Patch::empty(),
            warnings: Vec::new(),
        }))
    };
    let Ok(settings) = settings else {
        return already();
    };
    let template = policy.templates.get(&settings.template);
    let current =
        template.filter(|t| t.name() == record.template && hash(t, policy) == record.hash);
    let Some(template) = current else {
        return if policy.renew && template.is_some() { None } else { already() };
    };
    let native = record.is_native(template.sidecar_name());
    let build = Build { pod, base, request, policy, settings, template, native };
    match build.repair(record) {
        Ok(Some(injected)) => Some(Outcome::Injected(injected)),
        Ok(None) => already(),
        Err(objection) => Some(refuse(Pod(pod), policy, objection)),
    }
}

/// Everything that one rendering needs.
struct Build<'a> {
    /// The pod as it came.
    pod: &'a Value,
    /// The pod without us.
    base: &'a Value,
    request: &'a RequestInfo,
    policy: &'a Policy,
    settings: &'a Settings,
    template: &'a Arc<Template>,
    native: bool,
}

impl Build<'_> {
    fn fresh(&self) -> Result<Injected, Objection> {
        let (additions, mut warnings) = self.additions()?;
        let mut edit = additions.spec_edit(Pod(self.pod)).map_err(patch_error)?;
        let base = Pod(self.base);
        let mut record = Record {
            version: self.policy.version.clone(),
            template: self.template.name().to_owned(),
            hash: hash(self.template, self.policy),
            parents: additions.spec_edit(base).map_err(patch_error)?.parents,
            text: self.request.text.clone(),
            ..additions.names()
        };
        for key in [STATUS, INJECTED] {
            if let Some(former) = base.annotations().and_then(|a| a.get(key)) {
                record.replaced.insert(key.to_owned(), former.clone());
            }
        }
        let mut parent = |path: &str, found: Option<&Value>| {
            Was::of(found).is_some_and(|was| record.parents.insert(path.to_owned(), was).is_none())
        };
        if !parent("/metadata", self.base.get("metadata")) {
            parent("/metadata/annotations", base.metadata().get("annotations"));
            if !additions.labels.is_empty() {
                parent("/metadata/labels", base.metadata().get("labels"));
            }
        }
        let mut annotations = additions.annotations.clone();
        annotations.insert(STATUS.to_owned(), "injected".into());
        annotations.insert(INJECTED.to_owned(), record.to_line().into());
        annotate(&mut edit, Pod(self.pod), additions.labels.clone(), annotations)?;
        self.verify(&edit.patch)?;
        warnings.extend(annotations::unknown_keys(base));
        Ok(self.injected(edit.patch, &additions, &warnings, false))
    }

    /// What is missing of a sidecar that is there; `None` when nothing is.
    fn repair(&self, record: &Record) -> Result<Option<Injected>, Objection> {
        let (additions, _) = self.additions()?;
        let mut edit = additions.spec_edit(Pod(self.pod)).map_err(patch_error)?;
        if edit.patch.is_empty() {
            return Ok(None);
        }
        let mut record = record.clone();
        record.absorb(additions.names(), std::mem::take(&mut edit.parents));
        let annotations = Map::from_iter([(INJECTED.to_owned(), record.to_line().into())]);
        annotate(&mut edit, Pod(self.pod), Map::new(), annotations)?;
        self.verify(&edit.patch)?;
        Ok(Some(self.injected(edit.patch, &additions, &[], true)))
    }

    fn injected(
        &self,
        patch: Patch,
        additions: &Additions,
        warnings: &[String],
        repaired: bool,
    ) -> Injected {
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
    fn additions(&self) -> Result<(Additions, Vec<String>), Objection> {
        let base = Pod(self.base);
        let context =
            context::variables(base, self.request, self.policy, self.settings, self.native);
        let rendered = self
            .template
            .render(&context)
            .map_err(|e| Objection::new(Reason::TemplateError, e.to_string()))?;
        let mut sidecar = rendered.sidecar;
        if self.native {
            sidecar.insert("restartPolicy".into(), "Always".into());
        }
        resources::settle(&mut sidecar, base, self.settings);
        for (name, value) in &self.settings.env {
            set_variable(&mut sidecar, name, value);
        }
        let absent = |of: &str, map: Map<String, Value>| -> Map<String, Value> {
            let have = base.metadata().get(of).and_then(Value::as_object);
            map.into_iter().filter(|(key, _)| have.is_none_or(|h| !h.contains_key(key))).collect()
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
            additions.init_containers.insert(0, Value::Object(sidecar));
        } else {
            additions.containers.push(Value::Object(sidecar));
        }
        let warnings = self.intercept(&mut additions);
        Ok((additions, warnings))
    }

    /// The template's and the operator's, without those the pod names itself.
    fn pull_secrets(&self, mut secrets: Vec<Value>) -> Vec<Value> {
        for name in &self.policy.sidecar.image_pull_secrets {
            secrets.push(Value::Object(Map::from_iter([("name".into(), name.as_str().into())])));
        }
        let own = crate::pod::list(Pod(self.base).spec(), "imagePullSecrets");
        let mut seen: BTreeSet<String> = own.iter().map(|s| name(s).to_owned()).collect();
        secrets.retain(|secret| seen.insert(name(secret).to_owned()));
        secrets
    }

    /// Proxy variables for the pod's own containers, and for its init containers where they run
    /// after a native sidecar.
    fn intercept(&self, additions: &mut Additions) -> Vec<String> {
        let mode = self.settings.interception.unwrap_or(self.policy.sidecar.interception);
        let base = Pod(self.base);
        let now = Pod(self.pod).init_containers();
        let place = |wanted: &str| now.iter().position(|c| name(c) == wanted);
        let ours = place(self.template.sidecar_name());
        let after_ours = |c: &&Value| self.native && (ours.is_none() || place(name(c)) > ours);
        let init = base.init_containers().iter().filter(after_ours).map(|c| ("initContainers", c));
        let plain = base.containers().iter().map(|c| ("containers", c));
        let mut warnings = Vec::new();
        for (list, container) in plain.chain(init) {
            let found = interception::variables(mode, container);
            warnings.extend(found.warnings);
            if !found.add.is_empty() {
                let container = name(container).to_owned();
                additions.variables.push(Variables { list, container, add: found.add });
            }
        }
        warnings
    }

    /// Applies the patch to our own copy and looks at the result, before anyone else does.
    fn verify(&self, patch: &Patch) -> Result<(), Objection> {
        let mut result = self.pod.clone();
        patch.apply(&mut result).map_err(patch_error)?;
        let ours = self.template.container_names().iter().map(String::as_str).collect();
        validity::check(Pod(&result), &ours).map_err(patch_error)
    }
}

fn patch_error(problem: impl std::fmt::Display) -> Objection {
    Objection::new(Reason::PatchError, problem.to_string())
}

/// Sets labels and annotations, with their parents where the pod has none.
fn annotate(
    edit: &mut Edit,
    pod: Pod<'_>,
    labels: Map<String, Value>,
    annotations: Map<String, Value>,
) -> Result<(), Objection> {
    let at = Pointer::root().child("metadata");
    if Was::of(pod.0.get("metadata")).is_some() {
        let mut metadata = Map::new();
        for (key, map) in [("labels", labels), ("annotations", annotations)] {
            if !map.is_empty() {
                metadata.insert(key.to_owned(), Value::Object(map));
            }
        }
        edit.patch.add(at, Value::Object(metadata));
        return Ok(());
    }
    for (key, map) in [("labels", labels), ("annotations", annotations)] {
        edit.members(&at.child(key), pod.metadata().get(key), map).map_err(patch_error)?;
    }
    Ok(())
}

/// A variable from the pod's annotation wins over the template's.
fn set_variable(sidecar: &mut Map<String, Value>, variable: &str, value: &str) {
    let item = Value::Object(Map::from_iter([
        ("name".to_owned(), variable.into()),
        ("value".to_owned(), value.into()),
    ]));
    let env = sidecar.entry("env").or_insert_with(|| Value::Array(Vec::new()));
    let Some(env) = env.as_array_mut() else {
        return;
    };
    match env.iter_mut().find(|e| name(e) == variable) {
        Some(have) => *have = item,
        None => env.push(item),
    }
}

/// What makes a sidecar: the template's text and the defaults that fill it, as 16 hex digits.
fn hash(template: &Template, policy: &Policy) -> String {
    let mut digest = Sha256::new();
    digest.update(template.hash());
    digest.update(serde_json::to_vec(&policy.sidecar).expect("strings always serialize"));
    digest.finalize()[..8].iter().fold(String::new(), |hash, b| hash + &format!("{b:02x}"))
}

/// The answer to a pod that gets no sidecar.
fn refuse(pod: Pod<'_>, policy: &Policy, objection: Objection) -> Outcome {
    let Objection { reason, annotation, message } = objection;
    let rejects = match reason {
        Reason::InvalidInject | Reason::InvalidAnnotation => {
            policy.invalid_annotation == OnInvalid::Reject
        }
        Reason::TemplateError | Reason::PatchError => policy.on_error == OnError::Deny,
        _ => false,
    };
    if rejects {
        let field =
            annotation.map_or_else(String::new, |key| format!("metadata.annotations[{key}]"));
        return Outcome::Rejected(Rejected { reason, field, message, warnings: Vec::new() });
    }
    let asked = decision::asked(pod, policy);
    let mut skipped =
        Skipped { reason, message, asked, patch: Patch::empty(), warnings: Vec::new() };
    match reason {
        // These may be what the API server's match conditions decide alone: no trace of us.
        Reason::NotPodCreate | Reason::IgnoredNamespace | Reason::MirrorPod | Reason::OptedOut => {}
        // Whoever wrote a key of ours wrong asked without knowing it; the pod itself stays as it is.
        Reason::NotRequested => {
            skipped.warnings.extend(annotations::unknown_keys(pod).iter().map(|w| warning(w)));
        }
        _ if asked => {
            let why = format!("no sidecar ({reason}): {}", skipped.message);
            skipped.warnings.push(warning(&why));
            skipped.warnings.extend(annotations::unknown_keys(pod).iter().map(|w| warning(w)));
            skipped.patch = status_patch(pod, reason);
        }
        _ => {}
    }
    Outcome::Skipped(skipped)
}

/// Writes `skipped:<reason>` where it does not stand yet.
fn status_patch(pod: Pod<'_>, reason: Reason) -> Patch {
    let status = format!("skipped:{reason}");
    if annotations::status(pod) == status {
        return Patch::empty();
    }
    let mut edit = Edit::default();
    let map = Map::from_iter([(STATUS.to_owned(), status.into())]);
    // A pod whose annotations are no map is the API server's to refuse.
    match annotate(&mut edit, pod, Map::new(), map) {
        Ok(()) => edit.patch,
        Err(_) => Patch::empty(),
    }
}
