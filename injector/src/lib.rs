//! Puts the mesher sidecar into pods.
//!
//! One pure core, [`inject`], serves the admission webhook and the command line: it decides,
//! renders a template and answers with a minimal JSON Patch.

pub mod admission;
pub mod cli;
pub mod config;
pub mod inject;
pub mod kubernetes;
pub mod outcome;
pub mod patch;
pub mod policy;
pub mod reason;
pub mod request;
pub mod template;

pub use inject::{Uninjected, inject, uninject};
pub use outcome::Outcome;
pub use policy::Policy;
pub use reason::Reason;
pub use request::RequestInfo;
