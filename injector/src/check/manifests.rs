//! Objects from files, or as kubectl prints them.

use super::Report;
use super::findings::Findings;
use super::workloads::{Place, Sieve};
use crate::manifest::{ManifestError, Settings, read};

/// A file, or what stands for one.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// What findings call it.
    pub name: &'a str,
    /// Its YAML or JSON.
    pub text: &'a str,
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{name}:{problem}")]
pub struct Unreadable {
    /// The file.
    name: String,
    /// Where and why.
    problem: ManifestError,
}

/// Checks everything that `sources` hold together: a Namespace in one counts for the pods of all.
/// The findings come in the order of the objects, errors first.
pub fn check(sources: &[Source<'_>], settings: &Settings) -> Result<Report, Unreadable> {
    let mut documents = Vec::new();
    for source in sources {
        let unreadable = |problem| Unreadable { name: source.name.to_owned(), problem };
        let read = read(source.text).map_err(unreadable)?;
        documents.extend(read.into_iter().map(|document| (source.name, document)));
    }
    let mut place = Place::new(settings, Sieve::shipped());
    for (_, document) in &documents {
        place.note(document);
    }
    let mut findings = Findings::default();
    for (source, document) in &documents {
        place.check(source, document, &mut findings);
    }
    Ok(Report { findings: findings.finish(), not_checked: Vec::new() })
}
