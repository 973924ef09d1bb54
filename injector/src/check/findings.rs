//! The findings so far. What several pods of a workload have, or the workload and its pods, is one
//! finding of the workload.

use std::collections::BTreeMap;

use super::renewal::Renewal;
use super::{Code, Finding, Fix};

/// A finding that may still be joined by others of its kind.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) code: Code,
    pub(super) source: String,
    pub(super) namespace: String,
    pub(super) object: String,
    /// What tells it from others of the same code and object.
    pub(super) aspect: String,
    /// Existing pods that have it; 0 where it is the workload's own.
    pub(super) pods: usize,
    pub(super) problem: String,
    pub(super) remedy: Remedy,
}

/// What to do, while more pods may need it done.
#[derive(Debug)]
pub(super) enum Remedy {
    /// As it stands.
    Fix(Fix),
    /// A command that has to come first, if any, and then making the pods anew.
    Renew(Option<String>, Renewal),
}

impl Remedy {
    pub(super) fn command(line: impl Into<String>) -> Self {
        Self::Fix(Fix::Command(line.into()))
    }

    pub(super) fn advice(text: impl Into<String>) -> Self {
        Self::Fix(Fix::Advice(text.into()))
    }

    pub(super) fn finish(self, namespace: &str) -> Fix {
        match self {
            Self::Fix(fix) => fix,
            Self::Renew(None, renewal) => renewal.fix(namespace),
            Self::Renew(Some(first), renewal) if renewal.comes_by_itself() => Fix::Command(first),
            Self::Renew(Some(first), renewal) => match renewal.fix(namespace) {
                Fix::Command(then) => Fix::Command(format!("{first} && {then}")),
                Fix::Advice(then) => Fix::Advice(format!("{first}; then {then}")),
            },
        }
    }
}

/// Drafts in the order in which their objects came.
#[derive(Debug, Default)]
pub(super) struct Findings {
    drafts: Vec<Draft>,
    known: BTreeMap<(Code, [String; 3]), usize>,
}

impl Findings {
    /// A finding that is nobody else's.
    pub(super) fn push(&mut self, draft: Draft) {
        self.drafts.push(draft);
    }

    /// A finding of a workload of a cluster, or of a pod that it controls: joins the one that
    /// stands already.
    pub(super) fn join(&mut self, draft: Draft) {
        let named = [&draft.namespace, &draft.object, &draft.aspect].map(String::clone);
        let key = (draft.code, named);
        let Some(known) = self.known.get(&key) else {
            self.known.insert(key, self.drafts.len());
            self.drafts.push(draft);
            return;
        };
        let known = &mut self.drafts[*known];
        let mut other = draft.remedy;
        if draft.pods == 0 {
            // What the template says explains its pods, and what helps it helps them.
            (known.source, known.problem) = (draft.source, draft.problem);
            std::mem::swap(&mut known.remedy, &mut other);
        }
        known.pods += draft.pods;
        if let (Remedy::Renew(_, known), Remedy::Renew(_, other)) = (&mut known.remedy, other) {
            known.absorb(other);
        }
    }

    /// The findings, errors first.
    pub(super) fn finish(self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .drafts
            .into_iter()
            .map(|draft| Finding {
                code: draft.code,
                severity: draft.code.severity(),
                source: draft.source,
                fix: draft.remedy.finish(&draft.namespace),
                namespace: draft.namespace,
                object: draft.object,
                pods: draft.pods,
                problem: draft.problem,
            })
            .collect();
        findings.sort_by_key(|finding| finding.severity);
        findings
    }
}
