//! Where we answer otherwise than was recorded, on purpose. Everything else is the same.

/// How we differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    /// The sentence for people is in our own words.
    Detail,
    /// Only the names of the fields are compared.
    Shape,
    /// Only `apiVersion` is: the rest says which software it is.
    ApiVersion,
    /// A change is visible at once: instances are compared by id only, and have a new revision.
    Sooner,
    /// A deletion is visible at once: there is nothing to find.
    GoneSooner,
    /// Refused with 400001. There it took the status from every instance, and put back properties
    /// that had just been changed: neither is compared from here on.
    Harmless,
}

/// The steps, by recording and name.
const DIFFERENCES: &[(&str, &str, Difference)] = &[
    ("services", "version", Difference::ApiVersion),
    ("services", "v4 version", Difference::ApiVersion),
    ("services", "health", Difference::Shape),
    ("services", "health v4 short", Difference::Shape),
    ("services", "invalid json", Difference::Detail),
    ("services", "put properties bad body", Difference::Detail),
    ("instances", "instance invalid json", Difference::Detail),
    ("instances", "batch find", Difference::Sooner),
    ("instances", "batch status (body {})", Difference::Harmless),
    ("deletes", "find right after delete", Difference::GoneSooner),
    ("deletes", "batch status, one instance named", Difference::Harmless),
    ("deletes", "batch status {}", Difference::Harmless),
    ("deletes", "gzip", Difference::ApiVersion),
];

/// How the answer to a step may differ.
pub(crate) fn of(recording: &str, step: &str) -> Option<Difference> {
    let found = DIFFERENCES.iter().find(|it| it.0 == recording && it.1 == step);
    found.map(|(_, _, difference)| *difference)
}

/// Fails if there is a difference to a step that does not exist.
pub(crate) fn check_names(recordings: &[(&str, Vec<super::recording::Step>)]) {
    for (recording, step, _) in DIFFERENCES {
        let found = recordings
            .iter()
            .any(|(name, steps)| name == recording && steps.iter().any(|it| it.name == *step));
        assert!(found, "{recording} has no step {step:?}");
    }
}
