//! Manifests: sidecars put into and taken out of files of Kubernetes objects without disturbing
//! anything else.
//!
//! The core answers with a JSON Patch. Here it is laid over the text's tree ([`overlay`]), becomes
//! the least splices ([`splice`]), and the result is read again: it must say exactly what the
//! patched object says, or the edit is refused. Nothing is parsed and printed back, so comments,
//! order, quotes, indentation, line ends and fields unknown to us stay as they are.

mod edit;
mod error;
mod explain;
mod layout;
mod objects;
mod overlay;
mod parse;
mod plan;
mod report;
mod settings;
mod splice;
mod text_record;
mod tree;
mod value;
mod write;

pub(crate) use objects::{Object, objects};

pub use edit::{Edited, inject, read, uninject};
pub use error::{ManifestError, Place};
pub use explain::{Answer, Explanation, explain};
pub use report::{Finding, Report};
pub use settings::Settings;
pub use write::print::{Format, print};
