//! Annotations that nobody reads: in the wrong place, or under a key that is none.

use super::{Code, Finding, Subject};
use crate::annotations::unknown_keys;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let object = subject.object;
    let misplaced = object.misplaced(subject.document).into_iter().map(|(key, right)| {
        let problem = format!("{key} has no effect on the {}", object.kind);
        subject.finding(Code::AnnotationMisplaced, problem, format!("move it to {right}"))
    });
    let unknown = unknown_keys(subject.pod).into_iter().map(|problem| {
        let fix = "correct the key, or remove the annotation".to_owned();
        subject.finding(Code::AnnotationUnknown, problem, fix)
    });
    misplaced.chain(unknown).collect()
}
