//! What is wrong with an installation and with the objects that should have sidecars.
//!
//! Objects are judged by one core ([`workloads`]), whether they come from [`manifests`] or from a
//! [`cluster`]; of a cluster also the installation is looked at, measured by the manifests that
//! ship ([`shipped`]).

pub mod cluster;
mod code;
mod finding;
mod findings;
mod manifests;
mod owner;
mod renewal;
mod shipped;
pub(crate) mod workloads;

pub use code::Code;
pub use finding::{Finding, Fix, NotChecked, Report, Severity};
pub use manifests::{Source, Unreadable, check};
