//! Manifests in the styles people write, injected and restored.
//!
//! Three laws hold for every manifest that can be edited, written by hand (`edited/`) or generated:
//! uninject gives back its bytes, a second inject changes nothing, and what kubectl reads of the
//! result is the patch applied to what kubectl reads of the input.

mod command_line;
mod corpus;
mod damaged;
mod generated;
mod kubectl;
mod laws;
#[path = "../support/program.rs"]
mod program;
mod written;
