//! What can be wrong with a manifest, each with what the user can do about it.

/// A place in a manifest's text, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character within the line.
    pub column: usize,
}

/// Why a manifest cannot be read or edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not YAML or JSON at all.
    #[error("{line}:{column}: {problem}", line = place.line, column = place.column)]
    Syntax {
        /// Where reading stopped.
        place: Place,
        /// What was found or missing there.
        problem: String,
    },
    /// What must change stands behind an alias: the text there belongs to another place too.
    #[error(
        "{line}:{column}: {what} stands behind the alias here, so it cannot be edited in place; \
         write it out in full, or let --reformat re-emit this document",
        line = place.line, column = place.column
    )]
    Alias {
        /// The alias.
        place: Place,
        /// The pointer that leads through it.
        what: String,
    },
    /// What must change comes from a merge key.
    #[error(
        "{line}:{column}: {what} comes from the merge key of this mapping, so it cannot be edited \
         in place; write it out in full, or let --reformat re-emit this document",
        line = place.line, column = place.column
    )]
    Merged {
        /// The mapping that holds the `<<`.
        place: Place,
        /// The pointer that leads through it.
        what: String,
    },
    /// A rare spelling that has no safe splice.
    #[error(
        "{line}:{column}: {what} is written in a form that cannot be edited in place ({form}); \
         write it as plain `key: value`, or let --reformat re-emit this document",
        line = place.line, column = place.column
    )]
    Form {
        /// Where.
        place: Place,
        /// The pointer to it.
        what: String,
        /// Which form.
        form: &'static str,
    },
    /// The edited text does not read as the patched object; usually an anchor whose alias would
    /// see the change too.
    #[error(
        "{line}:{column}: editing this document in place would change more than it should{hint}; \
         write the anchored part out in full, or let --reformat re-emit this document",
        line = place.line, column = place.column
    )]
    Mismatch {
        /// Where the document starts.
        place: Place,
        /// The anchor that is probably the cause, or nothing.
        hint: String,
    },
    /// The patch does not fit the object: a fault of ours.
    #[error(
        "{line}:{column}: the patch does not fit this document ({problem}); please report this \
         with the manifest",
        line = place.line, column = place.column
    )]
    Patch {
        /// Where the document starts.
        place: Place,
        /// Which operation, and why.
        problem: String,
    },
}

impl ManifestError {
    /// Whether `--reformat` helps.
    pub const fn spelling_only(&self) -> bool {
        matches!(
            self,
            Self::Alias { .. } | Self::Merged { .. } | Self::Form { .. } | Self::Mismatch { .. }
        )
    }
}
