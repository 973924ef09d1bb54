//! Puts the mesher sidecar into pods.
//!
//! One pure core, [`inject()`], serves the admission webhook and the command line: it decides,
//! renders a template and answers with a minimal JSON Patch.

pub mod admission;
pub mod annotations;
pub mod check;
pub mod cli;
pub mod config;
pub mod content;
pub mod discovery;
pub mod healing;
pub mod injection;
pub mod interception;
pub mod kubernetes;
pub mod manifest;
pub mod outcome;
pub mod patch;
mod pod;
pub mod policy;
pub mod ports;
pub mod quantity;
pub mod reason;
pub mod request;
pub mod server;
mod suggestion;
pub mod template;
mod warning;

pub use injection::{Uninjected, explain, inject, is_stale, load_template, uninject};
pub use outcome::Outcome;
pub use policy::Policy;
pub use reason::Reason;
pub use request::RequestInfo;
pub use suggestion::closest;
pub use warning::{LONGEST_WARNING, warning};
