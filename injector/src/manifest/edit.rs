//! A file's way through injection and its undoing: read, plan, splice, read again and compare.

use serde_json::Value;
use std::borrow::Cow;

use super::error::ManifestError;
use super::layout::{self, Lines};
use super::objects::{self, Object};
use super::overlay::Overlay;
use super::parse::place;
use super::plan::{self, Plan};
use super::report::{Finding, Report};
use super::settings::Settings;
use super::splice::Splices;
use super::text_record::{self, Records};
use super::tree::{Document, Node};
use super::value::{self, Reading};
use super::write::print::{self, Format};
use crate::patch::{Operation, Patch, Pointer};
use crate::request::TextRecord;

/// An edited file.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited {
    /// Its new text.
    pub text: String,
    /// What its documents say, empty ones left out.
    pub documents: Vec<Value>,
    /// What was done to each of them, an empty patch where nothing.
    pub patches: Vec<Patch<'static>>,
    /// What the input was written in.
    pub format: Format,
    /// What happened to each object, in order.
    pub reports: Vec<Report>,
}

/// What a file's documents say as kubectl reads them, empty ones left out.
pub fn read(text: &str) -> Result<Vec<Value>, ManifestError> {
    Ok(values(value::read(text)?))
}

fn values(reading: Reading) -> Vec<Value> {
    reading.documents.into_iter().map(|(_, value)| value).filter(|v| !v.is_null()).collect()
}

/// Puts sidecars into the pods of a file.
pub fn inject(text: &str, settings: &Settings) -> Result<Edited, ManifestError> {
    let reading = value::read(text)?;
    let outdated = plan::outdated(&reading, settings);
    let put_in = |_, object: &Object, pod: &Value| plan::put_in(object, pod, settings);
    if outdated.is_empty() {
        return edit(text, reading, settings, &put_in);
    }
    let bare = edit(text, reading, settings, &|number, object, pod| {
        let selected = outdated.contains(&(number, object.at.as_str().to_owned()));
        if selected { plan::take_out(pod) } else { plan::leave() }
    })?;
    let mut edited = edit(&bare.text, value::read(&bare.text)?, settings, &put_in)?;
    for (patch, first) in edited.patches.iter_mut().zip(bare.patches) {
        let both = first.operations().iter().chain(patch.operations());
        *patch = both.cloned().collect();
    }
    Ok(edited)
}

/// Takes the sidecars out that [`inject`] put in.
pub fn uninject(text: &str, settings: &Settings) -> Result<Edited, ManifestError> {
    let reading = value::read(text)?;
    edit(text, reading, settings, &|_, _, pod| plan::take_out(pod))
}

/// A document with the plans for its objects.
struct Work<'r> {
    tree: &'r Document,
    value: &'r Value,
    objects: Vec<(Object, Plan)>,
    /// Printed anew rather than edited in place.
    reformat: bool,
}

impl<'r> Work<'r> {
    fn is_touched(&self) -> bool {
        self.objects.iter().any(|(_, plan)| !plan.patch.is_empty())
    }

    /// What new lines shall look like: the first of the pods.
    fn sample(&self) -> &'r Node {
        let pod = self.objects.first().and_then(|(object, _)| object.pod.as_ref());
        let tokens: Vec<String> =
            pod.map(|at| at.tokens().map(Cow::into_owned).collect()).unwrap_or_default();
        let root = &self.tree.root;
        root.descend(tokens.iter().map(String::as_str)).unwrap_or(root)
    }
}

fn edit(
    text: &str,
    reading: Reading,
    settings: &Settings,
    plan: &dyn Fn(usize, &Object, &Value) -> Plan,
) -> Result<Edited, ManifestError> {
    let mut reports = Vec::new();
    let mut works = Vec::new();
    // Counted on from document to document: a file may hold thousands.
    let (mut line, mut counted) = (1, 0);
    for (number, (tree, value)) in reading.documents.iter().enumerate() {
        let start = tree.root.span.start.max(counted);
        line += text[counted..start].matches('\n').count();
        counted = start;
        let mut planned = Vec::new();
        for object in objects::objects(value, &settings.namespace) {
            let mut report = Report {
                object: object.label(),
                line,
                finding: Finding::NoPod,
                warnings: object.warnings(value),
            };
            if let Some(pod) = object.pod_in(value) {
                let plan = plan(number, &object, pod);
                report.finding = plan.finding.clone();
                report.warnings.extend(plan.warnings.iter().cloned());
                planned.push((object, plan));
            }
            reports.push(report);
        }
        works.push(Work { tree, value, objects: planned, reformat: false });
    }
    let format = if reading.json { Format::Json } else { Format::Yaml };
    if !works.iter().any(Work::is_touched) {
        let documents = values(reading);
        let patches = vec![Patch::empty(); documents.len()];
        return Ok(Edited { text: text.to_owned(), documents, patches, format, reports });
    }
    loop {
        let (new, expected) = splice_all(text, &mut works, settings, reading.json)?;
        let Some((number, read)) = differing(&new, &expected, &works) else {
            let full = expected.into_iter().filter(|(value, _)| !value.is_null());
            let (documents, patches) = full.unzip();
            return Ok(Edited { text: new, documents, patches, format, reports });
        };
        let work = &mut works[number];
        if !settings.reformat || work.reformat {
            return Err(mismatch(text, work.tree, read.as_ref()));
        }
        work.reformat = true;
    }
}

/// The edited text, what each of its documents has to say, and what was done to it.
fn splice_all(
    text: &str,
    works: &mut [Work<'_>],
    settings: &Settings,
    json: bool,
) -> Result<(String, Vec<(Value, Patch<'static>)>), ManifestError> {
    let mut splices = Splices::new(text);
    let mut expected = Vec::with_capacity(works.len());
    for work in works {
        if !work.is_touched() {
            expected.push((work.value.clone(), Patch::empty()));
            continue;
        }
        if !work.reformat {
            match splice_one(text, work, settings, &mut splices) {
                Ok(done) => {
                    expected.push(done);
                    continue;
                }
                Err(error) if settings.reformat && error.spelling_only() => work.reformat = true,
                Err(error) => return Err(error),
            }
        }
        let patches = work.objects.iter().map(|(object, plan)| (object, plan.patch.clone()));
        let done = patched(text, work, patches)?;
        reprint(text, work.tree, &done.0, json, &mut splices);
        expected.push(done);
    }
    Ok((splices.finish(), expected))
}

/// Collects the splices of one document, and says what it will read as.
fn splice_one(
    text: &str,
    work: &Work<'_>,
    settings: &Settings,
    splices: &mut Splices<'_>,
) -> Result<(Value, Patch<'static>), ManifestError> {
    let root = &work.tree.root;
    let mut overlay = Overlay::new(root, work.value);
    for (object, plan) in &work.objects {
        overlay.apply(text, &plan.patch, object.pod_at())?;
    }
    overlay.settle();

    let mut patches = Vec::new();
    for (object, plan) in &work.objects {
        let mut patch = plan.patch.clone();
        if plan.records != Records::Nothing && !patch.is_empty() {
            let record = text_record::of(text, &overlay, object.pod_at(), plan.records);
            if record != TextRecord::default()
                && let Some(pod) = object.pod_in(work.value)
            {
                patch = plan::with_text(object, pod, settings, record);
            }
        }
        patches.push((object, patch));
    }
    let mut overlay = Overlay::new(root, work.value);
    for (object, patch) in &patches {
        overlay.apply(text, patch, object.pod_at())?;
    }
    overlay.settle();
    for (object, plan) in &work.objects {
        for (path, bytes) in &plan.bytes {
            let steps = text_record::resolve(work.value, object.pod_at(), path);
            overlay.set_bytes(steps.iter().map(String::as_str), bytes);
        }
    }
    splices.document(&overlay, work.sample())?;
    patched(text, work, patches.into_iter())
}

/// What the document says with the patches of its pods applied, and all of them as one.
fn patched<'o>(
    text: &str,
    work: &Work<'_>,
    patches: impl Iterator<Item = (&'o Object, Patch<'static>)>,
) -> Result<(Value, Patch<'static>), ManifestError> {
    let whole: Patch<'static> =
        patches.flat_map(|(object, patch)| under(object.pod_at(), &patch)).collect();
    let mut value = work.value.clone();
    whole.apply(&mut value).map_err(|e| ManifestError::Patch {
        place: place(text, work.tree.root.span.start),
        problem: e.to_string(),
    })?;
    Ok((value, whole))
}

/// The operations of a patch seen from the document.
fn under(prefix: &Pointer, patch: &Patch<'static>) -> Vec<Operation<'static>> {
    let moved = patch.operations().iter().map(|operation| {
        let path = operation.path().under(prefix);
        match operation {
            Operation::Add { value, .. } => Operation::Add { path, value: value.clone() },
            Operation::Replace { value, .. } => Operation::Replace { path, value: value.clone() },
            Operation::Remove { .. } => Operation::Remove { path },
        }
    });
    moved.collect()
}

/// Prints one document anew in place of its text; the comments within it are lost.
fn reprint(text: &str, tree: &Document, value: &Value, json: bool, splices: &mut Splices<'_>) {
    let lines = Lines { text };
    let root = &tree.root;
    let start = tree.anchors.first().map_or(root.span.start, |(_, at)| root.span.start.min(*at));
    let end = lines.content_end(root);
    let printed = if json {
        print::print(std::slice::from_ref(value), Format::Json)
    } else {
        print::yaml(value, layout::block_style(lines, root, root))
    };
    let printed = printed.replace('\n', lines.line_break());
    let above = if json || lines.is_first(start) { "" } else { lines.line_break() };
    // A block scalar's end is the start of the next line.
    let own_break = end > start && lines.start(end) == end;
    let printed = if own_break { &printed } else { printed.trim_end() };
    splices.exchange(start..end, &format!("{above}{printed}"));
}

/// The first document that does not say what it should, and what could be read of the text.
fn differing(
    text: &str,
    expected: &[(Value, Patch<'static>)],
    works: &[Work<'_>],
) -> Option<(usize, Result<Value, ManifestError>)> {
    match value::read(text) {
        Err(error) => {
            // Nobody can say whose fault it is: the first that was edited in place.
            let suspect = |work: &Work<'_>| work.is_touched() && !work.reformat;
            Some((works.iter().position(suspect).unwrap_or(0), Err(error)))
        }
        Ok(reading) => {
            let mut found = reading.documents.into_iter().map(|(_, value)| value);
            let read = |(number, (expected, _)): (usize, &(Value, Patch<'static>))| {
                let value = found.next().unwrap_or_default();
                (value != *expected).then_some((number, Ok(value)))
            };
            expected.iter().enumerate().find_map(read)
        }
    }
}

fn mismatch(text: &str, tree: &Document, read: Result<&Value, &ManifestError>) -> ManifestError {
    let anchors: Vec<String> = tree
        .anchors
        .iter()
        .map(|(name, at)| format!("&{name} on line {}", place(text, *at).line))
        .collect();
    let hint = match (anchors.is_empty(), read) {
        (false, _) => format!(", as others use what is anchored here ({})", anchors.join(", ")),
        (true, Err(error)) => format!(" (the result reads: {error})"),
        (true, Ok(_)) => String::new(),
    };
    ManifestError::Mismatch { place: place(text, tree.root.span.start), hint }
}
