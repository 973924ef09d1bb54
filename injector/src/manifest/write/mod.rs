//! Values as text: lines of YAML, brackets and braces, whole documents.

pub(super) mod block;
pub(super) mod flow;
pub(super) mod print;
pub(super) mod scalar;
