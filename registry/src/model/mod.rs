//! The records that clients register and read, as they look on the wire, and the names they are
//! kept by. What a field is called, when it is left out and in which order they come is what a
//! service-center answers.

mod instance;
mod microservice;
mod names;

pub use instance::{DataCenter, HealthCheck, Instance, Status};
pub use microservice::{Framework, Microservice};
pub(crate) use names::hex;
pub use names::{ServiceName, Tenant, service_id};

/// A map of strings whose text is the same for the same content.
pub type Properties = std::collections::BTreeMap<String, String>;

/// For fields that are left out when there is nothing to say.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}
