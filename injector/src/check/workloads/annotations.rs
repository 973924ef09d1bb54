//! Annotations that nobody reads: in the wrong place, or under a key that is none.

use super::Subject;
use crate::annotations::unknown_keys;
use crate::check::Code;
use crate::check::findings::{Draft, Remedy};

pub(super) fn check(subject: &Subject<'_>) -> Vec<Draft> {
    let object = subject.object;
    let misplaced = object.misplaced(subject.document).into_iter().map(|(key, right)| {
        let problem = format!("{key} has no effect on the {}", object.kind);
        let remedy = Remedy::advice(format!("move it to {right}"));
        Draft { aspect: key, ..subject.draft(Code::AnnotationMisplaced, problem, remedy) }
    });
    let unknown = unknown_keys(subject.pod).into_iter().map(|problem| {
        let remedy = Remedy::advice("correct the key, or remove the annotation");
        let aspect = problem.clone();
        Draft { aspect, ..subject.draft(Code::AnnotationUnknown, problem, remedy) }
    });
    misplaced.chain(unknown).collect()
}
