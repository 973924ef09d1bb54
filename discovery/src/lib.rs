//! Where a proxy learns of services: sources of the [`mesh`] model.
//!
//! A source publishes [`mesh::Snapshot`]s of what was asked for. Requests read the last one and
//! never wait for the source, but for a service that nobody has asked for yet.

pub mod ads;
pub mod center;
mod endpoints;
mod fixed;
mod pacing;
pub mod servicecenter;
mod source;

pub use endpoints::Tls;
pub use fixed::Fixed;
pub use source::{Answer, Demand, Source, State};
